/** Bytes of the unsigned LEB128 form of a length below 2^32. */
export function varintSize(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : value < 0x10000000 ? 4 : 5;
}

/** Writes an unsigned LEB128 length (below 2^32) and returns the offset behind it. */
export function writeVarint(target: Uint8Array, at: number, value: number): number {
  let rest = value;
  let to = at;
  while (rest >= 0x80) {
    target[to++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  target[to++] = rest;
  return to;
}

/** The length at `at`, and the offset behind it. */
export function readVarint(bytes: Uint8Array, at: number): readonly [value: number, end: number] {
  let value = 0;
  let end = at;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[end++]!;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return [value >>> 0, end];
  }
}
