import type { NumberFold, NumericOp } from "../job/aggregator.ts";
import { NUMERIC_OP_SLOTS } from "../job/aggregator.ts";
import { addSquare, addToSum } from "./numeric-row.ts";

/** Small integers, because comparing them is what a loop over ops costs. */
const OP = { count: 0, sum: 1, min: 2, max: 3 } as const satisfies Record<NumericOp, number>;
const FOLD = { one: 0, value: 1, square: 2, inexact: 3 } as const satisfies Record<NumberFold, number>;

/** Ops and folds, made ready for `foldNumber`. */
export interface FoldPlan {
  readonly ops: Uint8Array;
  readonly folds: Uint8Array;
  /** First slot of each op. */
  readonly slots: Uint16Array;
}

export function planFolds(ops: readonly NumericOp[], folds: readonly NumberFold[]): FoldPlan {
  const slots = new Uint16Array(ops.length);
  for (let i = 1; i < ops.length; i++) slots[i] = slots[i - 1]! + NUMERIC_OP_SLOTS[ops[i - 1]!];
  return {
    ops: Uint8Array.from(ops, (op) => OP[op]),
    folds: Uint8Array.from(folds, (fold) => FOLD[fold]),
    slots,
  };
}

/**
 * Puts one finite number into every op of a row, as `NumericState.folds` says: what `add` does for a plain
 * number. The reference for kernels that add numbers taken from bytes.
 */
export function foldNumber(plan: FoldPlan, row: Float64Array, at: number, value: number): void {
  const { ops, folds, slots } = plan;
  // Not -0: it equals 0, and which of them came first must not show.
  const number = value + 0;
  for (let i = 0; i < ops.length; i++) {
    const slot = at + slots[i]!;
    const fold = folds[i]!;
    const folded = fold === FOLD.value ? number : foldOther(fold, number);
    switch (ops[i]) {
      case OP.count:
        row[slot] = row[slot]! + folded;
        break;
      case OP.min:
        if (folded < row[slot]!) row[slot] = folded;
        break;
      case OP.max:
        if (folded > row[slot]!) row[slot] = folded;
        break;
      default:
        if (fold === FOLD.square) addSquare(row, slot, number);
        else addToSum(row, slot, folded);
    }
  }
}

function foldOther(fold: number, number: number): number {
  if (fold === FOLD.one) return 1;
  if (fold === FOLD.square) return number * number;
  return Number.isSafeInteger(number) ? 0 : 1;
}
