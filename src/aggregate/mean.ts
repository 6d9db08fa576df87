import type { Aggregator } from "../job/aggregator.ts";
import { productError } from "./double-double.ts";
import { fromSquareUnits, UNIT_BITS } from "./exact-ratio.ts";
import { numericAggregator } from "./numeric-aggregator.ts";
import type { ExactSum } from "./numeric-row.ts";
import { addToSum, settledSum, unitsOf } from "./numeric-row.ts";
import { refuseNumber, refuseOverflow, refuseUnsettled } from "./refuse.ts";

/** Sums beyond this are divided at a 2^100th of their size, so that no product on the way overflows. */
const PLAIN_MAX = 2 ** 900;

/**
 * The arithmetic mean; null for none. Summed as `sum()` does it, exactly, and rounded once.
 * Values: finite numbers; others throw VALUE_INVALID. The result throws NUMBER_RANGE when the sum overflows
 * or its rounding would show, as that of `sum()`.
 */
export function mean(): Aggregator<number, number | null, Float64Array> {
  const made = numericAggregator<number, number | null>("mean", null, {
    ops: ["count", "sum"],
    folds: ["one", "value"],
    takesNumber: true,
    add(row, at, value) {
      if (!Number.isFinite(value)) throw refuseNumber("mean", value);
      row[at] = row[at]! + 1;
      addToSum(row, at + 1, value);
    },
    result(row, at) {
      const count = row[at]!;
      if (count === 0) return null;
      if (!Number.isFinite(row[at + 1]!)) throw refuseOverflow("mean");
      const settled = settledSum(row, at + 1, (sum) => quotient(sum, count));
      if (settled === undefined) throw refuseUnsettled("mean");
      return settled;
    },
  });
  return { ...made, estimated: "mean" };
}

/** One Newton step: the quotient of the high part, then what it left over. Sums of three parts, exactly. */
function quotient(sum: ExactSum, count: number): number {
  const { high, low, rest } = sum;
  if (rest !== 0) {
    const top = unitsOf(sum) << UNIT_BITS;
    return top < 0n ? -fromSquareUnits(-top, BigInt(count)) : fromSquareUnits(top, BigInt(count));
  }
  const scale = Math.abs(high) > PLAIN_MAX ? 2 ** -100 : 1;
  const part = high * scale;
  const first = part / count;
  const product = first * count;
  const left = part - product - productError(first, count, product) + low * scale;
  return (first + left / count) / scale;
}
