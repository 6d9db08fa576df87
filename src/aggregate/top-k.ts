import type { Aggregator } from "../job/aggregator.ts";
import { keepValue, valueBytes } from "./keep-value.ts";
import type { Measure, MeasureOptions } from "./measure.ts";
import { checkMeasure, compareMeasures } from "./measure.ts";
import { positiveInteger } from "./refuse.ts";

/** The best items so far with their measures, best first, equal ones in the order they came. */
export interface TopItems<T> {
  measures: Measure[];
  items: T[];
  /** What they occupy: asked for with every value. */
  bytes: number;
}

/**
 * The `k` items with the largest measures, largest first; of equal ones those emitted first. Values: items,
 * compared by what `by` tells of them, or by themselves without it (then they are numbers, strings or
 * arrays of these). VALUE_INVALID when a measure cannot be compared.
 */
export function topK<T>(k: number, options: MeasureOptions<T>): Aggregator<T, T[], TopItems<T>>;
export function topK<T extends Measure = number>(k: number): Aggregator<T, T[], TopItems<T>>;
export function topK(
  k: number,
  options?: MeasureOptions<unknown>,
): Aggregator<never, unknown[], TopItems<unknown>> {
  positiveInteger("topK", "k", k);
  return largest(k, options?.by);
}

function largest(
  k: number,
  by: ((item: unknown) => Measure) | undefined,
): Aggregator<unknown, unknown[], TopItems<unknown>> {
  /** Where the item would go, with copies of it and its measure; undefined where it is none of the best. */
  const placed = (state: TopItems<unknown>, item: unknown): [number, Measure, unknown] | undefined => {
    const measure = checkMeasure("topK", by === undefined ? (item as Measure) : by(item), item);
    const place = placeOf(state.measures, measure);
    return place < k ? [place, keepValue(measure), keepValue(item)] : undefined;
  };
  return {
    kind: "topK",
    spec: { k, by: by !== undefined },
    empty: () => ({ measures: [], items: [], bytes: 80 }),
    add(state, item) {
      const found = placed(state, item);
      if (found !== undefined) insert(state, found[0], k, found[1], found[2]);
      return state;
    },
    check: (state, item) => void placed(state, item),
    merge(left, right) {
      for (let i = 0; i < right.items.length; i++) {
        const place = placeOf(left.measures, right.measures[i]!);
        if (place >= k) break;
        insert(left, place, k, right.measures[i]!, right.items[i]);
      }
      return left;
    },
    result: (state) => state.items,
    pack: (state) => [state.measures, state.items],
    unpack(data) {
      const [measures, items] = data as [Measure[], unknown[]];
      const bytes = measures.reduce<number>((sum, measure, i) => sum + bytesOf(measure, items[i]), 80);
      return { measures: [...measures], items: [...items], bytes };
    },
    sizeOf: (state) => state.bytes,
  };
}

/** Where `measure` belongs: behind all that are as large, which came before it. */
function placeOf(measures: readonly Measure[], measure: Measure): number {
  let low = 0;
  let high = measures.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareMeasures(measures[middle]!, measure) >= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function insert(state: TopItems<unknown>, place: number, k: number, measure: Measure, item: unknown): void {
  state.measures.splice(place, 0, measure);
  state.items.splice(place, 0, item);
  state.bytes += bytesOf(measure, item);
  if (state.items.length > k) state.bytes -= bytesOf(state.measures.pop()!, state.items.pop());
}

function bytesOf(measure: Measure, item: unknown): number {
  return 16 + valueBytes(measure) + valueBytes(item);
}
