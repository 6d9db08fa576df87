/** CRC-32C, bits reflected. */
const POLYNOMIAL = 0x82f63b78;

/**
 * The checksum of `tail` alone, given those of `head` and of both together: crc(head tail) is
 * crc(head) x^(8 |tail|) + crc(tail), all modulo the polynomial (as in zlib's crc32_combine, by Mark Adler).
 */
export function tailChecksum(whole: number, head: number, tailBytes: number): number {
  return (whole ^ multiply(powerOfX(tailBytes), head)) >>> 0;
}

/** Product of two polynomials modulo the polynomial; the highest bit is x^0. */
function multiply(a: number, b: number): number {
  let product = 0;
  let factor = b;
  for (let bit = 31; bit >= 0; bit--) {
    if ((a >>> bit) & 1) product ^= factor;
    factor = factor & 1 ? (factor >>> 1) ^ POLYNOMIAL : factor >>> 1;
  }
  return product;
}

/** `x^(2^n)` for n from 3: x^8 shifts by one byte. */
const powers: readonly number[] = (() => {
  let power = 1 << 30;
  const squares: number[] = [];
  for (let n = 0; n < 3 + 32; n++) {
    if (n >= 3) squares.push(power);
    power = multiply(power, power);
  }
  return squares;
})();

/** x^(8 bytes); `bytes` below 2^32. */
function powerOfX(bytes: number): number {
  let power = 1 << 31;
  for (let n = 0, left = bytes; left > 0; n++, left = Math.floor(left / 2)) {
    if (left % 2 === 1) power = multiply(power, powers[n]!);
  }
  return power;
}
