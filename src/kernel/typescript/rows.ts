// State rows: folding numbers into them and merging them. See "Op" in ../layout.ts. Rows may lie at any
// address. Bit for bit what mergeRow and foldNumber of src/aggregate do; tests compare them.
import type { HeapViews } from "../heap.ts";
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
      addToSum(view, row, x, view.getFloat64(other + 8, true));
      row += 8;
      other += 8;
    } else putSlot(view, op, row, x);
    row += 8;
    other += 8;
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
      addToSum(view, row, x, fold === FOLD_SQUARE ? squareError(value, x) : 0);
      row += 8;
    } else putSlot(view, op, row, x);
    row += 8;
  }
}

function putSlot(view: DataView, op: number, slot: number, x: number): void {
  const old = view.getFloat64(slot, true);
  if (op === OP_COUNT) view.setFloat64(slot, old + x, true);
  else if (op === OP_MIN) view.setFloat64(slot, x < old ? x : old, true);
  else if (op === OP_MAX || op === OP_FLAG) view.setFloat64(slot, x > old ? x : old, true);
}

/** AccurateDWPlusDW: see src/aggregate/numeric-row.ts, whose order of operations this is. */
function addToSum(view: DataView, sum: number, high: number, low: number): void {
  const h1 = view.getFloat64(sum, true);
  const l1 = view.getFloat64(sum + 8, true);
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
  const result = v + d;
  view.setFloat64(sum, result, true);
  view.setFloat64(sum + 8, d - (result - v), true);
}

/** The error of `square = x * x` (Dekker's product): see productError in src/aggregate/double-double.ts. */
function squareError(x: number, square: number): number {
  const split = 134_217_729 * x;
  const high = split - (split - x);
  const low = x - high;
  return low * low - (square - high * high - low * high - high * low);
}
