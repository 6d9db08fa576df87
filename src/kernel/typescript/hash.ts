// The hash of key bytes and the partition it chooses. FROZEN: partitions of run files and parts of outputs
// depend on it.
//
//   h = HASH_SEED
//   for each 4-byte little-endian word w of the key, zero padded to a multiple of 8 bytes:
//     h = imul(h ^ w, HASH_MULTIPLIER);  h ^= h >>> 15
//   h ^= keyLen;  h = scramble(h)          (scramble: the finaliser of MurmurHash3, Austin Appleby)
//
//   partition = floor(scramble(hash + PARTITION_STEP) * partitions / 2^32)
import type { HeapViews } from "../kernels.ts";
import { HASH_MULTIPLIER, HASH_SEED, PARTITION_STEP } from "../layout.ts";

/** One step of the key hash. Begin with HASH_SEED, end with finishHash; the number of words is even. */
export function mixWord(h: number, word: number): number {
  h = Math.imul(h ^ word, HASH_MULTIPLIER);
  return h ^ (h >>> 15);
}

/** The hash, unsigned, from the mixed words and the key's length in bytes. */
export function finishHash(h: number, keyLen: number): number {
  return scramble(h ^ keyLen) >>> 0;
}

/** Partition of a key by its hash: 0 to partitions - 1. */
export function partitionOf(hash: number, partitions: number): number {
  return Math.floor(((scramble(hash + PARTITION_STEP) >>> 0) * partitions) / 0x1_0000_0000);
}

function scramble(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** Hash of the key bytes [start, start + keyLen) of an array. */
export function hashBytes(bytes: Uint8Array, start: number, keyLen: number): number {
  const end = start + keyLen;
  let h: number = HASH_SEED;
  let at = start;
  for (; at + 4 <= end; at += 4) {
    h = mixWord(h, bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24));
  }
  let word = 0;
  for (let i = at; i < end; i++) word |= bytes[i]! << ((i - at) << 3);
  const words = (keyLen + 3) >>> 2;
  if (at < end) h = mixWord(h, word);
  if ((words & 1) === 1) h = mixWord(h, 0);
  return finishHash(h, keyLen);
}

export function hashKey(heap: HeapViews, keyPtr: number, keyLen: number): number {
  return hashBytes(heap.u8, keyPtr, keyLen);
}
