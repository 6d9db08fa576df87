/**
 * Rows: the states of numeric aggregators, as stretches of 64-bit floats.
 *
 * A `sum` op is an expansion: three slots whose exact sum is the value, and a fourth, `lost`, that bounds
 * what three doubles could not hold. Adding a number adds it to the first slot and carries the rounding
 * error, which is a double itself, to the next:
 *
 *     twoSum(a, x): s = a + x; t = s - a; error = (a - (s - t)) + (x - t)       (Knuth; exact)
 *
 * Only where the second slot has an error too, all three are brought apart again from below, so that
 * neighbours do not overlap. What even then does not fit adds its magnitude to `lost`. So nothing is lost as
 * long as the sum spans no more than 158 bits, and not of wider sums of up to three clusters of magnitude
 * (1e100, 1, 1e-100): the sum is the exact one in whatever order and split it is made. The slots may differ
 * by the way they were filled; `readSum` gives the one form that all of them stand for. A first slot that
 * overflows becomes infinite or NaN and stays so.
 *
 * A kernel that adds to or merges rows must do exactly this; test/kernel holds it to these functions.
 */
import type { NumericOp } from "../job/aggregator.ts";
import { NUMERIC_OP_SLOTS } from "../job/aggregator.ts";
import { productError } from "./double-double.ts";
import { toUnits } from "./exact-ratio.ts";

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
    if (op === "sum") row.fill(0, slot + 1, slot + NUMERIC_OP_SLOTS.sum);
    slot += NUMERIC_OP_SLOTS[op];
  }
}

/** Merges the row of `other` at `otherAt` into the row at `at`; both were made by the same ops. */
export function mergeNumericRow(
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
        mergeSum(row, to, other, from);
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

/** Adds a number to the sum at `at`. */
export function addToSum(row: Float64Array, at: number, x: number): void {
  const a = row[at]!;
  const s = a + x;
  const t = s - a;
  const error = a - (s - t) + (x - t);
  row[at] = s;
  if (error !== 0) carry(row, at, error);
}

/** The second slot's turn, and the third's. */
function carry(row: Float64Array, at: number, x: number): void {
  const b = row[at + 1]!;
  const s = b + x;
  const t = s - b;
  const error = b - (s - t) + (x - t);
  row[at + 1] = s;
  if (error === 0) return;
  const rest = twoSum(row, at + 2, error);
  part(row, at);
  if (rest === 0) return;
  row[at + 3] = row[at + 3]! + Math.abs(twoSum(row, at + 2, rest));
}

/** Adds to one slot; returns the error. */
function twoSum(row: Float64Array, slot: number, x: number): number {
  const a = row[slot]!;
  const s = a + x;
  const t = s - a;
  row[slot] = s;
  return a - (s - t) + (x - t);
}

/** Brings the three slots apart, without changing their sum. */
function part(row: Float64Array, at: number): void {
  row[at + 2] = twoSum(row, at + 1, row[at + 2]!);
  row[at + 1] = twoSum(row, at, row[at + 1]!);
  row[at + 2] = twoSum(row, at + 1, row[at + 2]!);
}

/** Below this, the square of a number is no longer the exact sum of two doubles ... */
const SQUARE_MIN = 2 ** -960;
/** ... and what the two lack is less than this. */
const SQUARE_LOST = 2 ** -1070;

/** Adds the square of a number, exactly, to the sum at `at`. */
export function addSquare(row: Float64Array, at: number, x: number): void {
  const square = x * x;
  addToSum(row, at, square);
  addToSum(row, at, productError(x, x, square));
  if (square < SQUARE_MIN && x !== 0) row[at + 3] = row[at + 3]! + SQUARE_LOST;
}

/** Adds the sum of `other` at `from` to the one at `to`, its slots from the last to the first. */
function mergeSum(row: Float64Array, to: number, other: Float64Array, from: number): void {
  for (let slot = 2; slot >= 0; slot--) {
    const x = other[from + slot]!;
    if (x !== 0) addToSum(row, to, x);
  }
  row[to + 3] = row[to + 3]! + other[from + 3]!;
}

/** A sum in its one form: high is the exact sum rounded, low what is left rounded, rest the remainder. */
export interface ExactSum {
  readonly high: number;
  readonly low: number;
  readonly rest: number;
  /** What the sum may be off by. */
  readonly lost: number;
}

/** The sum at `at`, with `more` added to it. */
export function readSum(row: Float64Array, at: number, more = 0): ExactSum {
  const parted = row.slice(at, at + NUMERIC_OP_SLOTS.sum);
  if (more !== 0) addToSum(parted, 0, more);
  // Three slots are apart after two rounds, whatever overlapped; the third closes a gap that one left.
  for (let round = 0; round < 3; round++) part(parted, 0);
  let [high, low, rest] = parted as unknown as [number, number, number];
  // A tie was rounded to even: what lies behind it may say otherwise.
  if (rest !== 0 && rest > 0 === low > 0) {
    const up = high + 2 * low;
    if (up - high === 2 * low) {
      high = up;
      low = -low;
    }
  }
  return { high, low, rest, lost: parted[3]! };
}

/** A sum without rounding, in units of 2^-1074. */
export function unitsOf({ high, low, rest }: ExactSum): bigint {
  return toUnits(high) + toUnits(low) + toUnits(rest);
}

/**
 * What `finish` makes of the sum at `at`; undefined where the sum has lost so much that what it makes is not
 * settled.
 */
export function settledSum(
  row: Float64Array,
  at: number,
  finish: (sum: ExactSum) => number,
): number | undefined {
  const result = finish(readSum(row, at));
  const lost = row[at + 3]! * 1.001;
  if (!(lost > 0)) return result;
  return finish(readSum(row, at, lost)) === finish(readSum(row, at, -lost)) ? result : undefined;
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
