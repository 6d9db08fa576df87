// State rows: folding numbers into them and merging them. See "Op" in ../layout.ts. Rows may lie at any
// address. Bit for bit what mergeRow and foldNumber of src/aggregate do; tests compare them.
import type { HeapViews } from "../kernels.ts";
import {
  FOLD_INEXACT,
  FOLD_ONE,
  FOLD_SQUARE,
  FOLD_VALUE,
  OP_COUNT,
  OP_FLAG,
  OP_MAX,
  OP_MIN,
  OP_SUM,
} from "../layout.ts";

/** Merges the row at `other` into the row at `row`. */
export function mergeRow(
  { u8, view }: HeapViews,
  row: number,
  other: number,
  ops: number,
  count: number,
): void {
  for (let i = 0; i < count; i++) {
    const op = u8[ops + i]! & 15;
    const x = view.getFloat64(other, true);
    if (op === OP_SUM) {
      mergeSum(view, row, other);
      row += SUM_BYTES;
      other += SUM_BYTES;
    } else {
      putSlot(view, op, row, x);
      row += 8;
      other += 8;
    }
  }
}

/** Puts a finite number into every op of a row. */
export function addNumber(
  { u8, view }: HeapViews,
  row: number,
  ops: number,
  count: number,
  value: number,
): void {
  for (let i = 0; i < count; i++) {
    const op = u8[ops + i]! & 15;
    const fold =
      u8[ops + i]! & 0xf0 || (op === OP_COUNT ? FOLD_ONE : op === OP_FLAG ? FOLD_INEXACT : FOLD_VALUE);
    const x =
      fold === FOLD_ONE
        ? 1
        : fold === FOLD_INEXACT
          ? Number.isSafeInteger(value)
            ? 0
            : 1
          : fold === FOLD_SQUARE
            ? value * value
            : value + 0;
    if (op === OP_SUM) {
      if (fold === FOLD_SQUARE) addSquare(view, row, value, x);
      else addToSum(view, row, x);
      row += SUM_BYTES;
    } else {
      putSlot(view, op, row, x);
      row += 8;
    }
  }
}

function putSlot(view: DataView, op: number, slot: number, x: number): void {
  const old = view.getFloat64(slot, true);
  if (op === OP_COUNT) view.setFloat64(slot, old + x, true);
  else if (op === OP_MIN) view.setFloat64(slot, x < old ? x : old, true);
  else if (op === OP_MAX || op === OP_FLAG) view.setFloat64(slot, x > old ? x : old, true);
}

/** Bytes of a sum: three parts and what they lack. See src/aggregate/numeric-row.ts, which this follows. */
const SUM_BYTES = 32;

function addToSum(view: DataView, sum: number, x: number): void {
  const error = twoSum(view, sum, x);
  if (error === 0) return;
  const more = twoSum(view, sum + 8, error);
  if (more === 0) return;
  const rest = twoSum(view, sum + 16, more);
  const slot = (at: number): number => view.getFloat64(sum + at, true);
  view.setFloat64(sum + 16, twoSum(view, sum + 8, slot(16)), true);
  view.setFloat64(sum + 8, twoSum(view, sum, slot(8)), true);
  view.setFloat64(sum + 16, twoSum(view, sum + 8, slot(16)), true);
  if (rest === 0) return;
  view.setFloat64(sum + 24, slot(24) + Math.abs(twoSum(view, sum + 16, rest)), true);
}

/** Adds to one slot; returns the error. */
function twoSum(view: DataView, slot: number, x: number): number {
  const a = view.getFloat64(slot, true);
  const s = a + x;
  const t = s - a;
  view.setFloat64(slot, s, true);
  return a - (s - t) + (x - t);
}

function addSquare(view: DataView, sum: number, x: number, square: number): void {
  addToSum(view, sum, square);
  addToSum(view, sum, squareError(x, square));
  if (square < 2 ** -960 && x !== 0) {
    view.setFloat64(sum + 24, view.getFloat64(sum + 24, true) + 2 ** -1070, true);
  }
}

function mergeSum(view: DataView, sum: number, other: number): void {
  for (let slot = 16; slot >= 0; slot -= 8) {
    const x = view.getFloat64(other + slot, true);
    if (x !== 0) addToSum(view, sum, x);
  }
  view.setFloat64(sum + 24, view.getFloat64(sum + 24, true) + view.getFloat64(other + 24, true), true);
}

/** The error of `square = x * x` (Dekker's product): see productError in src/aggregate/double-double.ts. */
function squareError(x: number, square: number): number {
  const split = 134_217_729 * x;
  const high = split - (split - x);
  const low = x - high;
  return low * low - (square - high * high - low * high - high * low);
}
