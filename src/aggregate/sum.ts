import { SheafError } from "../base/errors.ts";
import { NUMERIC_OP_SLOTS } from "../job/aggregator.ts";
import type { Aggregator } from "../job/aggregator.ts";
import { numericAggregator } from "./numeric-aggregator.ts";
import { addToSum, settledSum } from "./numeric-row.ts";
import { refuseNumber, refuseOverflow, refuseUnsettled } from "./refuse.ts";

/** Within this, adding a 32-bit integer to an integer is exact in one addition. */
const PLAIN_MAX = 2 ** 52;
/** The `max` slot: -Infinity nothing added, 0 only safe integers, 1 other numbers as well. */
const FLAG = NUMERIC_OP_SLOTS.sum;

/**
 * The sum of numbers; 0 for none. It is the exact sum, rounded once, so that neither order nor splits show
 * in it. A sum of integers is exact, and refused when it is beyond 2^53 - 1.
 *
 * Values: finite numbers; others throw VALUE_INVALID. The result throws NUMBER_RANGE when the values are
 * all safe integers and it is not one itself (use `sumBig()`), when it, or a part of it that is added first,
 * overflows, and when values of more than three far apart magnitudes cancel so that rounding would show.
 */
export function sum(): Aggregator<number, number, Float64Array> {
  const made = numericAggregator<number, number>("sum", null, {
    ops: ["sum", "max"],
    folds: ["value", "inexact"],
    add(row, at, value) {
      if (typeof value === "number" && (value | 0) === value && row[at + FLAG]! <= 0) {
        const high = row[at]!;
        if (high <= PLAIN_MAX && high >= -PLAIN_MAX) {
          row[at] = high + value;
          row[at + FLAG] = 0;
          return;
        }
      }
      addChecked(row, at, value);
    },
    result(row, at) {
      if (!Number.isFinite(row[at]!)) throw refuseOverflow("sum");
      const total = settledSum(row, at, (exact) => exact.high);
      if (total === undefined) throw refuseUnsettled("sum");
      if (!Number.isFinite(total)) throw refuseOverflow("sum");
      if (row[at + FLAG]! <= 0 && !Number.isSafeInteger(total)) {
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
  return { ...made, estimated: "sum" };
}

function addChecked(row: Float64Array, at: number, value: number): void {
  if (!Number.isFinite(value)) throw refuseNumber("sum", value);
  addToSum(row, at, value);
  const inexact = Number.isSafeInteger(value) ? 0 : 1;
  if (inexact > row[at + FLAG]!) row[at + FLAG] = inexact;
}
