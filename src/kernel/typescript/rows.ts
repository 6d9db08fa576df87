// State rows: folding numbers into them and merging them. See "Op" in ../layout.ts. Rows may lie at any address.
import type { HeapViews } from "../heap.ts";
import { OP_COUNT, OP_FLAG, OP_MAX, OP_MIN, OP_SUM } from "../layout.ts";

/** Merges the row at `other` into the row at `row`. */
export function mergeRow({ u8, view }: HeapViews, row: number, other: number, ops: number, count: number): void {
  for (let i = 0; i < count; i++) {
    const op = u8[ops + i]!;
    if (op === OP_SUM) {
      addDoubleDouble(view, row, view.getFloat64(other, true), view.getFloat64(other + 8, true));
      row += 16;
      other += 16;
    } else {
      const x = view.getFloat64(other, true);
      foldSlot(view, op, row, op === OP_COUNT ? view.getFloat64(row, true) + x : x);
      row += 8;
      other += 8;
    }
  }
}

/** Folds a number into every op of a row. */
export function addNumber({ u8, view }: HeapViews, row: number, ops: number, count: number, x: number): void {
  const flag = Number.isSafeInteger(x) ? 0 : 1;
  for (let i = 0; i < count; i++) {
    const op = u8[ops + i]!;
    if (op === OP_SUM) {
      addDoubleDouble(view, row, x, 0);
      row += 16;
    } else {
      foldSlot(view, op, row, op === OP_COUNT ? view.getFloat64(row, true) + 1 : op === OP_FLAG ? flag : x);
      row += 8;
    }
  }
}

function foldSlot(view: DataView, op: number, slot: number, x: number): void {
  const old = view.getFloat64(slot, true);
  if (op === OP_COUNT) view.setFloat64(slot, x, true);
  else if (op === OP_MIN) view.setFloat64(slot, Math.min(old, x), true);
  else if (op === OP_MAX || op === OP_FLAG) view.setFloat64(slot, Math.max(old, x), true);
}

/** Accurate double-double addition (Knuth's two-sum on both parts, renormalised twice). */
function addDoubleDouble(view: DataView, sum: number, high: number, low: number): void {
  const high0 = view.getFloat64(sum, true);
  const low0 = view.getFloat64(sum + 8, true);
  const s = high0 + high;
  const sPart = s - high0;
  let e = high0 - (s - sPart) + (high - sPart);
  const t = low0 + low;
  const tPart = t - low0;
  const f = low0 - (t - tPart) + (low - tPart);
  e += t;
  const s2 = s + e;
  e = e - (s2 - s);
  e += f;
  const s3 = s2 + e;
  view.setFloat64(sum, s3, true);
  view.setFloat64(sum + 8, e - (s3 - s2), true);
}
