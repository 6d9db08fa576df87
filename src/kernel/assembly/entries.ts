// From cells to sortable entries, and from sorted entries to records: see "Entry" and "Record" in
// ../layout.ts.
import {
  CELL_HASH, CELL_HEADER, CELL_KEY_LEN, CELL_PARTITION, CELL_VAL_LEN, CTL_DETAIL, CTL_OUT_POSITION,
  ENTRY_BYTES, ENTRY_CELL, ENTRY_PARTITION, ENTRY_PREFIX,
} from "./layout";
import { copyBytes, keyPrefix, varintSize, writeVarint } from "./bytes";
import { partitionOf } from "./hash";
import { touchCells } from "./touch";

/** One entry per cell, in order; returns their number. */
export function makeEntries(start: usize, top: usize, entries: usize, keySkip: u32, partitions: u32): u32 {
  let at = entries;
  let cell = start;
  while (cell < top) {
    const keyLen = load<u32>(cell, CELL_KEY_LEN);
    const valLen = load<u32>(cell, CELL_VAL_LEN);
    const key = cell + CELL_HEADER + valLen;
    const partition =
      partitions == 0 ? load<u32>(cell, CELL_PARTITION)
      : partitions == 1 ? 0
      : partitionOf(load<u32>(cell, CELL_HASH), partitions);
    store<u64>(at, keyPrefix(key, keyLen, keySkip), ENTRY_PREFIX);
    store<u32>(at, <u32>cell, ENTRY_CELL);
    store<u32>(at, partition, ENTRY_PARTITION);
    at += ENTRY_BYTES;
    cell = (key + keyLen + 7) & ~7;
  }
  return <u32>((at - entries) / ENTRY_BYTES);
}

/**
 * Writes records while they fit and the partition stays the same; returns the index of the first one not
 * written.
 */
export function gather(entries: usize, from: u32, to: u32, out: usize, outEnd: usize, ctl: usize): u32 {
  let at = out;
  let i = from;
  store<u32>(ctl, 0, CTL_DETAIL);
  const partition = from < to ? load<u32>(entries + <usize>from * ENTRY_BYTES, ENTRY_PARTITION) : 0;
  const end = entries + <usize>to * ENTRY_BYTES;
  let touched = entries + <usize>from * ENTRY_BYTES;
  while (i < to) {
    const entry = entries + <usize>i * ENTRY_BYTES;
    if (entry == touched) touched = touchCells(entry, end);
    if (load<u32>(entry, ENTRY_PARTITION) != partition) break;
    const cell: usize = load<u32>(entry, ENTRY_CELL);
    const keyLen = load<u32>(cell, CELL_KEY_LEN);
    const valLen = load<u32>(cell, CELL_VAL_LEN);
    const value = cell + CELL_HEADER;
    const body = keyLen + valLen;
    const size = varintSize(keyLen) + varintSize(valLen) + body;
    if (<u32>(outEnd - at) < size) {
      if (i == from) store<u32>(ctl, size, CTL_DETAIL);
      break;
    }
    at = writeVarint(writeVarint(at, keyLen), valLen);
    copyBytes(at, value + valLen, keyLen);
    copyBytes(at + keyLen, value, valLen);
    at += body;
    i++;
  }
  store<u32>(ctl, <u32>at, CTL_OUT_POSITION);
  return i;
}
