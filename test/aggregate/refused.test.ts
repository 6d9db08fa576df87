import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { argMax, argMin } from "#src/aggregate/arg-extreme.js";
import { collect } from "#src/aggregate/collect.js";
import { count } from "#src/aggregate/count.js";
import { distinctApprox } from "#src/aggregate/distinct-approx.js";
import { distinct, set } from "#src/aggregate/distinct.js";
import { first, last } from "#src/aggregate/first-last.js";
import { histogram } from "#src/aggregate/histogram.js";
import { mean } from "#src/aggregate/mean.js";
import { max, min } from "#src/aggregate/min-max.js";
import { median, quantiles } from "#src/aggregate/quantiles.js";
import { stats } from "#src/aggregate/stats.js";
import { sumBig } from "#src/aggregate/sum-big.js";
import { sum } from "#src/aggregate/sum.js";
import { topK } from "#src/aggregate/top-k.js";
import { variance } from "#src/aggregate/variance.js";
import { SheafError, isSheafError } from "#src/base/errors.js";
import type { Aggregator } from "#src/job/aggregator.js";
import { check, fold } from "./support.js";

type Any = Aggregator<unknown, unknown>;

class Point {
  x = 1;
}

/** Values that some take and some refuse. */
const odd: readonly unknown[] = [
  0,
  1,
  2,
  3,
  1.5,
  1e300,
  NaN,
  Infinity,
  5n,
  "a",
  "b",
  undefined,
  null,
  [1, 2],
  [1, new Point()],
  [2, "x"],
  [NaN, 1],
  { a: 1 },
  new Point(),
  Symbol("s"),
  (): number => 1,
  Uint8Array.of(1),
];

const by = (value: unknown): number => {
  if (typeof value === "number") return value;
  throw new SheafError("VALUE_INVALID", `no measure of ${typeof value}`, { hint: "Give a number." });
};

/** With bounds small enough to be met. */
const members: Readonly<Record<string, Any>> = {
  count: count(),
  sum: sum(),
  sumBig: sumBig(),
  min: min(),
  max: max(),
  mean: mean(),
  variance: variance(),
  first: first(),
  last: last(),
  argMin: argMin(),
  argMaxBy: argMax({ by }),
  topK: topK(2),
  topKBy: topK(2, { by }),
  collect: collect({ max: 3 }),
  distinct: distinct({ max: 2 }),
  set: set({ max: 3 }),
  distinctApprox: distinctApprox(),
  quantiles: quantiles([0.5]),
  median: median(),
  histogram: histogram({ width: 1, max: 2 }),
} as Readonly<Record<string, unknown>> as Readonly<Record<string, Any>>;

function refusal(run: () => unknown): string | null {
  try {
    run();
    return null;
  } catch (error) {
    assert.ok(isSheafError(error), String(error));
    return `${error.code} ${error.message}`;
  }
}

/** Adds them all, and holds what each does against what `check` and the state's data say. */
function assertAllOrNothing(aggregator: Any, values: readonly unknown[]): number {
  let state = aggregator.empty();
  let refused = 0;
  for (const value of values) {
    const before = aggregator.pack(state);
    const copy = structuredClone(before);
    const foretold = refusal(() => aggregator.check!(state, value));
    assert.deepEqual(aggregator.pack(state), copy, "check has changed the state");
    const told = refusal(() => (state = aggregator.add(state, value)));
    assert.equal(foretold, told);
    if (told === null) continue;
    refused++;
    assert.deepEqual(aggregator.pack(state), copy, "something of a refused value stays");
  }
  return refused;
}

const values = fc.array(fc.constantFrom(...odd), { maxLength: 12 });

for (const [name, aggregator] of Object.entries(members)) {
  test(`${name}: check tells what add refuses, and of that nothing stays`, () => {
    let refused = 0;
    check(values, (list) => void (refused += assertAllOrNothing(aggregator, list)));
    assert.ok(refused > 0 || name === "count");
  });
}

test("stats take all of a value or nothing, whatever the members and whichever refuses", () => {
  const names = fc.uniqueArray(fc.constantFrom(...Object.keys(members)), { minLength: 2, maxLength: 4 });
  const fields = fc.array(fc.record({ a: fc.constantFrom(...odd), b: fc.constantFrom(...odd) }), {
    maxLength: 12,
  });
  let refused = 0;
  check(fc.tuple(names, fc.boolean(), fields), ([chosen, nested, list]) => {
    const inner = Object.fromEntries(chosen.slice(1).map((name) => [name, members[name]!]));
    const outer = nested ? { in: stats(inner as never) } : inner;
    const aggregator = stats({ [chosen[0]!]: members[chosen[0]!]!, ...outer } as never) as Any;
    const own = (value: { a: unknown; b: unknown }): object =>
      Object.fromEntries(chosen.map((name, i) => [name, i % 2 === 0 ? value.a : value.b]));
    refused += assertAllOrNothing(
      aggregator,
      list.map((value) => ({ ...own(value), in: own(value) })),
    );
  });
  assert.ok(refused > 100, `${refused} values were refused`);
});

test("stats ask a member that cannot check to add to an empty state", () => {
  const longest: Aggregator<string, string, string> = {
    kind: "longest",
    spec: null,
    empty: () => "",
    add(state, value) {
      if (typeof value !== "string") throw new TypeError("no text");
      return value.length > state.length ? value : state;
    },
    merge: (left, right) => (right.length > left.length ? right : left),
    result: (state) => state,
    pack: (state) => state,
    unpack: (data) => String(data),
    sizeOf: (state) => 2 * state.length,
  };
  const aggregator = stats({ all: collect<number>(), longest });
  const state = aggregator.add(aggregator.empty(), { all: 1, longest: "ab" });
  assert.throws(() => aggregator.add(state, { all: 2, longest: 7 as never }), /no text/);
  assert.deepEqual(aggregator.result(state), { all: [1], longest: "ab" });
  assert.deepEqual(fold(aggregator, [{ all: 1, longest: "a" }]), { all: [1], longest: "a" });
});
