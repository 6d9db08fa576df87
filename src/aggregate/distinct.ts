import type { Aggregator } from "../job/aggregator.ts";
import { compareKeys } from "../job/key-order.ts";
import { keepValue, valueBytes } from "./keep-value.ts";
import { positiveInteger, refuseMore } from "./refuse.ts";
import type { Comparable } from "./value-bytes.ts";
import { CanonicalBytes } from "./value-bytes.ts";

const MAX_DEFAULT = 100_000;

export interface DistinctOptions {
  /** Distinct values held for one key at most. Default 100,000. */
  readonly max?: number;
}

/** Distinct values by an identity: themselves, or for bytes and arrays the text of their canonical bytes. */
export interface DistinctValues {
  readonly simple: Set<Comparable>;
  readonly composed: Map<string, Comparable>;
  bytes: number;
}

/**
 * How many different values a key has, exactly. Values are compared by content, as keys are: null,
 * booleans, numbers, strings, Uint8Arrays, arrays of these; others throw VALUE_INVALID, and so do more than
 * `max` different ones (use `distinctApprox()`).
 */
export function distinct(options: DistinctOptions = {}): Aggregator<Comparable, number, DistinctValues> {
  return distinctValues("distinct", options, sizeOfState);
}

/** The different values of a key, sorted in the order of keys. Values and bound as for `distinct()`. */
export function set<T extends Comparable = Comparable>(
  options: DistinctOptions = {},
): Aggregator<T, T[], DistinctValues> {
  return distinctValues<T, T[]>("set", options, (state) => sorted(state) as T[]);
}

function distinctValues<T extends Comparable, O>(
  kind: string,
  options: DistinctOptions,
  result: (state: DistinctValues) => O,
): Aggregator<T, O, DistinctValues> {
  const max = positiveInteger(kind, "max", options.max ?? MAX_DEFAULT);
  const canonical = new CanonicalBytes(kind);
  const checkRoom = (state: DistinctValues): void => {
    if (sizeOfState(state) < max) return;
    const hint = `Raise it: ${kind}({ max }), or use distinctApprox(), which needs 16 KiB at most.`;
    throw refuseMore(kind, max, "different values", hint);
  };
  const put = (state: DistinctValues, value: Comparable): void => {
    const identity = newIdentity(canonical, state, value);
    if (identity === undefined) return;
    checkRoom(state);
    keepNew(state, value, identity);
  };
  const empty = (): DistinctValues => ({ simple: new Set(), composed: new Map(), bytes: 200 });
  return {
    kind,
    spec: { max },
    commutative: true,
    empty,
    add(state, value) {
      put(state, value);
      return state;
    },
    check(state, value) {
      if (newIdentity(canonical, state, value) !== undefined) checkRoom(state);
    },
    merge(left, right) {
      for (const value of right.simple) put(left, value);
      for (const value of right.composed.values()) put(left, value);
      return left;
    },
    result,
    pack: sorted,
    unpack(data) {
      const state = empty();
      for (const value of data as Comparable[]) {
        const identity = newIdentity(canonical, state, value);
        if (identity !== undefined) keepNew(state, value, identity);
      }
      return state;
    },
    sizeOf: (state) => state.bytes,
  };
}

/**
 * The text of a new value's canonical bytes, "" for one that is its own identity; undefined where the state
 * has the value. @throws SheafError VALUE_INVALID for what cannot be compared by content
 */
function newIdentity(
  canonical: CanonicalBytes,
  state: DistinctValues,
  value: Comparable,
): string | undefined {
  if (typeof value === "object" && value !== null) {
    const length = canonical.write(value);
    const identity = Buffer.from(canonical.buffer.buffer, 0, length).toString("latin1");
    return state.composed.has(identity) ? undefined : identity;
  }
  if (state.simple.has(value)) return undefined;
  // Only now: refuses NaN and what is no value at all, once per distinct value.
  canonical.write(value);
  return "";
}

function keepNew(state: DistinctValues, value: Comparable, identity: string): void {
  if (typeof value === "object" && value !== null) {
    state.composed.set(identity, keepValue(value));
    state.bytes += 80 + identity.length + valueBytes(value);
  } else {
    state.simple.add(typeof value === "number" ? value + 0 : value);
    state.bytes += 32 + valueBytes(value);
  }
}

function sizeOfState(state: DistinctValues): number {
  return state.simple.size + state.composed.size;
}

function sorted(state: DistinctValues): Comparable[] {
  return [...state.simple, ...state.composed.values()].sort(compareKeys);
}
