// The hash table over an arena: see "Table" in ../layout.ts.
import type { HeapViews } from "../kernels.ts";
import {
  CELL_HASH,
  CELL_HEADER,
  CELL_KEY_LEN,
  CELL_PARTITION,
  CELL_VAL_LEN,
  INDEX_SLOT_BYTES,
  TABLE_ARENA_END,
  TABLE_ARENA_START,
  TABLE_ARENA_TOP,
  TABLE_COUNT,
  TABLE_INDEX,
  TABLE_INDEX_MAX,
  TABLE_INIT,
  TABLE_MASK,
  TABLE_SLOTS,
} from "../layout.ts";
import { align8, equalBytes } from "./bytes.ts";
import { hashBytes } from "./hash.ts";

export function tableReset({ u8, u32 }: HeapViews, table: number): void {
  const t = table >>> 2;
  const index = u32[t + (TABLE_INDEX >>> 2)]!;
  u8.fill(0, index, index + (u32[t + (TABLE_MASK >>> 2)]! + 1) * INDEX_SLOT_BYTES);
  u32[t + (TABLE_ARENA_TOP >>> 2)] = u32[t + (TABLE_ARENA_START >>> 2)]!;
  u32[t + (TABLE_COUNT >>> 2)] = 0;
}

export function tableGrow({ u8, u32 }: HeapViews, table: number): number {
  const t = table >>> 2;
  const mask = u32[t + (TABLE_MASK >>> 2)]! * 2 + 1;
  const bytes = (mask + 1) * INDEX_SLOT_BYTES;
  if (bytes > u32[t + (TABLE_INDEX_MAX >>> 2)]!) return 0;
  const index = u32[t + (TABLE_INDEX >>> 2)]!;
  u32[t + (TABLE_MASK >>> 2)] = mask;
  u8.fill(0, index, index + bytes);
  const top = u32[t + (TABLE_ARENA_TOP >>> 2)]!;
  let cell = u32[t + (TABLE_ARENA_START >>> 2)]!;
  while (cell < top) {
    const c = cell >>> 2;
    const hash = u32[c + (CELL_HASH >>> 2)]!;
    const slot = emptySlot(u32, index >>> 2, mask, hash);
    u32[slot] = hash;
    u32[slot + 1] = cell;
    cell += align8(CELL_HEADER + u32[c + (CELL_VAL_LEN >>> 2)]! + u32[c + (CELL_KEY_LEN >>> 2)]!);
  }
  return 1;
}

function emptySlot(u32: Uint32Array, index: number, mask: number, hash: number): number {
  let at = (hash & mask) >>> 0;
  while (u32[index + at * 2 + 1] !== 0) at = ((at + 1) & mask) >>> 0;
  return index + at * 2;
}

export function tableUpsert(heap: HeapViews, table: number, keyPtr: number, keyLen: number): number {
  return upsertHashed(heap, table, keyPtr, keyLen, hashBytes(heap.u8, keyPtr, keyLen));
}

/** tableUpsert with the key's hash at hand. */
function upsertHashed(heap: HeapViews, table: number, keyPtr: number, keyLen: number, hash: number): number {
  const { u8, u32 } = heap;
  const t = table >>> 2;
  const index = u32[t + (TABLE_INDEX >>> 2)]! >>> 2;
  const mask = u32[t + (TABLE_MASK >>> 2)]!;
  const keyAt = CELL_HEADER + u32[t + (TABLE_SLOTS >>> 2)]! * 8;
  let at = (hash & mask) >>> 0;
  for (;;) {
    const cell = u32[index + at * 2 + 1]!;
    if (cell === 0) return insert(heap, table, index + at * 2, hash, keyPtr, keyLen);
    if (u32[index + at * 2] === hash && u32[(cell + CELL_KEY_LEN) >>> 2] === keyLen) {
      if (equalBytes(u8, cell + keyAt, keyPtr, keyLen)) return cell;
    }
    at = ((at + 1) & mask) >>> 0;
  }
}

function insert(
  heap: HeapViews,
  table: number,
  slot: number,
  hash: number,
  keyPtr: number,
  keyLen: number,
): number {
  const { u8, u32, f64 } = heap;
  const t = table >>> 2;
  const slots = u32[t + (TABLE_SLOTS >>> 2)]!;
  const top = u32[t + (TABLE_ARENA_TOP >>> 2)]!;
  const count = u32[t + (TABLE_COUNT >>> 2)]!;
  const size = align8(CELL_HEADER + slots * 8 + keyLen);
  if (u32[t + (TABLE_ARENA_END >>> 2)]! - top < size) return 0;
  if (count * 2 > u32[t + (TABLE_MASK >>> 2)]!) {
    if (tableGrow(heap, table) === 1) {
      slot = emptySlot(u32, u32[t + (TABLE_INDEX >>> 2)]! >>> 2, u32[t + (TABLE_MASK >>> 2)]!, hash);
    } else if (count * 4 >= (u32[t + (TABLE_MASK >>> 2)]! + 1) * 3) return 0;
  }
  u32[slot] = hash;
  u32[slot + 1] = top;
  u32[(top + CELL_HASH) >>> 2] = hash;
  u32[(top + CELL_PARTITION) >>> 2] = 0;
  u32[(top + CELL_KEY_LEN) >>> 2] = keyLen;
  u32[(top + CELL_VAL_LEN) >>> 2] = slots * 8;
  const init = u32[t + (TABLE_INIT >>> 2)]! >>> 3;
  const row = (top + CELL_HEADER) >>> 3;
  for (let i = 0; i < slots; i++) f64[row + i] = f64[init + i]!;
  const key = top + CELL_HEADER + slots * 8;
  for (let i = 0; i < keyLen; i++) u8[key + i] = u8[keyPtr + i]!;
  for (let i = key + keyLen; i < top + size; i++) u8[i] = 0;
  u32[t + (TABLE_ARENA_TOP >>> 2)] = top + size;
  u32[t + (TABLE_COUNT >>> 2)] = count + 1;
  return top;
}
