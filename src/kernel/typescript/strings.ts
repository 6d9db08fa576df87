// String keys that are made from text in memory: the tag byte goes before it.
import type { HeapViews } from "../kernels.ts";
import { KEY_TAG_STRING } from "../layout.ts";
import { tableUpsert } from "./table.ts";

/**
 * Upsert of the string key whose UTF-8 is [text, text + len). The byte before the text is borrowed for the
 * tag.
 */
export function upsertString(heap: HeapViews, table: number, text: number, len: number): number {
  const { u8 } = heap;
  const before = u8[text - 1]!;
  u8[text - 1] = KEY_TAG_STRING;
  const cell = tableUpsert(heap, table, text - 1, len + 1);
  u8[text - 1] = before;
  return cell;
}
