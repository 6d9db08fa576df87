// The hash table over an arena: see "Table" in ../layout.ts.
import {
  CELL_HASH, CELL_HEADER, CELL_KEY_LEN, CELL_PARTITION, CELL_VAL_LEN, INDEX_SLOT_BYTES, KEY_TAG_STRING,
  TABLE_ARENA_END, TABLE_ARENA_START, TABLE_ARENA_TOP, TABLE_COUNT, TABLE_INDEX, TABLE_INDEX_MAX,
  TABLE_INIT, TABLE_MASK, TABLE_SLOTS,
} from "./layout";
import { lowBytes } from "./bytes";
import { hashFrom, hashShort } from "./hash";

/** Empties the table; the index keeps its size. */
export function tableReset(t: usize): void {
  memory.fill(load<u32>(t, TABLE_INDEX), 0, (load<u32>(t, TABLE_MASK) + 1) * INDEX_SLOT_BYTES);
  store<u32>(t, load<u32>(t, TABLE_ARENA_START), TABLE_ARENA_TOP);
  store<u32>(t, 0, TABLE_COUNT);
}

/** Doubles the index; 0 when it may not grow any more, else 1. */
export function tableGrow(t: usize): u32 {
  const mask = (load<u32>(t, TABLE_MASK) << 1) | 1;
  const bytes = (mask + 1) * INDEX_SLOT_BYTES;
  if (bytes == 0 || bytes > load<u32>(t, TABLE_INDEX_MAX)) return 0;
  const index = load<u32>(t, TABLE_INDEX);
  store<u32>(t, mask, TABLE_MASK);
  memory.fill(index, 0, bytes);
  const top: usize = load<u32>(t, TABLE_ARENA_TOP);
  let cell: usize = load<u32>(t, TABLE_ARENA_START);
  while (cell < top) {
    const hash = load<u32>(cell, CELL_HASH);
    store<u64>(emptySlot(index, mask, hash), (<u64>cell << 32) | <u64>hash);
    cell += (CELL_HEADER + load<u32>(cell, CELL_VAL_LEN) + load<u32>(cell, CELL_KEY_LEN) + 7) & ~7;
  }
  return 1;
}

@inline
function emptySlot(index: usize, mask: u32, hash: u32): usize {
  let at = hash & mask;
  while (load<u64>(index + (<usize>at << 3)) >> 32 != 0) at = (at + 1) & mask;
  return index + (<usize>at << 3);
}

/** The cell of a key, made when it is new; 0 when the table is full. */
export function tableUpsert(t: usize, key: usize, keyLen: u32): usize {
  const first = keyLen == 0 ? 0 : load<u64>(key) & lowBytes(keyLen);
  return keyLen <= 8
    ? upsertShort(t, keyLen, first, hashShort(first, keyLen))
    : upsertLong(t, key, keyLen, first, 0, hashFrom(first, key, keyLen, 0));
}

/** Upsert of a key of at most 8 bytes, all of them in `first` (zero padded). */
@inline
export function upsertShort(t: usize, keyLen: u32, first: u64, hash: u32): usize {
  const index: usize = load<u32>(t, TABLE_INDEX);
  const mask = load<u32>(t, TABLE_MASK);
  const keyAt = CELL_HEADER + (<usize>load<u32>(t, TABLE_SLOTS) << 3);
  let at = hash & mask;
  while (true) {
    const slot = load<u64>(index + (<usize>at << 3));
    const cell = <usize>(slot >> 32);
    if (cell == 0) return insert(t, index + (<usize>at << 3), hash, 0, keyLen, first, 0);
    if (<u32>slot == hash && load<u64>(cell + keyAt) == first && load<u32>(cell, CELL_KEY_LEN) == keyLen) {
      return cell;
    }
    at = (at + 1) & mask;
  }
}

/**
 * Upsert of a key of more than 8 bytes: `first` holds the first 8 of them, the rest lies at key + 8.
 * `orMask` is or-ed into the rest (lower case of ASCII letters).
 */
export function upsertLong(t: usize, key: usize, keyLen: u32, first: u64, orMask: u64, hash: u32): usize {
  const index: usize = load<u32>(t, TABLE_INDEX);
  const mask = load<u32>(t, TABLE_MASK);
  const keyAt = CELL_HEADER + (<usize>load<u32>(t, TABLE_SLOTS) << 3);
  let at = hash & mask;
  while (true) {
    const slot = load<u64>(index + (<usize>at << 3));
    const cell = <usize>(slot >> 32);
    if (cell == 0) return insert(t, index + (<usize>at << 3), hash, key, keyLen, first, orMask);
    if (<u32>slot == hash && load<u32>(cell, CELL_KEY_LEN) == keyLen) {
      if (load<u64>(cell + keyAt) == first && equalRest(cell + keyAt, key, keyLen, orMask)) return cell;
    }
    at = (at + 1) & mask;
  }
}

@inline
function equalRest(cellKey: usize, key: usize, keyLen: u32, orMask: u64): bool {
  for (let i: u32 = 8; i < keyLen; i += 8) {
    if (load<u64>(cellKey + i) != ((load<u64>(key + i) | orMask) & lowBytes(keyLen - i))) return false;
  }
  return true;
}

function insert(t: usize, slot: usize, hash: u32, key: usize, keyLen: u32, first: u64, orMask: u64): usize {
  const rowBytes = load<u32>(t, TABLE_SLOTS) << 3;
  const top: usize = load<u32>(t, TABLE_ARENA_TOP);
  const count = load<u32>(t, TABLE_COUNT);
  const size = (<u64>(<u32>CELL_HEADER + rowBytes) + <u64>keyLen + 7) & ~7;
  if (<u64>(load<u32>(t, TABLE_ARENA_END) - top) < size) return 0;
  if (count << 1 > load<u32>(t, TABLE_MASK)) {
    if (tableGrow(t)) slot = emptySlot(load<u32>(t, TABLE_INDEX), load<u32>(t, TABLE_MASK), hash);
    else if (<u64>count * 4 >= (<u64>load<u32>(t, TABLE_MASK) + 1) * 3) return 0;
  }
  store<u64>(slot, (<u64>top << 32) | <u64>hash);
  store<u32>(top, hash, CELL_HASH);
  store<u32>(top, 0, CELL_PARTITION);
  store<u32>(top, keyLen, CELL_KEY_LEN);
  store<u32>(top, rowBytes, CELL_VAL_LEN);
  const init: usize = load<u32>(t, TABLE_INIT);
  let at = top + CELL_HEADER;
  for (let i: u32 = 0; i < rowBytes; i += 8) store<u64>(at + i, load<u64>(init + i));
  at += rowBytes;
  if (keyLen > 0) store<u64>(at, first);
  for (let i: u32 = 8; i < keyLen; i += 8) {
    store<u64>(at + i, (load<u64>(key + i) | orMask) & lowBytes(keyLen - i));
  }
  store<u32>(t, <u32>(top + <usize>size), TABLE_ARENA_TOP);
  store<u32>(t, count + 1, TABLE_COUNT);
  return top;
}

/**
 * The first 8 bytes (zero padded) of the string key of the text: the tag byte is put before it on the way.
 */
@inline
export function stringHead(text: usize, len: u32, orMask: u64): u64 {
  const head = ((load<u64>(text - 1) | orMask) & ~(<u64>0xff)) | <u64>KEY_TAG_STRING;
  return len < 8 ? head & (~(<u64>0) >> (56 - (<u64>len << 3))) : head;
}

@inline
export function hashString(text: usize, len: u32, head: u64, orMask: u64): u32 {
  return len < 8 ? hashShort(head, len + 1) : hashFrom(head, text - 1, len + 1, orMask);
}

/** Upsert of the string key whose UTF-8 is [text, text + len), with its head and hash. */
@inline
export function upsertString(t: usize, text: usize, len: u32, head: u64, orMask: u64, hash: u32): usize {
  return len < 8 ? upsertShort(t, len + 1, head, hash) : upsertLong(t, text - 1, len + 1, head, orMask, hash);
}
