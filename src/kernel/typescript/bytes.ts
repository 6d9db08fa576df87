/**
 * memcmp of two byte strings whose first `from` bytes are equal, the shorter first: negative, 0 or
 * positive.
 */
export function compareBytes(
  u8: Uint8Array,
  a: number,
  aLen: number,
  b: number,
  bLen: number,
  from: number,
): number {
  const n = aLen < bLen ? aLen : bLen;
  for (let i = from; i < n; i++) {
    const diff = u8[a + i]! - u8[b + i]!;
    if (diff !== 0) return diff;
  }
  return aLen - bLen;
}

export function equalBytes(u8: Uint8Array, a: number, b: number, n: number): boolean {
  for (let i = 0; i < n; i++) if (u8[a + i] !== u8[b + i]) return false;
  return true;
}

/** Four bytes of a key from `from` on as a big-endian number, zero padded. */
export function prefixWord(u8: Uint8Array, key: number, keyLen: number, from: number): number {
  let word = 0;
  for (let i = from; i < from + 4; i++) word = (word << 8) | (i < keyLen ? u8[key + i]! : 0);
  return word >>> 0;
}

/** Bytes an unsigned LEB128 number takes. */
export function varintSize(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5;
}

/** Writes an unsigned LEB128 number; returns the offset behind it. */
export function writeVarint(u8: Uint8Array, at: number, value: number): number {
  while (value >= 128) {
    u8[at++] = (value & 127) | 128;
    value >>>= 7;
  }
  u8[at++] = value;
  return at;
}

/**
 * An unsigned LEB128 number; read on at `at + varintSize(it)`. REQUIRES it to be written in its shortest
 * form.
 */
export function readVarint(u8: Uint8Array, at: number): number {
  let value = 0;
  let shift = 0;
  for (;;) {
    const byte = u8[at++]!;
    value |= (byte & 127) << shift;
    if (byte < 128) return value >>> 0;
    shift += 7;
  }
}

/** size rounded up to a multiple of 8. */
export function align8(size: number): number {
  return ((size + 7) & ~7) >>> 0;
}
