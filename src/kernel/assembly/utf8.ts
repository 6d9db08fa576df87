// UTF-8 as the WHATWG Encoding Standard decodes it: no surrogates, no overlong forms, at most U+10FFFF.

/** Flag of a decode() result: the sequence is right as far as it goes, but `end` cuts it. */
export const CUT: u32 = 0x80000000;
/** Flag of a decode() result: no UTF-8. */
export const WRONG: u32 = 0x40000000;

/**
 * The sequence at `at`, which is no ASCII byte: code point << 3 | length. Or CUT or WRONG and the length
 * of what a decoder replaces by one U+FFFD.
 */
export function decode(at: usize, end: usize): u32 {
  const b0: u32 = load<u8>(at);
  if (b0 < 0xc2 || b0 > 0xf4) return WRONG | 1;
  if (at + 1 >= end) return CUT | 1;
  const b1: u32 = load<u8>(at + 1);
  if (b0 < 0xe0) {
    if ((b1 & 0xc0) != 0x80) return WRONG | 1;
    return (((b0 & 0x1f) << 6) | (b1 & 0x3f)) << 3 | 2;
  }
  const low: u32 = b0 == 0xe0 ? 0xa0 : b0 == 0xf0 ? 0x90 : 0x80;
  const high: u32 = b0 == 0xed ? 0x9f : b0 == 0xf4 ? 0x8f : 0xbf;
  if (b1 < low || b1 > high) return WRONG | 1;
  if (at + 2 >= end) return CUT | 2;
  const b2: u32 = load<u8>(at + 2);
  if ((b2 & 0xc0) != 0x80) return WRONG | 2;
  if (b0 < 0xf0) return (((b0 & 0x0f) << 12) | ((b1 & 0x3f) << 6) | (b2 & 0x3f)) << 3 | 3;
  if (at + 3 >= end) return CUT | 3;
  const b3: u32 = load<u8>(at + 3);
  if ((b3 & 0xc0) != 0x80) return WRONG | 3;
  return (((b0 & 0x07) << 18) | ((b1 & 0x3f) << 12) | ((b2 & 0x3f) << 6) | (b3 & 0x3f)) << 3 | 4;
}

/** The first byte of the first wrong or cut sequence; `end` when there is none. */
export function firstInvalid(at: usize, end: usize): usize {
  while (at < end) {
    if (at + 16 <= end) {
      const high = <u32>i8x16.bitmask(v128.load(at));
      if (high == 0) {
        at += 16;
        continue;
      }
      at += ctz(high);
    } else if (load<u8>(at) < 0x80) {
      at++;
      continue;
    }
    const found = decode(at, end);
    if (found >= WRONG) return at;
    at += found & 7;
  }
  return end;
}

export function utf8Valid(ptr: usize, len: u32): u32 {
  return <u32>(firstInvalid(ptr, ptr + len) == ptr + len);
}
