// State rows: folding numbers into them and merging them. See "Op" in ../layout.ts. Rows may lie at any
// address. Bit for bit what mergeRow and foldNumber of src/aggregate do; tests compare them.
import {
  FOLD_INEXACT, FOLD_ONE, FOLD_SQUARE, FOLD_VALUE, OP_COUNT, OP_FLAG, OP_MAX, OP_MIN, OP_SUM,
} from "./layout";

/** Merges the row at `other` into the row at `row`. */
export function mergeRow(row: usize, other: usize, ops: usize, opsCount: u32): void {
  for (let i: u32 = 0; i < opsCount; i++) {
    const op: u32 = load<u8>(ops + i) & 15;
    const x = load<f64>(other);
    if (op == OP_SUM) {
      addToSum(row, x, load<f64>(other + 8));
      row += 8;
      other += 8;
    } else putSlot(op, row, x);
    row += 8;
    other += 8;
  }
}

/** Puts a finite number into every op of a row. */
export function addNumber(row: usize, ops: usize, opsCount: u32, number: f64): void {
  const value = number + 0.0;
  for (let i: u32 = 0; i < opsCount; i++) {
    const op: u32 = load<u8>(ops + i) & 15;
    let fold: u32 = load<u8>(ops + i) & 0xf0;
    if (fold == 0) fold = op == OP_COUNT ? FOLD_ONE : op == OP_FLAG ? FOLD_INEXACT : FOLD_VALUE;
    let x = value;
    let low: f64 = 0;
    if (fold == FOLD_ONE) x = 1;
    else if (fold == FOLD_INEXACT) x = abs(value) <= 9007199254740991.0 && trunc(value) == value ? 0 : 1;
    else if (fold == FOLD_SQUARE) {
      x = value * value;
      if (op == OP_SUM) low = squareError(value, x);
    }
    if (op == OP_SUM) {
      addToSum(row, x, low);
      row += 8;
    } else putSlot(op, row, x);
    row += 8;
  }
}

@inline
function putSlot(op: u32, slot: usize, x: f64): void {
  const old = load<f64>(slot);
  if (op == OP_COUNT) store<f64>(slot, old + x);
  else if (op == OP_MIN) {
    if (x < old) store<f64>(slot, x);
  } else if (op == OP_MAX || op == OP_FLAG) {
    if (x > old) store<f64>(slot, x);
  }
}

/** AccurateDWPlusDW: see src/aggregate/numeric-row.ts, whose order of operations this is. */
@inline
function addToSum(sum: usize, high: f64, low: f64): void {
  const h1 = load<f64>(sum);
  const l1 = load<f64>(sum + 8);
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
  store<f64>(sum, result);
  store<f64>(sum + 8, d - (result - v));
}

/** The error of `square = x * x` (Dekker's product): see productError in src/aggregate/double-double.ts. */
@inline
function squareError(x: f64, square: f64): f64 {
  const split = 134217729.0 * x;
  const high = split - (split - x);
  const low = x - high;
  return low * low - (square - high * high - low * high - high * low);
}
