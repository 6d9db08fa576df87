import type { Aggregator } from "../job/aggregator.ts";
import { keepValue, valueBytes } from "./keep-value.ts";
import { positiveInteger, refuseMore } from "./refuse.ts";

const MAX_DEFAULT = 10_000;

export interface CollectOptions {
  /** Values held for one key at most. Default 10,000. */
  readonly max?: number;
}

/** The values and what they occupy. */
export interface Collected<V> {
  readonly values: V[];
  bytes: number;
}

/**
 * All values of a key as an array, in (map task, emit) order. More than `max` of them throw VALUE_INVALID.
 */
export function collect<V = unknown>(options: CollectOptions = {}): Aggregator<V, V[], Collected<V>> {
  const max = positiveInteger("collect", "max", options.max ?? MAX_DEFAULT);
  const checkRoom = (state: Collected<V>): void => {
    if (state.values.length < max) return;
    const hint = "Raise it: collect({ max }), or write a reduce function, whose values stream.";
    throw refuseMore("collect", max, "values", hint);
  };
  const put = (state: Collected<V>, value: V): void => {
    checkRoom(state);
    state.values.push(value);
    state.bytes += 8 + valueBytes(value);
  };
  return {
    kind: "collect",
    spec: { max },
    empty: () => ({ values: [], bytes: 64 }),
    add(state, value) {
      put(state, keepValue(value));
      return state;
    },
    check(state, value) {
      keepValue(value);
      checkRoom(state);
    },
    merge(left, right) {
      for (const value of right.values) put(left, value);
      return left;
    },
    result: (state) => state.values,
    pack: (state) => state.values,
    unpack(data) {
      const values = data as V[];
      return { values: [...values], bytes: 16 + valueBytes(values) };
    },
    sizeOf: (state) => state.bytes,
  };
}
