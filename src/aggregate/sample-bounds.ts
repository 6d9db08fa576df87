/**
 * Intervals of 95 % for what a sample of records says of all of them, when each record is kept by itself with
 * the same probability (Bernoulli sampling).
 *
 * Counts of units: the exact binomial interval (Clopper and Pearson, Biometrika 26, 1934), turned around for
 * an unknown number of trials. Its lower bound is taken given that there was a unit at all: a key of which
 * nothing was sampled is not in the output, and without that no interval of a rare key that is there would
 * hold. From 100 units on the score interval (Wilson, JASA 22, 1927) is as good.
 *
 * Sums of weights that are not negative: Fay and Feuer, Statistics in Medicine 16 (1997), the interval of as
 * many equal weights as have the same mean and variance, the upper one with the largest weight once more.
 * Sums with both signs: from those of the two parts, Zou and Donner, Statistics in Medicine 27 (2008).
 */
import { NORMAL_95 as Z } from "./student-t.ts";

const TAIL = 0.025;
/** Up to so many units the interval is the exact one. */
const EXACT_MAX = 100;

/** What is between: null where nothing can be said. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** What is known of the weights of units: none of them negative. */
export interface Weights {
  readonly sum: number;
  readonly squares: number;
  readonly max: number;
}

export class SampleBounds {
  readonly share: number;
  readonly #lows = new Map<number, number>();
  readonly #highs = new Map<number, number>();

  /** @param share the probability that a record is kept, in (0, 1) */
  constructor(share: number) {
    this.share = share;
  }

  /** Of the sum over all units, when those sampled have these weights; null: they say nothing. */
  ofTotal({ sum, squares, max }: Weights): Interval | null {
    if (!(sum > 0) || !(squares > 0) || !Number.isFinite(squares)) return null;
    const low = (squares / sum) * this.lowest((sum * sum) / squares);
    const [more, moreSquares] = [sum + max, squares + max * max];
    const high = (moreSquares / more) * this.highest((more * more) / moreSquares - 1);
    return Number.isFinite(high) ? { low: Math.max(sum, low), high } : null;
  }

  /** Of a sum whose parts above and below zero are these; `below` without its sign. */
  ofSum(above: Weights, below: Weights): Interval | null {
    const up = this.ofTotal(above);
    const down = this.ofTotal(below);
    if (below.sum === 0) return up;
    if (above.sum === 0) return down === null ? null : { low: -down.high, high: -down.low };
    if (up === null || down === null) return null;
    const [plus, minus] = [above.sum / this.share, below.sum / this.share];
    return {
      low: plus - minus - Math.hypot(plus - up.low, down.high - minus),
      high: plus - minus + Math.hypot(up.high - plus, minus - down.low),
    };
  }

  /** The least number of units that may have given `sampled` of them, 1 or more; between whole ones too. */
  lowest(sampled: number): number {
    if (sampled > EXACT_MAX) return this.#score(sampled, -1);
    return between(Math.max(1, sampled), (units) => remembered(this.#lows, units, () => this.#low(units)));
  }

  /** The greatest number of units that may have given `sampled` of them, 0 or more. */
  highest(sampled: number): number {
    if (sampled > EXACT_MAX) return this.#score(sampled, 1);
    return between(sampled, (units) => remembered(this.#highs, units, () => this.#high(units)));
  }

  #low(sampled: number): number {
    const seen = (units: number): number => -Math.expm1(units * Math.log1p(-this.share));
    const mayBe = (units: number): boolean =>
      1 - this.#atMost(sampled - 1, units) >= TAIL * Math.min(1, seen(units));
    return firstOf(sampled, mayBe);
  }

  #high(sampled: number): number {
    return firstOf(sampled + 1, (units) => this.#atMost(sampled, units) < TAIL) - 1;
  }

  /** The probability that of so many units at most `sampled` are kept. */
  #atMost(sampled: number, units: number): number {
    if (sampled >= units) return 1;
    const odds = this.share / (1 - this.share);
    let term = Math.exp(units * Math.log1p(-this.share));
    let sum = term;
    for (let kept = 0; kept < sampled; kept++) {
      term *= ((units - kept) / (kept + 1)) * odds;
      sum += term;
    }
    return sum;
  }

  #score(sampled: number, side: 1 | -1): number {
    const left = 1 - this.share;
    const half = (Z * Z * left) / 2;
    return (sampled + half + side * Z * Math.sqrt(left * (sampled + half / 2))) / this.share;
  }
}

/** A function of whole numbers, on a straight line between them. */
function between(at: number, valueAt: (whole: number) => number): number {
  const whole = Math.floor(at);
  const value = valueAt(whole);
  return at === whole ? value : value + (at - whole) * (valueAt(whole + 1) - value);
}

function remembered(known: Map<number, number>, key: number, make: () => number): number {
  let value = known.get(key);
  if (value === undefined) known.set(key, (value = make()));
  return value;
}

/** The first whole number from `from` on for which `holds`, as it does for all behind it. */
function firstOf(from: number, holds: (value: number) => boolean): number {
  let low = from - 1;
  let step = 1;
  while (!holds(low + step)) {
    low += step;
    step *= 2;
  }
  let high = low + step;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (holds(middle)) high = middle;
    else low = middle;
  }
  return high;
}
