/**
 * Products of doubles without loss, for results that subtract big numbers from each other. Dekker's product
 * with Veltkamp's splitting: T. J. Dekker, "A floating-point technique for extending the available
 * precision", Numerische Mathematik 18 (1971).
 */

/** 2^27 + 1: splits 53 bits in two halves of 26. Overflows beyond 2^996, where products overflow anyway. */
const SPLITTER = 134_217_729;

/**
 * The error of `product = a * b`: their exact sum is the exact product, unless the product over- or
 * underflows.
 */
export function productError(a: number, b: number, product: number): number {
  const splitA = SPLITTER * a;
  const highA = splitA - (splitA - a);
  const lowA = a - highA;
  const splitB = SPLITTER * b;
  const highB = splitB - (splitB - b);
  const lowB = b - highB;
  return lowA * lowB - (product - highA * highB - lowA * highB - highA * lowB);
}

/** An unevaluated sum of two doubles, high = fl(high + low). */
export interface DoubleDouble {
  readonly high: number;
  readonly low: number;
}

/** a * b, relative error below 2^-101. */
export function multiply(a: DoubleDouble, b: DoubleDouble): DoubleDouble {
  const product = a.high * b.high;
  const error = productError(a.high, b.high, product) + (a.high * b.low + a.low * b.high);
  const high = product + error;
  return { high, low: error - (high - product) };
}

/** a + b, relative error about 2^-104 where they do not cancel. */
export function plus(a: DoubleDouble, b: DoubleDouble): DoubleDouble {
  const sum = a.high + b.high;
  const t = sum - a.high;
  const error = a.high - (sum - t) + (b.high - t) + (a.low + b.low);
  const high = sum + error;
  return { high, low: error - (high - sum) };
}
