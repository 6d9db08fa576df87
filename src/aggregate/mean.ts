import type { Aggregator } from "../job/aggregator.ts";
import { productError } from "./double-double.ts";
import { numericAggregator } from "./numeric-aggregator.ts";
import { addToSum } from "./numeric-row.ts";
import { refuseNumber, refuseOverflow } from "./refuse.ts";

/**
 * The arithmetic mean; null for none. Summed as `sum()` does it, and rounded once.
 * Values: finite numbers; others throw VALUE_INVALID. The result throws NUMBER_RANGE when the sum overflows.
 */
export function mean(): Aggregator<number, number | null, Float64Array> {
  return numericAggregator<number, number | null>("mean", null, {
    ops: ["count", "sum"],
    folds: ["one", "value"],
    takesNumber: true,
    add(row, at, value) {
      if (!Number.isFinite(value)) throw refuseNumber("mean", value);
      row[at] = row[at]! + 1;
      addToSum(row, at + 1, value, 0);
    },
    result(row, at) {
      const count = row[at]!;
      if (count === 0) return null;
      const high = row[at + 1]!;
      if (!Number.isFinite(high)) throw refuseOverflow("mean");
      // One Newton step: the quotient of the high half, then what it left over.
      const quotient = high / count;
      const product = quotient * count;
      const left = high - product - productError(quotient, count, product) + row[at + 2]!;
      return Number.isFinite(left) ? quotient + left / count : quotient;
    },
  });
}
