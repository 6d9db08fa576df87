import type { Aggregator } from "../job/aggregator.ts";
import { mean } from "./mean.ts";
import { numericAggregator } from "./numeric-aggregator.ts";
import { studentT95 } from "./student-t.ts";
import { varianceState } from "./variance.ts";

/** What is known of the mean of the distribution that the values are a sample of. */
export interface Confidence {
  readonly count: number;
  /** null for no values. */
  readonly mean: number | null;
  /** Of the sample (n - 1); null for fewer than two values. */
  readonly stddev: number | null;
  /**
   * Half the width of the 95 % confidence interval of the mean, which is mean - ci95 to mean + ci95:
   * Student's t for n - 1 degrees of freedom times stddev / sqrt(n). null for fewer than two values.
   */
  readonly ci95: number | null;
}

/**
 * The mean with its 95 % confidence interval: how well is it known? Sums are exact, as those of `mean()` and
 * `stddev()`. Values: finite numbers; others throw VALUE_INVALID. The interval holds for values that do not
 * depend on each other, and for few values only if they are about normally distributed: of rare, large wins
 * it says little until there were some. The result throws NUMBER_RANGE as those two do.
 */
export function confidence(): Aggregator<number, Confidence, Float64Array> {
  const ofMean = mean().numeric!;
  const ofSpread = varianceState("stddev", true, "confidence");
  return numericAggregator<number, Confidence>("confidence", null, {
    ...ofSpread,
    result(row, at) {
      const count = row[at]!;
      const spread = ofSpread.result(row, at);
      const ci95 = spread === null ? null : (studentT95(count - 1) * spread) / Math.sqrt(count);
      return { count, mean: ofMean.result(row, at), stddev: spread, ci95 };
    },
  });
}
