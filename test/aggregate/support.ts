import fc from "fast-check";
import assert from "node:assert/strict";
import { isSheafError } from "#src/base/errors.js";
import type { Aggregator } from "#src/job/aggregator.js";

/** Seeded: the same in every run. fast-check prints the seed and the smallest case when one fails. */
export function check<T>(arbitrary: fc.Arbitrary<T>, holds: (value: T) => void, numRuns = 200): void {
  fc.assert(fc.property(arbitrary, holds), { seed: 20260801, numRuns });
}

/** The result of folding all values in one state. */
export function fold<V, O>(aggregator: Aggregator<V, O>, values: Iterable<V>): O {
  return aggregator.result(stateOf(aggregator, values));
}

export function stateOf<V, O>(aggregator: Aggregator<V, O>, values: Iterable<V>): unknown {
  let state = aggregator.empty();
  for (const value of values) state = aggregator.add(state, value);
  return state;
}

/** A way to get at a result: which neighbours to merge, one after the other, and where to pack on the way. */
export interface Plan {
  readonly cuts: readonly number[];
  readonly merges: readonly number[];
  readonly packs: readonly boolean[];
}

export const planArbitrary: fc.Arbitrary<Plan> = fc.record({
  cuts: fc.array(fc.nat(1000), { maxLength: 6 }),
  merges: fc.array(fc.nat(1000), { minLength: 8, maxLength: 8 }),
  packs: fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }),
});

/** Cuts the values in parts (some empty), folds each, merges neighbours in the plan's order, packs some. */
export function foldByPlan<V, O>(aggregator: Aggregator<V, O>, values: readonly V[], plan: Plan): O {
  const cuts = plan.cuts.map((cut) => cut % (values.length + 1)).sort((a, b) => a - b);
  const bounds = [0, ...cuts, values.length];
  const states = bounds.slice(1).map((end, i) => stateOf(aggregator, values.slice(bounds[i], end)));
  states.push(aggregator.empty());
  for (let step = 0; states.length > 1; step++) {
    const at = plan.merges[step % plan.merges.length]! % (states.length - 1);
    let merged = aggregator.merge(states[at], states[at + 1]);
    if (plan.packs[step % plan.packs.length]) merged = repack(aggregator, merged);
    states.splice(at, 2, merged);
  }
  return aggregator.result(states[0]);
}

export function repack<V, O>(aggregator: Aggregator<V, O>, state: unknown): unknown {
  return aggregator.unpack(cloneData(aggregator.pack(state)));
}

/** What any lossless format for data does, and no more: throws on what is none. */
export function cloneData(data: unknown): unknown {
  if (data === null || typeof data === "boolean" || typeof data === "string" || typeof data === "bigint")
    return data;
  if (typeof data === "number") {
    assert.ok(Number.isFinite(data), `packed state holds ${data}, which JSON cannot`);
    return data;
  }
  if (data instanceof Uint8Array) return Uint8Array.from(data);
  if (Array.isArray(data)) return data.map(cloneData);
  assert.equal(Object.getPrototypeOf(data), Object.prototype, "packed state is not plain data");
  return Object.fromEntries(Object.entries(data as object).map(([name, field]) => [name, cloneData(field)]));
}

/** Asserts that `run` throws a SheafError with this code and a message that matches, and a hint. */
export function refuses(run: () => unknown, code: string, message: RegExp): void {
  assert.throws(run, (error: unknown) => {
    assert.ok(isSheafError(error), `not a SheafError: ${String(error)}`);
    assert.equal(error.code, code);
    assert.match(error.message, message);
    assert.ok((error.hint ?? "").length > 0, "no hint");
    return true;
  });
}

/** The values in another order, decided by `seed`. */
export function shuffled<T>(values: readonly T[], seed: number): T[] {
  let state = seed | 1;
  const keyed = values.map((value): [number, T] => {
    state = Math.imul(state, 1664525) + 1013904223;
    return [state, value];
  });
  return keyed.sort((a, b) => a[0] - b[0]).map(([, value]) => value);
}
