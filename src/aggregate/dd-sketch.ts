/**
 * DDSketch: quantiles with a relative error, from counts in buckets whose bounds grow by a constant factor.
 * Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees",
 * VLDB 2019.
 *
 * With g = (1 + error) / (1 - error), a positive x falls in bucket ceil(log_g x), that is (g^(i-1), g^i],
 * and is answered by 2 g^i / (g + 1), which is within `error` of every x in it. Negative numbers mirror
 * that, zero has a bucket of its own. Buckets are numbered so that a larger number means larger values:
 * negative ones below 0, zero at 0, positive above. No buckets are ever merged to save room, as that would
 * break the guarantee: 64-bit floats have at most 1490 / ln(g) of them, 75,000 for 1 %, and data that spans
 * twelve orders of magnitude uses 1,400.
 */
export class DdSketch {
  readonly #gamma: number;
  readonly #logGamma: number;
  /**
   * Added to bucket numbers of positive values, so that all of them are above 0: log2 of the smallest float
   * is -1074.
   */
  readonly #offset: number;

  constructor(error: number) {
    this.#gamma = (1 + error) / (1 - error);
    this.#logGamma = Math.log(this.#gamma);
    this.#offset = Math.ceil((1075 * Math.LN2) / this.#logGamma) + 1;
  }

  bucketOf(value: number): number {
    if (value === 0) return 0;
    const bucket = Math.ceil(Math.log(Math.abs(value)) / this.#logGamma) + this.#offset;
    return value > 0 ? bucket : -bucket;
  }

  /**
   * The number that stands for all values of a bucket. Powers are halved on the way, so that none
   * overflows.
   */
  valueOf(bucket: number): number {
    if (bucket === 0) return 0;
    const half = Math.exp(((Math.abs(bucket) - this.#offset) * this.#logGamma) / 2);
    const value = Math.min(half * (2 / (this.#gamma + 1)) * half, Number.MAX_VALUE);
    return bucket > 0 ? value : -value;
  }
}
