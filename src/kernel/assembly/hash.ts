// The hash of key bytes and the partition it chooses. ../typescript/hash.ts is the readable definition.
import { HASH_MULTIPLIER, HASH_SEED, PARTITION_STEP } from "./layout";
import { lowBytes } from "./bytes";

@inline
export function mix(h: u32, word: u32): u32 {
  h = (h ^ word) * HASH_MULTIPLIER;
  return h ^ (h >> 15);
}

@inline
export function mixPair(h: u32, chunk: u64): u32 {
  return mix(mix(h, <u32>chunk), <u32>(chunk >> 32));
}

@inline
export function scramble(h: u32): u32 {
  h = (h ^ (h >> 16)) * 0x85ebca6b;
  h = (h ^ (h >> 13)) * 0xc2b2ae35;
  return h ^ (h >> 16);
}

/** Hash of the key whose first 8 bytes (zero padded) are `first`; the rest lies at key + 8. */
@inline
export function hashFrom(first: u64, key: usize, keyLen: u32, orMask: u64): u32 {
  let h = mixPair(HASH_SEED, first);
  for (let i: u32 = 8; i < keyLen; i += 8) {
    h = mixPair(h, (load<u64>(key + i) | orMask) & lowBytes(keyLen - i));
  }
  return scramble(h ^ keyLen);
}

/** Hash of a key of at most 8 bytes. */
@inline
export function hashShort(first: u64, keyLen: u32): u32 {
  return scramble(mixPair(HASH_SEED, first) ^ keyLen);
}

export function hashKey(key: usize, keyLen: u32): u32 {
  if (keyLen == 0) return scramble(HASH_SEED);
  return hashFrom(load<u64>(key) & lowBytes(keyLen), key, keyLen, 0);
}

@inline
export function partitionOf(hash: u32, partitions: u32): u32 {
  return <u32>((<u64>scramble(hash + PARTITION_STEP) * <u64>partitions) >> 32);
}
