/**
 * Exact arithmetic on doubles, for the few results that would lose all their digits in rounding: every finite
 * double is an integer times 2^-1074.
 */
export const UNIT_BITS = 1074n;

/** A finite double as an integer number of 2^-1074. */
export function toUnits(x: number): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, x);
  const bits = view.getBigUint64(0);
  const exponent = Number((bits >> 52n) & 2047n);
  const fraction = bits & ((1n << 52n) - 1n);
  const magnitude = exponent === 0 ? fraction : (fraction | (1n << 52n)) << BigInt(exponent - 1);
  return bits >> 63n === 1n ? -magnitude : magnitude;
}

/** top / bottom * 2^-2148, the unit of a product of two doubles, rounded to a double. Both are above 0. */
export function fromSquareUnits(top: bigint, bottom: bigint): number {
  // 64 bits or more in the quotient; its last bit also says whether anything is left over.
  const shift = Math.max(0, 66 - (bitsOf(top) - bitsOf(bottom)));
  const scaled = top << BigInt(shift);
  const quotient = scaled / bottom;
  const sticky = quotient * bottom === scaled ? quotient : quotient | 1n;
  const drop = Math.max(0, bitsOf(sticky) - 66);
  const short = sticky >> BigInt(drop);
  const whole = short << BigInt(drop) === sticky ? short : short | 1n;
  return scaleBy(Number(whole), drop - shift - 2 * Number(UNIT_BITS));
}

function bitsOf(x: bigint): number {
  return x.toString(16).length * 4;
}

/** x * 2^by, without overflow on the way. */
function scaleBy(x: number, by: number): number {
  let value = x;
  let left = by;
  for (; left < -1000; left += 1000) value *= 2 ** -1000;
  for (; left > 1000; left -= 1000) value *= 2 ** 1000;
  return value * 2 ** left;
}
