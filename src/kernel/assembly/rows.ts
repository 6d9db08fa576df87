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
      mergeSum(row, other);
      row += SUM_BYTES;
      other += SUM_BYTES;
    } else {
      putSlot(op, row, x);
      row += 8;
      other += 8;
    }
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
    if (fold == FOLD_ONE) x = 1;
    else if (fold == FOLD_INEXACT) x = abs(value) <= 9007199254740991.0 && trunc(value) == value ? 0 : 1;
    else if (fold == FOLD_SQUARE) x = value * value;
    if (op == OP_SUM) {
      if (fold == FOLD_SQUARE) addSquare(row, value, x);
      else addToSum(row, x);
      row += SUM_BYTES;
    } else {
      putSlot(op, row, x);
      row += 8;
    }
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

/** Bytes of a sum: three parts and what they lack. See src/aggregate/numeric-row.ts, which this follows. */
const SUM_BYTES: usize = 32;

@inline
function addToSum(sum: usize, x: f64): void {
  const error = twoSum(sum, x);
  if (error != 0) carry(sum, error);
}

/** Adds to one slot; returns the error. */
@inline
function twoSum(slot: usize, x: f64): f64 {
  const a = load<f64>(slot);
  const s = a + x;
  const t = s - a;
  store<f64>(slot, s);
  return a - (s - t) + (x - t);
}

@inline
function carry(sum: usize, x: f64): void {
  const error = twoSum(sum + 8, x);
  if (error != 0) carryOn(sum, error);
}

function carryOn(sum: usize, x: f64): void {
  const rest = twoSum(sum + 16, x);
  store<f64>(sum + 16, twoSum(sum + 8, load<f64>(sum + 16)));
  store<f64>(sum + 8, twoSum(sum, load<f64>(sum + 8)));
  store<f64>(sum + 16, twoSum(sum + 8, load<f64>(sum + 16)));
  if (rest == 0) return;
  store<f64>(sum + 24, load<f64>(sum + 24) + abs(twoSum(sum + 16, rest)));
}

function addSquare(sum: usize, x: f64, square: f64): void {
  addToSum(sum, square);
  addToSum(sum, squareError(x, square));
  if (square < SQUARE_MIN && x != 0) store<f64>(sum + 24, load<f64>(sum + 24) + SQUARE_LOST);
}

/** 2^-960 and 2^-1070. */
const SQUARE_MIN: f64 = reinterpret<f64>(<u64>(1023 - 960) << 52);
const SQUARE_LOST: f64 = reinterpret<f64>(<u64>1 << 4);

function mergeSum(sum: usize, other: usize): void {
  const c = load<f64>(other + 16);
  const b = load<f64>(other + 8);
  const a = load<f64>(other);
  if (c != 0) addToSum(sum, c);
  if (b != 0) addToSum(sum, b);
  if (a != 0) addToSum(sum, a);
  store<f64>(sum + 24, load<f64>(sum + 24) + load<f64>(other + 24));
}

/** The error of `square = x * x` (Dekker's product): see productError in src/aggregate/double-double.ts. */
@inline
function squareError(x: f64, square: f64): f64 {
  const split = 134217729.0 * x;
  const high = split - (split - x);
  const low = x - high;
  return low * low - (square - high * high - low * high - high * low);
}
