// From cells to sortable entries, and from sorted entries to records: see "Entry" and "Record" in
// ../layout.ts.
import type { HeapViews } from "../kernels.ts";
import {
  CELL_HASH,
  CELL_HEADER,
  CELL_KEY_LEN,
  CELL_PARTITION,
  CELL_VAL_LEN,
  CTL_DETAIL,
  CTL_OUT_POSITION,
  ENTRY_BYTES,
  ENTRY_CELL,
  ENTRY_PARTITION,
} from "../layout.ts";
import { align8, prefixWord, varintSize, writeVarint } from "./bytes.ts";
import { partitionOf } from "./hash.ts";

export function makeEntries(
  { u8, u32 }: HeapViews,
  start: number,
  top: number,
  entries: number,
  keySkip: number,
  partitions: number,
): number {
  let at = entries;
  let cell = start;
  while (cell < top) {
    const c = cell >>> 2;
    const keyLen = u32[c + (CELL_KEY_LEN >>> 2)]!;
    const key = cell + CELL_HEADER + u32[c + (CELL_VAL_LEN >>> 2)]!;
    u32[at >>> 2] = prefixWord(u8, key, keyLen, keySkip + 4);
    u32[(at >>> 2) + 1] = prefixWord(u8, key, keyLen, keySkip);
    u32[(at + ENTRY_CELL) >>> 2] = cell;
    u32[(at + ENTRY_PARTITION) >>> 2] =
      partitions === 0
        ? u32[c + (CELL_PARTITION >>> 2)]!
        : partitionOf(u32[c + (CELL_HASH >>> 2)]!, partitions);
    at += ENTRY_BYTES;
    cell = align8(key + keyLen);
  }
  return (at - entries) / ENTRY_BYTES;
}

export function gather(
  { u8, u32 }: HeapViews,
  entries: number,
  from: number,
  to: number,
  out: number,
  outEnd: number,
  ctl: number,
): number {
  u32[(ctl + CTL_DETAIL) >>> 2] = 0;
  let at = out;
  let i = from;
  const partition = u32[(entries + from * ENTRY_BYTES + ENTRY_PARTITION) >>> 2]!;
  for (; i < to; i++) {
    const entry = (entries + i * ENTRY_BYTES) >>> 2;
    if (u32[entry + (ENTRY_PARTITION >>> 2)] !== partition) break;
    const cell = u32[entry + (ENTRY_CELL >>> 2)]!;
    const keyLen = u32[(cell + CELL_KEY_LEN) >>> 2]!;
    const valLen = u32[(cell + CELL_VAL_LEN) >>> 2]!;
    const size = varintSize(keyLen) + varintSize(valLen) + keyLen + valLen;
    if (outEnd - at < size) {
      if (i === from) u32[(ctl + CTL_DETAIL) >>> 2] = size;
      break;
    }
    at = writeVarint(u8, writeVarint(u8, at, keyLen), valLen);
    const value = cell + CELL_HEADER;
    u8.copyWithin(at, value + valLen, value + valLen + keyLen);
    u8.copyWithin(at + keyLen, value, value + valLen);
    at += keyLen + valLen;
  }
  u32[(ctl + CTL_OUT_POSITION) >>> 2] = at;
  return i;
}
