// Stable sort of entries by (partition, prefix, whole key): the reference for assembly/sort.ts, a merge
// sort.
import type { HeapViews } from "../kernels.ts";
import {
  CELL_HEADER,
  CELL_KEY_LEN,
  CELL_VAL_LEN,
  ENTRY_BYTES,
  ENTRY_CELL,
  ENTRY_PARTITION,
} from "../layout.ts";
import { compareBytes } from "./bytes.ts";

export function sortEntries(
  heap: HeapViews,
  entries: number,
  tmp: number,
  n: number,
  keySkip: number,
): number {
  const { u32 } = heap;
  let source = entries;
  let target = tmp;
  const words = ENTRY_BYTES >>> 2;
  for (let width = 1; width < n; width *= 2) {
    for (let start = 0; start < n; start += 2 * width) {
      const middle = Math.min(start + width, n);
      const end = Math.min(start + 2 * width, n);
      let left = start;
      let right = middle;
      for (let out = start; out < end; out++) {
        const takeLeft =
          left < middle &&
          (right === end ||
            compareEntries(heap, source + left * ENTRY_BYTES, source + right * ENTRY_BYTES, keySkip) <= 0);
        const from = (source >>> 2) + (takeLeft ? left++ : right++) * words;
        const to = (target >>> 2) + out * words;
        for (let i = 0; i < words; i++) u32[to + i] = u32[from + i]!;
      }
    }
    [source, target] = [target, source];
  }
  return source;
}

function compareEntries({ u8, u32 }: HeapViews, a: number, b: number, keySkip: number): number {
  const x = a >>> 2;
  const y = b >>> 2;
  const partition = u32[x + (ENTRY_PARTITION >>> 2)]! - u32[y + (ENTRY_PARTITION >>> 2)]!;
  if (partition !== 0) return partition;
  const high = u32[x + 1]! - u32[y + 1]!;
  if (high !== 0) return high;
  const low = u32[x]! - u32[y]!;
  if (low !== 0) return low;
  const cellA = u32[x + (ENTRY_CELL >>> 2)]!;
  const cellB = u32[y + (ENTRY_CELL >>> 2)]!;
  return compareBytes(
    u8,
    cellA + CELL_HEADER + u32[(cellA + CELL_VAL_LEN) >>> 2]!,
    u32[(cellA + CELL_KEY_LEN) >>> 2]!,
    cellB + CELL_HEADER + u32[(cellB + CELL_VAL_LEN) >>> 2]!,
    u32[(cellB + CELL_KEY_LEN) >>> 2]!,
    keySkip,
  );
}
