import type { NumberFold, NumericOp } from "../job/aggregator.ts";
import { NUMERIC_OP_SLOTS } from "../job/aggregator.ts";
import { productError } from "./double-double.ts";
import { addToSum } from "./numeric-row.ts";

/**
 * Puts one finite number into every op of a row, as `NumericState.folds` says: what `add` does for a plain
 * number. The reference for kernels that add numbers taken from bytes.
 */
export function foldNumber(
  ops: readonly NumericOp[],
  folds: readonly NumberFold[],
  row: Float64Array,
  at: number,
  value: number,
): void {
  let slot = at;
  for (let i = 0; i < ops.length; i++) {
    const op = ops[i]!;
    const fold = folds[i]!;
    const folded =
      fold === "value"
        ? value + 0
        : fold === "one"
          ? 1
          : fold === "square"
            ? value * value
            : Number.isSafeInteger(value)
              ? 0
              : 1;
    if (op === "count") row[slot] = row[slot]! + folded;
    else if (op === "min") row[slot] = Math.min(row[slot]!, folded);
    else if (op === "max") row[slot] = Math.max(row[slot]!, folded);
    else addToSum(row, slot, folded, fold === "square" ? productError(value, value, folded) : 0);
    slot += NUMERIC_OP_SLOTS[op];
  }
}
