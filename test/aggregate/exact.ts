/** Exact arithmetic on doubles, for tests: every double is an integer times 2^-1074. */

const FRACTION_BITS = 1074;

/** The double as an integer number of 2^-1074. */
export function exact(x: number): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, x);
  const bits = view.getBigUint64(0);
  const exponent = Number((bits >> 52n) & 2047n);
  const fraction = bits & ((1n << 52n) - 1n);
  const magnitude = exponent === 0 ? fraction : (fraction | (1n << 52n)) << BigInt(exponent - 1);
  return bits >> 63n === 1n ? -magnitude : magnitude;
}

export function exactSum(values: Iterable<number>): bigint {
  let total = 0n;
  for (const value of values) total += exact(value);
  return total;
}

/** The double nearest to numerator / denominator * 2^-1074, ties to even. Finite, normal results only. */
export function nearest(numerator: bigint, denominator: bigint = 1n): number {
  if (numerator === 0n) return 0;
  const negative = numerator < 0n;
  const top = negative ? -numerator : numerator;
  // 60 bits more than 53 in the quotient; whatever is left over only says "not a tie".
  const shift = Math.max(0, 120 - (top.toString(2).length - denominator.toString(2).length));
  const scaled = top << BigInt(shift);
  let quotient = scaled / denominator;
  const rest = scaled % denominator === 0n ? 0n : 1n;
  const drop = quotient.toString(2).length - 53;
  quotient = (quotient << 1n) | rest;
  const half = 1n << BigInt(drop);
  const low = quotient & ((half << 1n) - 1n);
  let high = quotient >> BigInt(drop + 1);
  if (low > half || (low === half && (high & 1n) === 1n)) high++;
  const value = scale(Number(high), drop - shift - FRACTION_BITS);
  return negative ? -value : value;
}

/** x * 2^by without overflow on the way. */
function scale(x: number, by: number): number {
  let value = x;
  let left = by;
  for (; left > 1000; left -= 1000) value *= 2 ** 1000;
  for (; left < -1000; left += 1000) value *= 2 ** -1000;
  return value * 2 ** left;
}
