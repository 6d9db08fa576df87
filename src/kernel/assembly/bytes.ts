// Copying and comparing bytes. Sources may be read up to 15 bytes past their end.

/**
 * Mask of the first `count` bytes of a little-endian word; all of them when count >= 8. REQUIRES count > 0.
 */
@inline
export function lowBytes(count: u32): u64 {
  return count >= 8 ? ~(<u64>0) : ~(<u64>0) >> (64 - ((<u64>count) << 3));
}

/** Never writes past target + n. REQUIRES no overlap. */
@inline
export function copyBytes(target: usize, source: usize, n: u32): void {
  if (n >= 16) {
    if (n > 1024) {
      memory.copy(target, source, n);
      return;
    }
    const last = n - 16;
    let i: u32 = 0;
    do {
      v128.store(target + i, v128.load(source + i));
      i += 16;
    } while (i < last);
    v128.store(target + last, v128.load(source + last));
  } else if (n >= 8) {
    const head = load<u64>(source);
    const tail = load<u64>(source + n - 8);
    store<u64>(target, head);
    store<u64>(target + n - 8, tail);
  } else if (n >= 4) {
    const head = load<u32>(source);
    const tail = load<u32>(source + n - 4);
    store<u32>(target, head);
    store<u32>(target + n - 4, tail);
  } else if (n > 0) {
    store<u8>(target, load<u8>(source));
    store<u8>(target + (n >> 1), load<u8>(source + (n >> 1)));
    store<u8>(target + n - 1, load<u8>(source + n - 1));
  }
}

/**
 * memcmp of two byte strings whose first `from` bytes are equal, the shorter first: negative, 0 or
 * positive.
 */
export function compareBytes(a: usize, aLen: u32, b: usize, bLen: u32, from: u32): i32 {
  const n = aLen < bLen ? aLen : bLen;
  let i = from;
  while (i + 8 <= n) {
    const diff = load<u64>(a + i) ^ load<u64>(b + i);
    if (diff != 0) return compareAt(a + i, b + i, diff);
    i += 8;
  }
  if (i < n) {
    const diff = (load<u64>(a + i) ^ load<u64>(b + i)) & lowBytes(n - i);
    if (diff != 0) return compareAt(a + i, b + i, diff);
  }
  return aLen < bLen ? -1 : <i32>(aLen > bLen);
}

@inline
function compareAt(a: usize, b: usize, diff: u64): i32 {
  const at = <usize>(ctz(diff) >> 3);
  return <i32>load<u8>(a + at) - <i32>load<u8>(b + at);
}

/** Are two byte strings of the same length equal? */
export function equalBytes(a: usize, b: usize, n: u32): bool {
  let i: u32 = 0;
  while (i + 8 <= n) {
    if (load<u64>(a + i) != load<u64>(b + i)) return false;
    i += 8;
  }
  return i >= n || ((load<u64>(a + i) ^ load<u64>(b + i)) & lowBytes(n - i)) == 0;
}

/** Up to 8 bytes of a key from `from` on as a big-endian number, zero padded. */
@inline
export function keyPrefix(key: usize, keyLen: u32, from: u32): u64 {
  return from < keyLen ? bswap<u64>(load<u64>(key + from) & lowBytes(keyLen - from)) : 0;
}

@inline
export function varintSize(value: u32): u32 {
  return value < 128 ? 1 : (38 - clz(value)) / 7;
}

/** Writes an unsigned LEB128 number; returns the address behind it. */
@inline
export function writeVarint(at: usize, value: u32): usize {
  while (value >= 128) {
    store<u8>(at++, value | 128);
    value >>= 7;
  }
  store<u8>(at++, value);
  return at;
}
