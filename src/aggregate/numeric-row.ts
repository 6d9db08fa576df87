/**
 * Rows: the states of numeric aggregators, as stretches of 64-bit floats.
 *
 * A `sum` op is a double-double: two slots (high, low) whose exact sum is the value, with high = fl(high +
 * low). Adding (h2, l2) to (h1, l1) is AccurateDWPlusDW of Joldes, Muller and Popescu, "Tight and rigorous
 * error bounds for basic building blocks of double-word arithmetic" (ACM TOMS 44, 2017), algorithm 6, every
 * operation rounded to nearest and in this order:
 *
 *     (s, e) = twoSum(h1, h2)          s = h1 + h2; t = s - h1; e = (h1 - (s - t)) + (h2 - t)
 *     (u, f) = twoSum(l1, l2)
 *     c      = e + u
 *     (v, w) = fastTwoSum(s, c)        v = s + c; w = c - (v - s)
 *     d      = f + w
 *     (high, low) = fastTwoSum(v, d)
 *
 * Its relative error is below 3 * 2^-106, and it is exact where all values and sums are multiples of one
 * power of two, 2^k, and stay below 2^(k + 104): so for integers, and for most measured data, the sum is
 * the exact one in whatever order and split it is made. Merging is bitwise commutative. A high that
 * overflows becomes infinite or NaN and stays so. Adding one number x is adding (x, 0).
 *
 * A kernel that merges rows must do exactly this; test/aggregate holds it to these functions.
 */
import type { NumericOp } from "../job/aggregator.ts";
import { NUMERIC_OP_SLOTS } from "../job/aggregator.ts";

/** Slots of a row with these ops. */
export function slotsOf(ops: readonly NumericOp[]): number {
  let slots = 0;
  for (const op of ops) slots += NUMERIC_OP_SLOTS[op];
  return slots;
}

/** Writes the row of "nothing added" at `at`. */
export function initRow(ops: readonly NumericOp[], row: Float64Array, at: number): void {
  let slot = at;
  for (const op of ops) {
    row[slot] = op === "min" ? Infinity : op === "max" ? -Infinity : 0;
    if (op === "sum") row[slot + 1] = 0;
    slot += NUMERIC_OP_SLOTS[op];
  }
}

/** Merges the row of `other` at `otherAt` into the row at `at`; both were made by the same ops. */
export function mergeRow(
  ops: readonly NumericOp[],
  row: Float64Array,
  at: number,
  other: Float64Array,
  otherAt: number,
): void {
  let to = at;
  let from = otherAt;
  for (const op of ops) {
    switch (op) {
      case "count":
        row[to] = row[to]! + other[from]!;
        break;
      case "sum":
        addToSum(row, to, other[from]!, other[from + 1]!);
        break;
      case "min":
        if (other[from]! < row[to]!) row[to] = other[from]!;
        break;
      case "max":
        if (other[from]! > row[to]!) row[to] = other[from]!;
        break;
    }
    to += NUMERIC_OP_SLOTS[op];
    from += NUMERIC_OP_SLOTS[op];
  }
}

/** Adds the double-double (high, low) to the one at `at`: the formula above. */
export function addToSum(row: Float64Array, at: number, high: number, low: number): void {
  const h1 = row[at]!;
  const l1 = row[at + 1]!;
  const s = h1 + high;
  const t = s - h1;
  const e = h1 - (s - t) + (high - t);
  const u = l1 + low;
  const g = u - l1;
  const f = l1 - (u - g) + (low - g);
  const c = e + u;
  const v = s + c;
  const w = c - (v - s);
  const d = f + w;
  const sum = v + d;
  row[at] = sum;
  row[at + 1] = d - (sum - v);
}

/**
 * The row as plain data that JSON could hold: an empty `min` or `max` and an overflown sum, which are
 * infinite or NaN, are null.
 */
export function packRow(row: Float64Array): (number | null)[] {
  return Array.from(row, (slot) => (Number.isFinite(slot) ? slot : null));
}

/** The inverse of packRow. */
export function unpackRow(ops: readonly NumericOp[], data: readonly (number | null)[]): Float64Array {
  const row = new Float64Array(slotsOf(ops));
  initRow(ops, row, 0);
  let slot = 0;
  for (const op of ops) {
    for (let i = 0; i < NUMERIC_OP_SLOTS[op]; i++, slot++) {
      const value = data[slot] ?? null;
      if (value !== null) row[slot] = value;
      else if (op === "sum") row[slot] = Number.NaN;
    }
  }
  return row;
}
