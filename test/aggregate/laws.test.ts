import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { argMax, argMin } from "#src/aggregate/arg-extreme.js";
import { collect } from "#src/aggregate/collect.js";
import { confidence } from "#src/aggregate/confidence.js";
import { count } from "#src/aggregate/count.js";
import { distinctApprox } from "#src/aggregate/distinct-approx.js";
import { distinct, set } from "#src/aggregate/distinct.js";
import { first, last } from "#src/aggregate/first-last.js";
import { histogram } from "#src/aggregate/histogram.js";
import { mean } from "#src/aggregate/mean.js";
import { max, min } from "#src/aggregate/min-max.js";
import { initRow, mergeNumericRow, slotsOf } from "#src/aggregate/numeric-row.js";
import { median, quantiles } from "#src/aggregate/quantiles.js";
import { stats } from "#src/aggregate/stats.js";
import { sumBig } from "#src/aggregate/sum-big.js";
import { sum } from "#src/aggregate/sum.js";
import { topK } from "#src/aggregate/top-k.js";
import { stddev, variance } from "#src/aggregate/variance.js";
import type { Aggregator } from "#src/job/aggregator.js";
import { compareKeys } from "#src/job/key-order.js";
import type { Key } from "#src/job/key.js";
import { check, fold, foldByPlan, planArbitrary, repack, shuffled, stateOf } from "./support.js";

interface Case {
  readonly name: string;
  readonly aggregator: Aggregator<never, unknown>;
  /** One value. */
  readonly value: fc.Arbitrary<unknown>;
  /** What the aggregator should make of values, computed in the plainest way. */
  naive?(values: readonly never[]): unknown;
}

const decimal = fc.integer({ min: -100_000, max: 100_000 }).map((n) => n / 100);
const number = fc.oneof(fc.integer({ min: -1000, max: 1000 }), decimal, fc.constant(-0));
const integer = fc.oneof(fc.integer({ min: -1000, max: 1000 }), fc.integer());
const key: fc.Arbitrary<Key> = fc.oneof(
  fc.constantFrom<Key>(null, true, false, 0, -0, 1, "1", "", "é", "\u{1F600}", "\uFF5E", "\uD800"),
  fc.nat(20),
  fc.string({ maxLength: 2 }),
  fc.uint8Array({ maxLength: 2 }).map((bytes) => Uint8Array.from(bytes)),
  fc.array(fc.nat(2), { maxLength: 2 }),
);
const data = fc.oneof(
  key,
  fc.record({ id: fc.nat(9), ["__proto__"]: fc.string({ maxLength: 2 }) }, { noNullPrototype: true }),
);

const noNegativeZero = (values: readonly number[]): number[] => values.map((value) => value + 0);
const ascending = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);
const differentKeys = (values: readonly Key[]): Key[] =>
  [...values].sort(compareKeys).filter((value, i, all) => i === 0 || compareKeys(all[i - 1]!, value) !== 0);
const bestFirst = (items: readonly [number, unknown][]): [number, unknown][] =>
  [...items].sort((a, b) => b[0] - a[0]);

function define<V>(
  name: string,
  aggregator: Aggregator<V, unknown>,
  value: fc.Arbitrary<V>,
  naive?: (values: readonly V[]) => unknown,
): Case {
  return { name, aggregator, value, ...(naive && { naive: naive as (values: readonly never[]) => unknown }) };
}

const pair = fc.tuple(fc.nat(5), data);
const cases: readonly Case[] = [
  define("count", count(), data, (values) => values.length),
  define("sum of integers", sum(), integer, (values) => values.reduce((a, b) => a + b, 0)),
  define("sum of hundredths", sum(), decimal),
  define("sumBig", sumBig(), fc.oneof(integer, fc.bigInt(), fc.maxSafeInteger()), (values) =>
    values.reduce<bigint>((a, b) => a + BigInt(b), 0n),
  ),
  define("min", min(), number, (values) =>
    values.length === 0 ? null : ascending(noNegativeZero(values))[0],
  ),
  define("max", max(), number, (values) => ascending(noNegativeZero(values)).at(-1) ?? null),
  define("mean", mean(), number),
  define("variance", variance(), number),
  define("stddev of a sample", stddev({ sample: true }), number),
  define("confidence", confidence(), number),
  define("first", first(), data, (values) => values[0] ?? null),
  define("last", last(), data, (values) => values.at(-1) ?? null),
  define(
    "argMin of pairs",
    argMin(),
    pair,
    (values) => bestFirst(values.map(([m, i]) => [-m, i]))[0]?.[1] ?? null,
  ),
  define(
    "argMax by",
    argMax({ by: ([m]: [number, unknown]) => m }),
    pair,
    (values) => bestFirst(values)[0] ?? null,
  ),
  define("topK by", topK(3, { by: ([m]: [number, unknown]) => m }), pair, (values) =>
    bestFirst(values).slice(0, 3),
  ),
  define("topK", topK<Key>(3), key, (values) => [...values].sort((a, b) => compareKeys(b, a)).slice(0, 3)),
  define("collect", collect(), data, (values) => values),
  define("distinct", distinct(), key, (values) => differentKeys(values).length),
  define("set", set(), key, (values) => differentKeys(values).map((value) => (value === 0 ? 0 : value))),
  define("distinctApprox", distinctApprox(), key, (values) => differentKeys(values).length),
  define("distinctApprox, few registers", distinctApprox({ precision: 4 }), key),
  define("quantiles", quantiles([0, 0.5, 1]), number, (values) => {
    const sorted = ascending(noNegativeZero(values));
    const middle = (sorted.length - 1) / 2;
    const half = (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
    return sorted.length === 0 ? null : [sorted[0], half, sorted.at(-1)];
  }),
  define("median", median(), number),
  define("histogram by edges", histogram({ edges: [-5, 0, 10] }), number, (values) =>
    [
      { from: null, to: -5, of: values.filter((v) => v < -5) },
      { from: -5, to: 0, of: values.filter((v) => v >= -5 && v < 0) },
      { from: 0, to: 10, of: values.filter((v) => v >= 0 && v < 10) },
      { from: 10, to: null, of: values.filter((v) => v >= 10) },
    ].map(({ from, to, of }) => ({ from, to, count: of.length })),
  ),
  define("histogram by width", histogram({ width: 0.1, start: 0.05 }), decimal),
  define(
    "stats, numeric",
    stats({ n: count(), sum: sum(), in: stats({ min: min(), var: variance() }), mean: mean() }),
    fc.oneof(
      number,
      fc.record({ sum: number, in: fc.oneof(number, fc.record({ min: number, var: number })), mean: number }),
    ),
  ),
  define(
    "stats, mixed",
    stats({ n: count(), sum: sum(), who: set<string>(), in: stats({ last: last<Key>(), max: max() }) }),
    fc.record({ sum: number, who: fc.string({ maxLength: 1 }), in: fc.record({ last: key, max: number }) }),
  ),
];

for (const { name, aggregator, value, naive } of cases as readonly (Case & {
  aggregator: Aggregator<unknown, unknown>;
})[]) {
  const values = fc.array(value, { maxLength: 40 });

  if (naive !== undefined) {
    test(`${name}: equals the plain computation`, () => {
      check(values, (list) => assert.deepEqual(fold(aggregator, list), naive(list as never[])));
    });
  }

  test(`${name}: no split, order of merging or packing changes the result`, () => {
    check(fc.tuple(values, planArbitrary), ([list, plan]) => {
      assert.deepEqual(foldByPlan(aggregator, list, plan), fold(aggregator, list));
    });
  });

  test(`${name}: empty is the identity of merge`, () => {
    check(values, (list) => {
      const wanted = fold(aggregator, list);
      const state = (): unknown => stateOf(aggregator, list);
      assert.deepEqual(aggregator.result(aggregator.merge(aggregator.empty(), state())), wanted);
      assert.deepEqual(aggregator.result(aggregator.merge(state(), aggregator.empty())), wanted);
    });
  });

  test(`${name}: merge neither keeps nor changes its right side`, () => {
    check(fc.tuple(values, values, values), ([a, b, c]) => {
      const right = stateOf(aggregator, b);
      const packed = structuredClone(aggregator.pack(right));
      let left = aggregator.merge(stateOf(aggregator, a), right);
      for (const more of c) left = aggregator.add(left, more);
      aggregator.merge(left, stateOf(aggregator, c));
      assert.deepEqual(aggregator.pack(right), packed);
    });
  });

  test(`${name}: pack and unpack round-trip, and the size is a number of bytes`, () => {
    check(values, (list) => {
      const state = stateOf(aggregator, list);
      const again = repack(aggregator, state);
      assert.deepEqual(aggregator.pack(again), aggregator.pack(state));
      assert.deepEqual(aggregator.result(again), aggregator.result(state));
      assert.ok(aggregator.sizeOf(again) > 0);
      assert.doesNotThrow(() => JSON.stringify(aggregator.spec));
    });
  });

  if (aggregator.commutative === true) {
    test(`${name}: the order of values does not change the result`, () => {
      check(fc.tuple(values, fc.integer()), ([list, seed]) => {
        assert.deepEqual(fold(aggregator, shuffled(list, seed)), fold(aggregator, list));
      });
    });
  }

  const { numeric } = aggregator;
  if (numeric !== undefined) {
    test(`${name}: rows anywhere in an array do what the generic functions do`, () => {
      check(fc.tuple(values, values, fc.nat(5)), ([a, b, at]) => {
        const slots = slotsOf(numeric.ops);
        const rows = new Float64Array(at + 2 * slots + 3).fill(7);
        for (const [start, list] of [
          [at, a],
          [at + slots, b],
        ] as const) {
          initRow(numeric.ops, rows, start);
          for (const item of list) numeric.add(rows, start, item);
        }
        mergeNumericRow(numeric.ops, rows, at, rows, at + slots);
        const state = aggregator.merge(stateOf(aggregator, a), stateOf(aggregator, b)) as Float64Array;
        assert.deepEqual(rows.subarray(at, at + slots), state.subarray());
        assert.deepEqual(numeric.result(rows, at), aggregator.result(state));
        assert.deepEqual(rows.subarray(at + 2 * slots), new Float64Array(3).fill(7));
        assert.deepEqual(rows.subarray(0, at), new Float64Array(at).fill(7));
      });
    });
  }
}
