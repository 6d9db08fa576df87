import type { Aggregator, NumericOp } from "../job/aggregator.ts";
import { numericAggregator } from "./numeric-aggregator.ts";
import { refuseNumber } from "./refuse.ts";

/** The smallest number; null for none. Values: finite numbers; others throw VALUE_INVALID. */
export function min(): Aggregator<number, number | null, Float64Array> {
  return extreme("min", (value, best) => value < best);
}

/** The largest number; null for none. Values: finite numbers; others throw VALUE_INVALID. */
export function max(): Aggregator<number, number | null, Float64Array> {
  return extreme("max", (value, best) => value > best);
}

function extreme(
  op: NumericOp & ("min" | "max"),
  beats: (value: number, best: number) => boolean,
): Aggregator<number, number | null, Float64Array> {
  return numericAggregator<number, number | null>(op, null, {
    ops: [op],
    folds: ["value"],
    takesNumber: true,
    add(row, at, value) {
      if (!Number.isFinite(value)) throw refuseNumber(op, value);
      // + 0 makes 0 of -0, which compares equal to it: which of them came first must not show.
      if (beats(value, row[at]!)) row[at] = value + 0;
    },
    result: (row, at) => (Number.isFinite(row[at]!) ? row[at]! : null),
  });
}
