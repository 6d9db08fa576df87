// UTF-8 as the WHATWG Encoding Standard decodes it: no surrogates, no overlong forms, at most U+10FFFF.

/** A decodeUtf8() result below 0: the sequence is right as far as it goes, but `end` cuts it. */
export const CUT = -1;
/**
 * A decodeUtf8() result at most this: no UTF-8; WRONG - result bytes are what a decoder replaces by one
 * U+FFFD.
 */
export const WRONG = -2;

/** The code point at `at`, or CUT, or at most WRONG - 1. */
export function decodeUtf8(u8: Uint8Array, at: number, end: number): number {
  const first = u8[at]!;
  if (first < 0x80) return first;
  if (first < 0xc2 || first > 0xf4) return WRONG - 1;
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  let codePoint = first & (0x7f >> length);
  for (let i = 1; i < length; i++) {
    if (at + i >= end) return CUT;
    const byte = u8[at + i]!;
    const low = i > 1 ? 0x80 : first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
    const high = i > 1 ? 0xbf : first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
    if (byte < low || byte > high) return WRONG - i;
    codePoint = (codePoint << 6) | (byte & 0x3f);
  }
  return codePoint;
}

export function utf8Size(codePoint: number): number {
  return codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x1_0000 ? 3 : 4;
}

/** The first byte of the first wrong or cut sequence; `end` when there is none. */
export function firstInvalid(u8: Uint8Array, at: number, end: number): number {
  while (at < end) {
    const codePoint = decodeUtf8(u8, at, end);
    if (codePoint < 0) return at;
    at += utf8Size(codePoint);
  }
  return end;
}
