import type { Aggregator } from "../job/aggregator.ts";
import { keepValue, valueBytes } from "./keep-value.ts";
import type { Measure, MeasureOptions } from "./measure.ts";
import { checkMeasure, compareMeasures } from "./measure.ts";
import { refuseValue } from "./refuse.ts";

/** The best item so far; `measure` is undefined before there is one. */
export interface BestItem<T> {
  measure: Measure | undefined;
  item: T | null;
  /** What both occupy: asked for with every value. */
  bytes: number;
}

/**
 * The item with the smallest measure; null for none. Of equal ones the one emitted first. Values: [measure,
 * item] pairs, or items when `by` tells their measure. VALUE_INVALID when a measure cannot be compared.
 */
export function argMin<T>(options: MeasureOptions<T>): Aggregator<T, T | null, BestItem<T>>;
export function argMin<T = unknown>(): Aggregator<readonly [Measure, T], T | null, BestItem<T>>;
export function argMin(options?: MeasureOptions<unknown>): Aggregator<never, unknown, BestItem<unknown>> {
  return argExtreme("argMin", -1, options);
}

/**
 * The item with the largest measure; null for none. Of equal ones the one emitted first. Values as for
 * `argMin()`.
 */
export function argMax<T>(options: MeasureOptions<T>): Aggregator<T, T | null, BestItem<T>>;
export function argMax<T = unknown>(): Aggregator<readonly [Measure, T], T | null, BestItem<T>>;
export function argMax(options?: MeasureOptions<unknown>): Aggregator<never, unknown, BestItem<unknown>> {
  return argExtreme("argMax", 1, options);
}

function argExtreme(
  kind: string,
  sign: 1 | -1,
  options: MeasureOptions<unknown> | undefined,
): Aggregator<unknown, unknown, BestItem<unknown>> {
  const by = options?.by;
  const beats = (measure: Measure, state: BestItem<unknown>): boolean =>
    state.measure === undefined || sign * compareMeasures(measure, state.measure) > 0;
  /** What the state would become; undefined where it stays. */
  const better = (state: BestItem<unknown>, value: unknown): BestItem<unknown> | undefined => {
    const [measure, item] = by === undefined ? pairOf(kind, value) : [by(value), value];
    const checked = checkMeasure(kind, measure, item);
    return beats(checked, state) ? bestOf(keepValue(checked), keepValue(item)) : undefined;
  };
  return {
    kind,
    spec: { by: by !== undefined },
    empty: () => bestOf(undefined, null),
    add: (state, value) => better(state, value) ?? state,
    check: (state, value) => void better(state, value),
    merge: (left, right) => (right.measure !== undefined && beats(right.measure, left) ? { ...right } : left),
    result: (state) => state.item,
    pack: (state) => (state.measure === undefined ? [] : [state.measure, state.item]),
    unpack(data) {
      const [measure, item] = data as [Measure, unknown] | [];
      return bestOf(measure, measure === undefined ? null : item);
    },
    sizeOf: (state) => state.bytes,
  };
}

function bestOf(measure: Measure | undefined, item: unknown): BestItem<unknown> {
  return { measure, item, bytes: 40 + valueBytes(measure) + valueBytes(item) };
}

function pairOf(kind: string, value: unknown): readonly [Measure, unknown] {
  if (Array.isArray(value) && value.length === 2) return value as [Measure, unknown];
  throw refuseValue(
    kind,
    value,
    "a [measure, item] pair",
    `Emit pairs, or use ${kind}({ by: (item) => ... }).`,
  );
}
