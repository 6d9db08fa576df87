// Stable sort of entries by (partition, prefix, whole key).
//
// MSD radix sort, out of place and copied back, eight bits from the highest bit in which the group differs
// (so shared leading bits cost nothing); groups of at most SMALL by insertion. A group whose prefixes are
// all equal first skips what its keys share (up to SHARED_MAX bytes a time), then goes on with a new
// window of the key: 7 bytes and, lowest, how the key ends in them:
//   16 + min(8, bytes left at the window's start), 24 meaning that the key goes on behind the window.
// So equal window numbers below 24 are equal keys, and zero padding never hides a length. The cost is
// linear in the bytes that tell keys apart, whatever the input.
// The largest part of a split is handled by the loop and the others, at most half as large, by recursion:
// its depth is at most log2(n / SMALL), and one histogram per level is enough.
import {
  CELL_HEADER, CELL_KEY_LEN, CELL_VAL_LEN, ENTRY_BYTES, ENTRY_CELL, ENTRY_PARTITION, ENTRY_PREFIX,
  SORT_SCRATCH,
} from "./layout";
import { compareBytes, lowBytes } from "./bytes";
import { touchCells } from "./touch";

const SMALL: u32 = 24;
const SHARED_MAX: u32 = 256;
const GOES_ON: u32 = 24;

/**
 * Sorts n entries; returns where they are. `tmp` has room for as many. Prefixes are undefined afterwards.
 */
export function sortEntries(entries: usize, tmp: usize, n: u32, keySkip: u32): usize {
  sortGroup(entries, tmp, n, keySkip, true, SORT_SCRATCH);
  return entries;
}

/** Sorts a group whose prefixes hold the key bytes from `from` on, and whose keys do not differ before. */
function sortGroup(entries: usize, tmp: usize, n: u32, from: u32, first: bool, scratch: usize): void {
  while (true) {
    if (n <= SMALL) {
      insertionSort(entries, n, from);
      return;
    }
    const prefix = load<u64>(entries, ENTRY_PREFIX);
    const partition = load<u32>(entries, ENTRY_PARTITION);
    let prefixDiff: u64 = 0;
    let partitionDiff: u32 = 0;
    const end = entries + <usize>n * ENTRY_BYTES;
    for (let at = entries + ENTRY_BYTES; at < end; at += ENTRY_BYTES) {
      prefixDiff |= load<u64>(at, ENTRY_PREFIX) ^ prefix;
      partitionDiff |= load<u32>(at, ENTRY_PARTITION) ^ partition;
    }
    if (partitionDiff != 0) {
      const top = 31 - clz(partitionDiff);
      splitByPartition(entries, tmp, end, top > 7 ? top - 7 : 0, scratch);
    } else if (prefixDiff != 0) {
      const top = 63 - clz(prefixDiff);
      splitByPrefix(entries, tmp, end, top > 7 ? top - 7 : 0, scratch);
    } else {
      if (!first && (<u32>prefix & 0xff) < GOES_ON) return;
      from += first ? 8 : 7;
      first = false;
      const shared = sharedBytes(entries, end, from);
      if (shared == ALL_EQUAL) return;
      from += shared;
      loadWindow(entries, end, from);
      continue;
    }
    memory.copy(entries, tmp, <usize>n * ENTRY_BYTES);

    let largest = entries;
    let largestEnd = entries;
    let start = entries;
    for (let digit: usize = 0; digit < 1024; digit += 4) {
      const stop = entries + (<usize>load<u32>(scratch + digit) - tmp);
      const bytes = stop - start;
      if (bytes > largestEnd - largest) {
        if (largestEnd - largest > ENTRY_BYTES) {
          sortGroup(largest, tmp, <u32>((largestEnd - largest) / ENTRY_BYTES), from, first, scratch + 1024);
        }
        largest = start;
        largestEnd = stop;
      } else if (bytes > ENTRY_BYTES) {
        sortGroup(start, tmp, <u32>(bytes / ENTRY_BYTES), from, first, scratch + 1024);
      }
      start = stop;
    }
    entries = largest;
    n = <u32>((largestEnd - largest) / ENTRY_BYTES);
  }
}

@inline
function startsFromCounts(scratch: usize, tmp: usize): void {
  let sum = <u32>tmp;
  for (let digit: usize = 0; digit < 1024; digit += 4) {
    const count = load<u32>(scratch + digit);
    store<u32>(scratch + digit, sum);
    sum += count * <u32>ENTRY_BYTES;
  }
}

/** Distributes to tmp; leaves the end of each digit's part in the histogram. */
function splitByPrefix(entries: usize, tmp: usize, end: usize, shift: u64, scratch: usize): void {
  memory.fill(scratch, 0, 1024);
  for (let at = entries; at < end; at += ENTRY_BYTES) {
    const counter = scratch + ((<usize>(load<u64>(at, ENTRY_PREFIX) >> shift) & 0xff) << 2);
    store<u32>(counter, load<u32>(counter) + 1);
  }
  startsFromCounts(scratch, tmp);
  for (let at = entries; at < end; at += ENTRY_BYTES) {
    const entry = v128.load(at);
    const counter = scratch + ((<usize>(v128.extract_lane<u64>(entry, 0) >> shift) & 0xff) << 2);
    const target: usize = load<u32>(counter);
    v128.store(target, entry);
    store<u32>(counter, <u32>(target + ENTRY_BYTES));
  }
}

function splitByPartition(entries: usize, tmp: usize, end: usize, shift: u32, scratch: usize): void {
  memory.fill(scratch, 0, 1024);
  for (let at = entries; at < end; at += ENTRY_BYTES) {
    const counter = scratch + (<usize>((load<u32>(at, ENTRY_PARTITION) >> shift) & 0xff) << 2);
    store<u32>(counter, load<u32>(counter) + 1);
  }
  startsFromCounts(scratch, tmp);
  for (let at = entries; at < end; at += ENTRY_BYTES) {
    const entry = v128.load(at);
    const counter = scratch + (<usize>((v128.extract_lane<u32>(entry, 3) >> shift) & 0xff) << 2);
    const target: usize = load<u32>(counter);
    v128.store(target, entry);
    store<u32>(counter, <u32>(target + ENTRY_BYTES));
  }
}

const ALL_EQUAL: u32 = 0xffffffff;

/**
 * How many bytes from `from` on all keys share, looking at SHARED_MAX at most; ALL_EQUAL when they end
 * with those.
 */
function sharedBytes(entries: usize, end: usize, from: u32): u32 {
  const cell: usize = load<u32>(entries, ENTRY_CELL);
  const keyLen = load<u32>(cell, CELL_KEY_LEN);
  const key = cell + CELL_HEADER + load<u32>(cell, CELL_VAL_LEN) + from;
  if (keyLen <= from) return 0;
  let shared = keyLen - from < SHARED_MAX ? keyLen - from : SHARED_MAX;
  let sameLength = true;
  let touched = entries + ENTRY_BYTES;
  for (let at = entries + ENTRY_BYTES; at < end; at += ENTRY_BYTES) {
    if (at == touched) touched = touchCells(at, end);
    const other: usize = load<u32>(at, ENTRY_CELL);
    const otherLen = load<u32>(other, CELL_KEY_LEN);
    if (otherLen != keyLen) {
      if (otherLen <= from) return 0;
      sameLength = false;
      if (otherLen - from < shared) shared = otherLen - from;
    }
    shared = commonPrefix(key, other + CELL_HEADER + load<u32>(other, CELL_VAL_LEN) + from, shared);
    if (shared == 0) return 0;
  }
  return sameLength && shared == keyLen - from ? ALL_EQUAL : shared;
}

@inline
function commonPrefix(a: usize, b: usize, n: u32): u32 {
  for (let i: u32 = 0; i < n; i += 8) {
    const diff = load<u64>(a + i) ^ load<u64>(b + i);
    if (diff != 0) {
      const at = i + (<u32>ctz(diff) >> 3);
      return at < n ? at : n;
    }
  }
  return n;
}

function loadWindow(entries: usize, end: usize, from: u32): void {
  let touched = entries;
  for (let at = entries; at < end; at += ENTRY_BYTES) {
    if (at == touched) touched = touchCells(at, end);
    const cell: usize = load<u32>(at, ENTRY_CELL);
    const keyLen = load<u32>(cell, CELL_KEY_LEN);
    const left = <i32>keyLen - <i32>from;
    let window: u64 = 0;
    if (left > 0) {
      const key = cell + CELL_HEADER + load<u32>(cell, CELL_VAL_LEN);
      window = bswap<u64>(load<u64>(key + from) & lowBytes(left < 7 ? left : 7));
    }
    store<u64>(at, window | <u64>(16 + (left < 8 ? (left > -16 ? left : -16) : 8)), ENTRY_PREFIX);
  }
}

function insertionSort(entries: usize, n: u32, from: u32): void {
  const end = entries + <usize>n * ENTRY_BYTES;
  for (let next = entries + ENTRY_BYTES; next < end; next += ENTRY_BYTES) {
    const entry = v128.load(next);
    const prefix = v128.extract_lane<u64>(entry, 0);
    const partition = v128.extract_lane<u32>(entry, 3);
    let at = next;
    while (at > entries) {
      const before = at - ENTRY_BYTES;
      const beforePartition = load<u32>(before, ENTRY_PARTITION);
      if (beforePartition < partition) break;
      if (beforePartition == partition) {
        const beforePrefix = load<u64>(before, ENTRY_PREFIX);
        if (beforePrefix < prefix) break;
        if (beforePrefix == prefix) {
          if (compareCells(load<u32>(before, ENTRY_CELL), v128.extract_lane<u32>(entry, 2), from) <= 0) break;
        }
      }
      v128.store(at, v128.load(before));
      at = before;
    }
    v128.store(at, entry);
  }
}

@inline
function compareCells(a: usize, b: usize, from: u32): i32 {
  return compareBytes(
    a + CELL_HEADER + load<u32>(a, CELL_VAL_LEN), load<u32>(a, CELL_KEY_LEN),
    b + CELL_HEADER + load<u32>(b, CELL_VAL_LEN), load<u32>(b, CELL_KEY_LEN), from,
  );
}
