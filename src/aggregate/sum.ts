import { SheafError } from "../base/errors.ts";
import type { Aggregator } from "../job/aggregator.ts";
import { numericAggregator } from "./numeric-aggregator.ts";
import { addToSum } from "./numeric-row.ts";
import { refuseNumber, refuseOverflow } from "./refuse.ts";

/** Within this, adding a 32-bit integer to an integer is exact in one addition, and the low half is zero. */
const PLAIN_MAX = 2 ** 52;

/**
 * The sum of numbers; 0 for none. It is computed with twice the precision of a number and rounded once, so
 * that neither order nor splits show in it. A sum of integers is exact, and refused when it is beyond 2^53
 * - 1.
 *
 * Values: finite numbers; others throw VALUE_INVALID. The result throws NUMBER_RANGE when the values are
 * all safe integers and it is not one itself (use `sumBig()`), and when it overflows.
 */
export function sum(): Aggregator<number, number, Float64Array> {
  // The `max` slot: -Infinity nothing added, 0 only safe integers, 1 other numbers as well.
  return numericAggregator<number, number>("sum", null, {
    ops: ["sum", "max"],
    folds: ["value", "inexact"],
    add(row, at, value) {
      if (typeof value === "number" && (value | 0) === value && row[at + 2]! <= 0) {
        const high = row[at]!;
        if (high <= PLAIN_MAX && high >= -PLAIN_MAX) {
          row[at] = high + value;
          row[at + 2] = 0;
          return;
        }
      }
      addChecked(row, at, value);
    },
    result(row, at) {
      const total = row[at]! + row[at + 1]!;
      if (!Number.isFinite(total)) throw refuseOverflow("sum");
      if (row[at + 2]! <= 0 && !Number.isSafeInteger(total)) {
        throw new SheafError(
          "NUMBER_RANGE",
          `sum(): the integers add up to about ${total}, beyond 2^53 - 1`,
          {
            hint: "Use sumBig(), whose result is a bigint.",
          },
        );
      }
      return total;
    },
  });
}

function addChecked(row: Float64Array, at: number, value: number): void {
  if (!Number.isFinite(value)) throw refuseNumber("sum", value);
  addToSum(row, at, value, 0);
  const inexact = Number.isSafeInteger(value) ? 0 : 1;
  if (inexact > row[at + 2]!) row[at + 2] = inexact;
}
