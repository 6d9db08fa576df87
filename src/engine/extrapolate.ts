/** A number that is not known exactly. */
export interface Range {
  readonly low: number;
  readonly expected: number;
  readonly high: number;
}

/** What was measured at a size. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Sizes that tell of a slope are so many times one another. */
const APART = 1.5;
/** Smaller than this, a slope is that of something that has stopped growing. */
const FLAT = 1e-6;

/**
 * What grows with the input, at a size beyond those measured. On logarithmic scales it goes on along a line
 * whose slope falls off from the last one as it has fallen between the last two; at most it goes on with the
 * last slope, at least it falls off twice as fast. So what grows with every record is a straight line, and
 * what saturates, as the different words of texts do, is between.
 * @param measured ascending by x, of at least one; `x` above 0
 */
export function extrapolate(measured: readonly Point[], x: number): Range {
  const points = apart(measured);
  const last = points.at(-1)!;
  if (last.y <= 0) return { low: 0, expected: 0, high: 0 };
  if (x <= last.x) return exactly(interpolate(points, x));
  const slope = slopeAt(points, points.length - 1) ?? 1;
  const steps = Math.log(x / last.x);
  const before = slopeAt(points, points.length - 2);
  const width = points.length < 3 ? 1 : Math.log(last.x / points.at(-3)!.x) / 2;
  // With two points alone nobody knows whether it falls off.
  const fall = before === null || slope <= FLAT ? 1 : Math.min(1, slope / Math.max(before, slope));
  // At the last point it has fallen below what it was on the way there.
  const grown = (by: number): number => last.y * Math.exp(slope * by * reach(by, steps / width) * width);
  return { low: grown(fall * fall), expected: grown(fall), high: grown(1) };
}

/** Without those before the last that are hardly smaller than the next: their slope would be chance. */
function apart(points: readonly Point[]): Point[] {
  return points.reduceRight<Point[]>(
    (kept, point) => (kept.length > 0 && point.x * APART > kept[0]!.x ? kept : [point, ...kept]),
    [],
  );
}

/** How far a slope of 1 goes in so many steps when each leaves so much of it. */
function reach(left: number, steps: number): number {
  return left > 1 - FLAT ? steps : (left ** steps - 1) / Math.log(left);
}

/** The slope that ends at a point; null where there is none before it. */
function slopeAt(points: readonly Point[], index: number): number | null {
  const [from, to] = [points[index - 1], points[index]];
  if (from === undefined || to === undefined || from.y <= 0 || to.x <= from.x) return null;
  return Math.min(1.2, Math.max(0, Math.log(to.y / from.y) / Math.log(to.x / from.x)));
}

function interpolate(points: readonly Point[], x: number): number {
  const above = points.findIndex((point) => point.x >= x);
  const [from, to] = [points[above - 1], points[above]!];
  if (from === undefined || from.y <= 0 || to.x === from.x) return (to.y * x) / to.x;
  const share = Math.log(x / from.x) / Math.log(to.x / from.x);
  return from.y * (to.y / from.y) ** share;
}

/** What one more costs, and what all cost beside it, from the smallest and the largest that were measured. */
export function marginal(points: readonly Point[]): { readonly each: number; readonly fixed: number } {
  const [first, last] = [points[0]!, points.at(-1)!];
  if (last.x <= 0) return { each: 0, fixed: last.y };
  const all = last.y / last.x;
  const each = last.x > 1.5 * first.x ? Math.min(all, (last.y - first.y) / (last.x - first.x)) : all;
  return each > 0 ? { each, fixed: Math.max(0, last.y - each * last.x) } : { each: all, fixed: 0 };
}

/**
 * The same of time: between the last two sizes, since code that gets going takes longer for what it does
 * first. Neither is measured well on a busy machine: no less than half of what all of it says is believed.
 */
export function marginalTime(points: readonly Point[]): { readonly each: number; readonly fixed: number } {
  const last = points.at(-1)!;
  const whole = marginal(points);
  const before = points.findLast(({ x }) => x * 1.5 < last.x);
  if (before === undefined) return whole;
  const late = (last.y - before.y) / (last.x - before.x);
  const each = Math.min(whole.each, Math.max(whole.each / 2, late));
  return { each, fixed: Math.max(0, last.y - each * last.x) };
}

/**
 * How many different keys all of the input has, from those in stretches of it: at least as Chao's estimator
 * goes on (Colwell et al., Journal of Plant Ecology 5, 2012: extrapolation by incidence), which counts on
 * what is rare and misses what is rarer; at most as fast as new keys come at the end of the sample.
 * @param stretches the keys of each; @param all how many such stretches the input is
 */
export function distinctKeys(stretches: readonly (readonly string[])[], all: number): Range {
  const seen = new Map<string, number>();
  for (const keys of stretches) for (const key of new Set(keys)) seen.set(key, (seen.get(key) ?? 0) + 1);
  const count = stretches.length;
  if (seen.size === 0) return exactly(0);
  if (all <= count) return exactly(seen.size);
  let once = 0;
  let twice = 0;
  for (const times of seen.values()) {
    if (times === 1) once++;
    else if (times === 2) twice++;
  }
  if (once === 0) return exactly(seen.size);
  const missing = ((count - 1) / count) * (twice > 0 ? once ** 2 / (2 * twice) : (once * (once - 1)) / 2);
  const found = missing <= 0 ? 0 : missing * (1 - (1 - once / (count * missing + once)) ** (all - count));
  const low = seen.size + found;
  const slope = once / seen.size;
  const high = Math.max(low, seen.size * (all / count) ** slope);
  return { low, expected: Math.sqrt(low * high), high };
}

export function exactly(value: number): Range {
  return { low: value, expected: value, high: value };
}

/** A factor on a range, itself known to within a share of it. */
export function times({ low, expected, high }: Range, factor: number, spread = 0): Range {
  return {
    low: low * factor * Math.max(0, 1 - spread),
    expected: expected * factor,
    high: high * factor * (1 + spread),
  };
}

export function sumOf(ranges: readonly Range[]): Range {
  const total = (of: (range: Range) => number): number => ranges.reduce((sum, range) => sum + of(range), 0);
  return {
    low: total(({ low }) => low),
    expected: total(({ expected }) => expected),
    high: total(({ high }) => high),
  };
}

/** When the last of the tasks ends that workers take one after the other, in order. */
export function makespan(times: readonly number[], workers: number): number {
  const free = Array.from({ length: Math.max(1, Math.min(workers, times.length)) }, () => 0);
  for (const time of times) {
    let first = 0;
    for (const [worker, at] of free.entries()) if (at < free[first]!) first = worker;
    free[first]! += time;
  }
  return Math.max(...free);
}
