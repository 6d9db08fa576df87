/**
 * One accumulator of a numeric state. A state is a row of 64-bit floats; each op owns the given number of
 * slots:
 * - `count` 1 slot, starts at 0, merges by addition (always an exact integer below 2^53);
 * - `sum` 4 slots: an exact sum in three parts, starts at (0, 0, 0), merges without rounding, and a bound of
 *   what even three could not hold; its value is the sum of the first three;
 * - `min` 1 slot, starts at +Infinity; `max` 1 slot, starts at -Infinity.
 */
export type NumericOp = "count" | "sum" | "min" | "max";

/** Slots one op owns. Part of the run file format: frozen. */
export const NUMERIC_OP_SLOTS: Readonly<Record<NumericOp, number>> = { count: 1, sum: 4, min: 1, max: 1 };

/**
 * What a plain number puts into one op: 1, itself, its square (exactly), or 0 where it is a
 * safe integer and 1 where it is not.
 */
export type NumberFold = "one" | "value" | "square" | "inexact";

/**
 * The state of an aggregator as a fixed row of 64-bit floats, which kernels can start and merge by
 * themselves.
 */
export interface NumericState<in V, out O> {
  readonly ops: readonly NumericOp[];
  /**
   * Folds one value into the row at `at` (index of its first slot). Throws SheafError VALUE_INVALID on a
   * value it cannot take.
   */
  add(row: Float64Array, at: number, value: V): void;
  /** The result of the row at `at`. */
  result(row: Float64Array, at: number): O;
  /**
   * Set where a value that is `undefined` (emit called without a value) is one more for a single `count` op,
   * so that kernels may count without calling `add`.
   */
  readonly countsOnly?: boolean;
  /**
   * Set where `add` for a plain number is: fold the number into every op (count adds 1). Lets kernels add
   * numbers taken from bytes.
   */
  readonly takesNumber?: boolean;
  /**
   * Set where `add` takes plain finite numbers, more general than `takesNumber`: what a number puts into each
   * op, in the order of `ops` (`sum` has "value" for its sum and "inexact" for its `max`). Other numbers and
   * values go to `add`, which refuses them.
   */
  readonly folds?: readonly NumberFold[];
}

/** Results that can be scaled from a sample of the records to all of them. */
export type EstimatedKind = "count" | "sum" | "mean";

/**
 * A reduce that is a monoid: `empty`, `add` one value, `merge` two states (left came first), `result`.
 * Laws, checked by property tests: merge is associative; `empty` is its identity; folding values in one state
 * equals folding parts and merging them in order. `add` and `merge` may change and return `state`/`left`;
 * they never keep or change `right`.
 *
 * V: values taken. O: result. S: state, private to the aggregator.
 */
export interface Aggregator<in V, out O, S = unknown> {
  /** The name of the aggregator: "sum", "topK" ... */
  readonly kind: string;
  /**
   * Its parameters as plain JSON data: two aggregators with equal kind and spec have exchangeable packed
   * states.
   */
  readonly spec: unknown;
  /**
   * Present when the state is a fixed row of numbers: then the engine uses this instead of the functions
   * below.
   */
  readonly numeric?: NumericState<V, O>;
  /** Set where the order of the values does not change the result. `testJob` holds the aggregator to it. */
  readonly commutative?: boolean;
  /**
   * What the result is of the values, for `--estimate`: how many there are, their sum, or their mean (of
   * numbers; bigints add up, too). Left out: what a sample of the records gives is not scaled to all of them.
   */
  readonly estimated?: EstimatedKind;
  /**
   * Set where the result is an object of the results of these, each of which gets the value's field of its
   * name, or the value itself when that is a number: see `stats`.
   */
  readonly members?: Readonly<Record<string, Aggregator<never, unknown>>>;
  empty(): S;
  /** Where it throws, the state is as it was. */
  add(state: S, value: V): S;
  /**
   * Throws what `add` would throw, and changes nothing. For `stats()`, which adds to all of its members or to
   * none; a member without it is asked to add to an empty state.
   */
  check?(state: S, value: V): void;
  merge(left: S, right: S): S;
  result(state: S): O;
  /**
   * The state as data (null, booleans, numbers, strings, bigint, Uint8Array, arrays, plain objects); `unpack`
   * is its inverse.
   */
  pack(state: S): unknown;
  unpack(data: unknown): S;
  /** Estimated bytes the state occupies in memory: drives spilling. */
  sizeOf(state: S): number;
}

/** True for anything shaped like an Aggregator. */
export function isAggregator(value: unknown): value is Aggregator<never, unknown> {
  return (
    typeof value === "object" && value !== null && "kind" in value && "merge" in value && "empty" in value
  );
}
