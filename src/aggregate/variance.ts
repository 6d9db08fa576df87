import type { Aggregator, NumericState } from "../job/aggregator.ts";
import { NUMERIC_OP_SLOTS } from "../job/aggregator.ts";
import { multiply } from "./double-double.ts";
import { fromSquareUnits, UNIT_BITS } from "./exact-ratio.ts";
import { numericAggregator } from "./numeric-aggregator.ts";
import type { ExactSum } from "./numeric-row.ts";
import { addSquare, addToSum, readSum, unitsOf } from "./numeric-row.ts";
import { refuseNumber, refuseOverflow, refuseUnsettled } from "./refuse.ts";

export interface VarianceOptions {
  /**
   * True: the values are a sample, divide by n - 1. Default false: they are the whole population, divide by
   * n.
   */
  readonly sample?: boolean;
}

/**
 * The variance; null for none (for a sample: for fewer than two). The sums of the values and of their squares
 * are exact, so that neither order nor splits show in the result, and nothing cancels: values that differ in
 * their last bits alone have their variance to the last digits. It is never negative. Values: finite numbers;
 * others throw VALUE_INVALID. The result throws NUMBER_RANGE when the squares overflow (values beyond 1e154)
 * or underflow so far that it would show (below 1e-145).
 */
export function variance(options: VarianceOptions = {}): Aggregator<number, number | null, Float64Array> {
  const sample = options.sample ?? false;
  return numericAggregator("variance", { sample }, varianceState("variance", sample));
}

/** The standard deviation: the root of `variance()`, with the same values, options and errors. */
export function stddev(options: VarianceOptions = {}): Aggregator<number, number | null, Float64Array> {
  const sample = options.sample ?? false;
  return numericAggregator("stddev", { sample }, varianceState("stddev", sample));
}

/** Less than this is nothing in a variance, whose unit is 2^-1074; but not in its root. */
const LOST_MAX = 2 ** -1050;

/** Slots: count, sum, sum of squares, min, max. The last two tell a constant, whose variance is exactly 0. */
const SUM = 1;
const SQUARES = SUM + NUMERIC_OP_SLOTS.sum;
const MIN = SQUARES + NUMERIC_OP_SLOTS.sum;
const MAX = MIN + 1;

/**
 * The row begins as that of `mean()` does.
 * @param name of the aggregator, for messages
 */
export function varianceState(
  kind: "variance" | "stddev",
  sample: boolean,
  name: string = kind,
): NumericState<number, number | null> {
  const root = kind === "stddev";
  return {
    ops: ["count", "sum", "sum", "min", "max"],
    folds: ["one", "value", "square", "value", "value"],
    add(row, at, value) {
      if (!Number.isFinite(value)) throw refuseNumber(name, value);
      row[at] = row[at]! + 1;
      addToSum(row, at + SUM, value);
      addSquare(row, at + SQUARES, value);
      if (value < row[at + MIN]!) row[at + MIN] = value + 0;
      if (value > row[at + MAX]!) row[at + MAX] = value + 0;
    },
    result(row, at) {
      const count = row[at]!;
      const divisor = sample ? count - 1 : count;
      if (count === 0 || divisor === 0) return null;
      if (row[at + MIN] === row[at + MAX]) return 0;
      if (!Number.isFinite(row[at + SQUARES]!)) throw refuseOverflow(name);
      const sum = readSum(row, at + SUM);
      const squares = readSum(row, at + SQUARES);
      const found =
        plainVariance(count, divisor, sum, squares) ?? exactVariance(count, divisor, sum, squares);
      // What was lost counts as n * lost + 2 |sum| * lost in the spread, which is n * divisor variances.
      const lost = squares.lost / divisor + (2 * (Math.abs(sum.high) / count) * sum.lost) / divisor;
      if (lost > found * 1e-12 && (root || lost > LOST_MAX)) throw refuseUnsettled(name);
      return root ? Math.sqrt(found) : found;
    },
  };
}

/** Where the spread, n * squares - sum^2, is no tiny part of what is subtracted; else undefined. */
function plainVariance(count: number, divisor: number, sum: ExactSum, squares: ExactSum): number | undefined {
  const all = multiply({ high: squares.high, low: squares.low + squares.rest }, { high: count, low: 0 });
  const low = sum.low + sum.rest;
  const square = multiply({ high: sum.high, low }, { high: sum.high, low });
  const spread = all.high - square.high + (all.low - square.low);
  return Number.isFinite(spread) && spread > all.high * 2 ** -20 && spread > SPREAD_MIN
    ? spread / count / divisor
    : undefined;
}

/** Below this, parts of the products underflow. */
const SPREAD_MIN = 2 ** -800;

function exactVariance(count: number, divisor: number, sum: ExactSum, squares: ExactSum): number {
  const total = unitsOf(sum);
  const spread = ((BigInt(count) * unitsOf(squares)) << UNIT_BITS) - total * total;
  return spread <= 0n ? 0 : fromSquareUnits(spread, BigInt(count) * BigInt(divisor));
}
