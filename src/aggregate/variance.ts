import type { Aggregator, NumericState } from "../job/aggregator.ts";
import type { DoubleDouble } from "./double-double.ts";
import { multiply, productError } from "./double-double.ts";
import { numericAggregator } from "./numeric-aggregator.ts";
import { addToSum } from "./numeric-row.ts";
import { refuseNumber, refuseOverflow } from "./refuse.ts";

export interface VarianceOptions {
  /**
   * True: the values are a sample, divide by n - 1. Default false: they are the whole population, divide by
   * n.
   */
  readonly sample?: boolean;
}

/**
 * The variance; null for none (for a sample: for fewer than two). Sums and sums of squares are kept with
 * twice the precision of a number, so that neither order nor splits show in the result and nothing cancels
 * that a number could show. Values: finite numbers; others throw VALUE_INVALID. The result throws
 * NUMBER_RANGE when the squares overflow.
 */
export function variance(options: VarianceOptions = {}): Aggregator<number, number | null, Float64Array> {
  const sample = options.sample ?? false;
  return numericAggregator(
    "variance",
    { sample },
    varianceState("variance", sample, (value) => value),
  );
}

/** The standard deviation: the root of `variance()`, with the same values, options and errors. */
export function stddev(options: VarianceOptions = {}): Aggregator<number, number | null, Float64Array> {
  const sample = options.sample ?? false;
  return numericAggregator("stddev", { sample }, varianceState("stddev", sample, Math.sqrt));
}

/**
 * Slots: count, sum (2), sum of squares (2), min, max. The last two tell a constant, whose variance is
 * exactly 0.
 */
function varianceState(
  kind: string,
  sample: boolean,
  finish: (variance: number) => number,
): NumericState<number, number | null> {
  return {
    ops: ["count", "sum", "sum", "min", "max"],
    folds: ["one", "value", "square", "value", "value"],
    add(row, at, value) {
      if (!Number.isFinite(value)) throw refuseNumber(kind, value);
      const square = value * value;
      row[at] = row[at]! + 1;
      addToSum(row, at + 1, value, 0);
      addToSum(row, at + 3, square, productError(value, value, square));
      if (value < row[at + 5]!) row[at + 5] = value + 0;
      if (value > row[at + 6]!) row[at + 6] = value + 0;
    },
    result(row, at) {
      const count = row[at]!;
      const divisor = sample ? count - 1 : count;
      if (count === 0 || divisor === 0) return null;
      if (row[at + 5] === row[at + 6]) return 0;
      const sum = { high: row[at + 1]!, low: row[at + 2]! };
      const squares = { high: row[at + 3]!, low: row[at + 4]! };
      const spread = spreadOf(count, sum, squares);
      if (!Number.isFinite(spread)) throw refuseOverflow(kind);
      return finish(Math.max(0, spread) / divisor);
    },
  };
}

/**
 * The sum of (x - mean)^2, as (n * squares - sum^2) / n: nothing is rounded before the subtraction, where a
 * plain double would lose everything, as long as the products have no more than 106 bits.
 */
function spreadOf(count: number, sum: DoubleDouble, squares: DoubleDouble): number {
  const all = multiply(squares, { high: count, low: 0 });
  const square = multiply(sum, sum);
  const row = new Float64Array([all.high, all.low]);
  addToSum(row, 0, -square.high, -square.low);
  return row[0]! / count;
}
