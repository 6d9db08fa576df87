// State rows: folding numbers into them and merging them. See "Op" in ../layout.ts.
import { OP_COUNT, OP_FLAG, OP_MAX, OP_MIN, OP_SUM } from "./layout";

/** Merges the row at `other` into the row at `row`. Rows may lie at any address. */
export function mergeRow(row: usize, other: usize, ops: usize, opsCount: u32): void {
  for (let i: u32 = 0; i < opsCount; i++) {
    const op: u32 = load<u8>(ops + i);
    if (op == OP_SUM) {
      addDoubleDouble(row, load<f64>(other), load<f64>(other + 8));
      row += 16;
      other += 16;
    } else {
      foldSlot(op, row, load<f64>(other), load<f64>(other), load<f64>(other));
      row += 8;
      other += 8;
    }
  }
}

/** Folds a number into every op of a row. */
export function addNumber(row: usize, ops: usize, opsCount: u32, x: f64): void {
  const flag: f64 = abs(x) <= 9007199254740991.0 && trunc(x) == x ? 0 : 1;
  for (let i: u32 = 0; i < opsCount; i++) {
    const op: u32 = load<u8>(ops + i);
    if (op == OP_SUM) {
      addDoubleDouble(row, x, 0);
      row += 16;
    } else {
      foldSlot(op, row, 1, x, flag);
      row += 8;
    }
  }
}

@inline
function foldSlot(op: u32, slot: usize, count: f64, x: f64, flag: f64): void {
  const old = load<f64>(slot);
  if (op == OP_COUNT) store<f64>(slot, old + count);
  else if (op == OP_MIN) store<f64>(slot, min(old, x));
  else if (op == OP_MAX) store<f64>(slot, max(old, x));
  else if (op == OP_FLAG) store<f64>(slot, max(old, flag));
}

/** Accurate double-double addition (Knuth's two-sum on both parts, renormalised twice). */
@inline
function addDoubleDouble(sum: usize, high: f64, low: f64): void {
  const high0 = load<f64>(sum);
  const low0 = load<f64>(sum + 8);
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
  store<f64>(sum, s3);
  store<f64>(sum + 8, e - (s3 - s2));
}
