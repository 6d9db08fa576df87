// appendLines: see ../kernels.ts.
import type { HeapViews } from "../kernels.ts";
import {
  ARENA_COUNT,
  ARENA_END,
  ARENA_TOP,
  CELL_HASH,
  CELL_HEADER,
  CELL_KEY_LEN,
  CELL_PARTITION,
  CELL_VAL_LEN,
  CTL_DETAIL,
  CTL_POSITION,
  CTL_RECORDS,
  FLAG_FINAL,
  FLAG_HASH,
  FLAG_VALIDATE,
  KEY_TAG_STRING,
  STATUS_DONE,
  STATUS_FULL,
  STATUS_INVALID,
} from "../layout.ts";
import { align8 } from "./bytes.ts";
import { hashKey } from "./hash.ts";
import { firstInvalid } from "./utf8.ts";

const NEWLINE = 10;
const CARRIAGE_RETURN = 13;

export function appendLines(
  heap: HeapViews,
  arena: number,
  ctl: number,
  ptr: number,
  end: number,
  flags: number,
): number {
  const { u8, u32 } = heap;
  let status: number = STATUS_DONE;
  let line = ptr;
  while (line < end) {
    const found = u8.indexOf(NEWLINE, line);
    const newline = found === -1 || found >= end ? end : found;
    if (newline === end && (flags & FLAG_FINAL) === 0) break;
    const stop =
      newline < end && newline > line && u8[newline - 1] === CARRIAGE_RETURN ? newline - 1 : newline;
    if ((flags & FLAG_VALIDATE) !== 0) {
      const invalid = firstInvalid(u8, line, stop);
      if (invalid !== stop) {
        u32[(ctl + CTL_DETAIL) >>> 2] = invalid;
        status = STATUS_INVALID;
        break;
      }
    }
    if (!append(heap, arena, line, stop, (flags & FLAG_HASH) !== 0)) {
      status = STATUS_FULL;
      break;
    }
    u32[(ctl + CTL_RECORDS) >>> 2]! += 1;
    line = Math.min(newline + 1, end);
  }
  u32[(ctl + CTL_POSITION) >>> 2] = line;
  return status;
}

function append(heap: HeapViews, arena: number, line: number, end: number, hashed: boolean): boolean {
  const { u8, u32 } = heap;
  const top = u32[(arena + ARENA_TOP) >>> 2]!;
  const keyLen = end - line + 1;
  const size = align8(CELL_HEADER + keyLen);
  if (u32[(arena + ARENA_END) >>> 2]! - top < size) return false;
  const key = top + CELL_HEADER;
  u8[key] = KEY_TAG_STRING;
  u8.copyWithin(key + 1, line, end);
  u8.fill(0, key + keyLen, top + size);
  u32[(top + CELL_HASH) >>> 2] = hashed ? hashKey(heap, key, keyLen) : 0;
  u32[(top + CELL_PARTITION) >>> 2] = 0;
  u32[(top + CELL_KEY_LEN) >>> 2] = keyLen;
  u32[(top + CELL_VAL_LEN) >>> 2] = 0;
  u32[(arena + ARENA_TOP) >>> 2] = top + size;
  u32[(arena + ARENA_COUNT) >>> 2]! += 1;
  return true;
}
