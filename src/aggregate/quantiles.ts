import { printValue } from "../base/print-value.ts";
import type { Aggregator } from "../job/aggregator.ts";
import { DdSketch } from "./dd-sketch.ts";
import { refuseArgument, refuseNumber } from "./refuse.ts";

/** Values kept as they are, before buckets take over. Part of packed states and of results: frozen. */
const EXACT_MAX = 256;
const ERROR_DEFAULT = 0.01;

export interface QuantilesOptions {
  /**
   * Largest relative error of a quantile once a key has more than 256 values, 0.0001 to 0.5. Default 0.01:
   * 1 %.
   */
  readonly error?: number;
}

/** Up to 256 values as they came; or counts per bucket. Smallest and largest are always exact. */
export interface QuantileState {
  count: number;
  min: number;
  max: number;
  values: number[] | null;
  readonly buckets: Map<number, number>;
}

/**
 * Quantiles of numbers, in the order asked: `quantiles([0.5, 0.99])` gives [median, 99th percentile]; null
 * for no values. The q-quantile of n sorted values stands at place q * (n - 1), counted from 0; between two
 * places it is interpolated in proportion, as numpy, pandas, R (type 7) and SQL's percentile_cont have it:
 * of 1, 2, 3, 4 the median is 2.5. 0 is the smallest, 1 the largest value.
 *
 * Exact up to 256 values per key. Beyond that a DDSketch gives each of the two neighbours within `error` of
 * itself; so the quantile is within `error` of the exact one, relative to it, where both neighbours have the
 * same sign, and else relative to the larger of them. A sketch is used, and not a t-digest or KLL, because it
 * only counts: whichever way values were split and states merged, the state is the same, and so is the
 * result. The others compress as they go, and their result depends on when.
 *
 * Values: finite numbers; others throw VALUE_INVALID.
 */
export function quantiles(
  qs: readonly number[],
  options: QuantilesOptions = {},
): Aggregator<number, number[] | null, QuantileState> {
  const checked = checkQuantiles(qs);
  return sketched("quantiles", options, { qs: checked }, (state, sketch) =>
    quantilesOf(state, sketch, checked),
  );
}

/** The median: the 0.5-quantile, as `quantiles()` computes it; null for no values. */
export function median(options: QuantilesOptions = {}): Aggregator<number, number | null, QuantileState> {
  return sketched("median", options, {}, (state, sketch) => quantilesOf(state, sketch, [0.5])?.[0] ?? null);
}

function sketched<O>(
  kind: string,
  options: QuantilesOptions,
  spec: object,
  result: (state: QuantileState, sketch: DdSketch) => O,
): Aggregator<number, O, QuantileState> {
  const error = options.error ?? ERROR_DEFAULT;
  if (!(error >= 0.0001 && error <= 0.5)) {
    throw refuseArgument(
      kind,
      `error is ${printValue(error)}`,
      "Give a fraction from 0.0001 to 0.5; 0.01 is 1 %.",
    );
  }
  const sketch = new DdSketch(error);
  return {
    kind,
    spec: { ...spec, error },
    commutative: true,
    empty: () => ({ count: 0, min: Infinity, max: -Infinity, values: [], buckets: new Map() }),
    add(state, value) {
      checkNumber(kind, value);
      putValue(state, sketch, value);
      return state;
    },
    check: (_state, value) => checkNumber(kind, value),
    merge(left, right) {
      if (right.values !== null) {
        for (const value of right.values) putValue(left, sketch, value);
        return left;
      }
      useBuckets(left, sketch);
      for (const [bucket, count] of right.buckets) putBucket(left, bucket, count);
      left.count += right.count;
      left.min = Math.min(left.min, right.min);
      left.max = Math.max(left.max, right.max);
      return left;
    },
    result: (state) => result(state, sketch),
    pack: packState,
    unpack: unpackState,
    sizeOf: (state) => 200 + (state.values?.length ?? 0) * 8 + state.buckets.size * 40,
  };
}

function checkNumber(kind: string, value: unknown): void {
  if (!Number.isFinite(value)) throw refuseNumber(kind, value);
}

function putValue(state: QuantileState, sketch: DdSketch, value: number): void {
  const number = value + 0;
  state.count++;
  if (number < state.min) state.min = number;
  if (number > state.max) state.max = number;
  if (state.values === null) {
    putBucket(state, sketch.bucketOf(number), 1);
  } else {
    state.values.push(number);
    if (state.values.length > EXACT_MAX) useBuckets(state, sketch);
  }
}

function putBucket(state: QuantileState, bucket: number, count: number): void {
  state.buckets.set(bucket, (state.buckets.get(bucket) ?? 0) + count);
}

function useBuckets(state: QuantileState, sketch: DdSketch): void {
  for (const value of state.values ?? []) putBucket(state, sketch.bucketOf(value), 1);
  state.values = null;
}

function quantilesOf(state: QuantileState, sketch: DdSketch, qs: readonly number[]): number[] | null {
  if (state.count === 0) return null;
  const at = valuesAt(state, sketch);
  return qs.map((q) => interpolated(q, state.count, at));
}

/** Gives the value at a place of the sorted values, counted from 0. */
function valuesAt(state: QuantileState, sketch: DdSketch): (place: number) => number {
  if (state.values !== null) {
    const values = Float64Array.from(state.values).sort();
    return (place) => values[place]!;
  }
  const buckets = sortedBuckets(state);
  return (place) => {
    if (place === 0) return state.min;
    if (place === state.count - 1) return state.max;
    let seen = 0;
    const found = buckets.find(([, count]) => (seen += count) > place)!;
    return Math.min(state.max, Math.max(state.min, sketch.valueOf(found[0])));
  };
}

function interpolated(q: number, count: number, at: (place: number) => number): number {
  // A q such as 0.07 is a little more than seven hundredths: a product so near to an integer is meant so.
  const exact = q * (count - 1);
  const near = Math.round(exact);
  const place = Math.abs(exact - near) <= exact * 4 * Number.EPSILON ? near : exact;
  const below = Math.floor(place);
  const low = at(below);
  if (below === place) return low;
  const high = at(below + 1);
  if (low === high) return low;
  const part = place - below;
  // Halves apart, so that neither their sum nor their distance overflows.
  if (part === 0.5) return Number.isFinite(low + high) ? (low + high) / 2 : low / 2 + high / 2;
  const between = low * (1 - part) + high * part;
  return Math.min(high, Math.max(low, between));
}

function sortedBuckets(state: QuantileState): [number, number][] {
  return [...state.buckets].sort((a, b) => a[0] - b[0]);
}

/**
 * Exact: the sorted values. Otherwise: { min, max, buckets: [number, count, number, count ...] } in
 * ascending order.
 */
function packState(state: QuantileState): unknown {
  if (state.values !== null) return [...state.values].sort((a, b) => a - b);
  return { min: state.min, max: state.max, buckets: sortedBuckets(state).flat() };
}

function unpackState(data: unknown): QuantileState {
  if (Array.isArray(data)) {
    const values = data as number[];
    const [min = Infinity] = values;
    return {
      count: values.length,
      min,
      max: values.at(-1) ?? -Infinity,
      values: [...values],
      buckets: new Map(),
    };
  }
  const packed = data as { min: number; max: number; buckets: number[] };
  const state: QuantileState = {
    count: 0,
    min: packed.min,
    max: packed.max,
    values: null,
    buckets: new Map(),
  };
  for (let i = 0; i < packed.buckets.length; i += 2) {
    state.buckets.set(packed.buckets[i]!, packed.buckets[i + 1]!);
    state.count += packed.buckets[i + 1]!;
  }
  return state;
}

function checkQuantiles(qs: readonly number[]): readonly number[] {
  const good =
    Array.isArray(qs) && qs.length > 0 && qs.every((q) => typeof q === "number" && q >= 0 && q <= 1);
  if (good) return [...qs];
  throw refuseArgument(
    "quantiles",
    `${printValue(qs)} is no list of quantiles`,
    "Give numbers from 0 to 1: [0.5, 0.99].",
  );
}
