import type { Aggregator } from "../job/aggregator.ts";
import { keepValue, valueBytes } from "./keep-value.ts";

/** At most one value: empty before the first one came. */
export interface Held<V> {
  empty: boolean;
  value: V | null;
  /** What it occupies: asked for with every value. */
  bytes: number;
}

/** The value emitted first, in (map task, emit) order; null for none. */
export function first<V = unknown>(): Aggregator<V, V | null, Held<V>> {
  return held(
    "first",
    (state, value) => (state.empty ? hold(keepValue(value)) : state),
    (state, value) => void (state.empty && keepValue(value)),
    (left, right) => (left.empty ? { ...right } : left),
  );
}

/** The value emitted last, in (map task, emit) order; null for none. */
export function last<V = unknown>(): Aggregator<V, V | null, Held<V>> {
  return held(
    "last",
    (_state, value) => hold(keepValue(value)),
    (_state, value) => void keepValue(value),
    (left, right) => (right.empty ? left : { ...right }),
  );
}

function held<V>(
  kind: string,
  add: (state: Held<V>, value: V) => Held<V>,
  check: (state: Held<V>, value: V) => void,
  merge: (left: Held<V>, right: Held<V>) => Held<V>,
): Aggregator<V, V | null, Held<V>> {
  return {
    kind,
    spec: null,
    empty: nothing,
    add,
    check,
    merge,
    result: (state) => state.value,
    pack: (state) => (state.empty ? [] : [state.value]),
    unpack(data) {
      const [value] = data as V[];
      return (data as V[]).length === 0 ? nothing() : hold(value as V);
    },
    sizeOf: (state) => state.bytes,
  };
}

function nothing<V>(): Held<V> {
  return { empty: true, value: null, bytes: 56 };
}

function hold<V>(value: V): Held<V> {
  return { empty: false, value, bytes: 40 + valueBytes(value) };
}
