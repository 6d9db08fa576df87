import assert from "node:assert/strict";
import { test } from "node:test";
import { argMax, argMin } from "#src/aggregate/arg-extreme.js";
import { collect } from "#src/aggregate/collect.js";
import { count } from "#src/aggregate/count.js";
import { distinct, set } from "#src/aggregate/distinct.js";
import { first, last } from "#src/aggregate/first-last.js";
import { histogram } from "#src/aggregate/histogram.js";
import { min } from "#src/aggregate/min-max.js";
import { stats } from "#src/aggregate/stats.js";
import { sum } from "#src/aggregate/sum.js";
import { topK } from "#src/aggregate/top-k.js";
import type { Aggregator } from "#src/job/aggregator.js";
import { fold, refuses, stateOf } from "./support.js";

test("collect, distinct and set hold as many values as they were told and refuse the next one", () => {
  const bounded = {
    collect: collect<number>({ max: 3 }),
    distinct: distinct({ max: 3 }),
    set: set<number>({ max: 3 }),
  };
  for (const [kind, aggregator] of Object.entries(bounded) as [string, Aggregator<number, unknown>][]) {
    assert.doesNotThrow(() => fold(aggregator, [1, 2, 3]));
    const message = new RegExp(`^${kind}\\(\\): more than 3 (different )?values for one key$`);
    refuses(() => fold(aggregator, [1, 2, 3, 4]), "VALUE_INVALID", message);
    refuses(
      () => aggregator.merge(stateOf(aggregator, [1, 2]), stateOf(aggregator, [3, 4])),
      "VALUE_INVALID",
      message,
    );
  }
  assert.equal(fold(bounded.distinct, [1, 2, 3, 3, 2, 1, 1]), 3, "equal ones do not count");
});

test("how large a state is is known without a look at what it holds: it is asked for with every value", () => {
  type Item = { readonly id: number; readonly seen: ReadonlyMap<string, ReadonlySet<number>> };
  const by = (item: Item): number => item.id % 7;
  const all: Aggregator<Item, unknown>[] = [topK(3, { by }), argMax({ by }), first(), last(), collect()];
  const items = Array.from({ length: 20 }, (_, id) => ({
    id,
    seen: new Map([["x".repeat(id), new Set([id])]]),
  }));
  const looked = new Proxy([], {
    get: () => assert.fail("looked at"),
    ownKeys: () => assert.fail("looked at"),
  });
  for (const aggregator of all) {
    const state = stateOf(aggregator, items);
    const bytes = aggregator.sizeOf(state);
    assert.equal(aggregator.sizeOf(aggregator.unpack(aggregator.pack(state))), bytes, aggregator.kind);
    for (const [name, field] of Object.entries(state as object))
      if (typeof field === "object") Object.assign(state as object, { [name]: looked });
    assert.equal(aggregator.sizeOf(state), bytes, aggregator.kind);
  }
  // What is in maps and sets counts, too.
  const kept: Aggregator<unknown, unknown> = first();
  const sizeWith = (ids: number[]): number => kept.sizeOf(stateOf(kept, [new Map([["a", new Set(ids)]])]));
  assert.ok(sizeWith(items.map(({ id }) => id)) > sizeWith([]) + 20 * 16);
});

test("bounds that are no positive integers are refused", () => {
  for (const bad of [0, -1, 1.5, Number.NaN, "3" as never]) {
    refuses(() => collect({ max: bad }), "JOB_INVALID", /^collect\(\): max is/);
    refuses(() => distinct({ max: bad }), "JOB_INVALID", /^distinct\(\): max is/);
    refuses(() => set({ max: bad }), "JOB_INVALID", /^set\(\): max is/);
    refuses(() => topK(bad), "JOB_INVALID", /^topK\(\): k is/);
    refuses(() => histogram({ width: 1, max: bad }), "JOB_INVALID", /^histogram\(\): max is/);
  }
});

test("values changed after they were added change nothing", () => {
  const by = { by: (item: { n: number; tags: string[] }) => item.n };
  for (const aggregator of [first(), last(), collect(), topK(2, by), argMin(by), argMax(by)] as Aggregator<
    unknown,
    unknown
  >[]) {
    const value = { n: 1, tags: ["a"], bytes: Uint8Array.of(1) };
    const state = aggregator.add(aggregator.empty(), value);
    value.tags.push("b");
    value.bytes[0] = 2;
    value.n = 5;
    const result = aggregator.result(state);
    assert.deepEqual(Array.isArray(result) ? result[0] : result, {
      n: 1,
      tags: ["a"],
      bytes: Uint8Array.of(1),
    });
  }
  const composed: [number, Uint8Array] = [1, Uint8Array.of(7)];
  const state = set().add(set().empty(), composed);
  composed[1][0] = 8;
  assert.deepEqual(set().result(state), [[1, Uint8Array.of(7)]]);
});

test("values of every kind of data are kept as they were", () => {
  class Point {}
  const bare: object = Object.assign(Object.create(null) as object, { a: 1 });
  const kinds = [
    new Date(5),
    new Map([[[1], { a: new Set([2]) }]]),
    Float32Array.of(1),
    Buffer.from("a"),
    bare,
    1n,
  ];
  assert.deepEqual(fold(collect(), kinds), kinds);
  refuses(() => fold(first(), [new Point()]), "VALUE_INVALID", /an instance of Point/);
  const map = new Map([["a", [1]]]);
  const state = stateOf(collect(), [map]);
  map.get("a")!.push(2);
  assert.deepEqual(collect().result(state as never), [new Map([["a", [1]]])]);
});

test("a value that contains itself is refused", () => {
  const cycle: unknown[] = [];
  cycle.push(cycle);
  refuses(() => fold(collect(), [cycle]), "VALUE_INVALID", /nested deeper than 1000/);
});

test("of equal measures the item that came first wins", () => {
  const by = { by: (item: string) => item.length };
  assert.equal(fold(argMax(by), ["a", "bb", "cc"]), "bb");
  assert.equal(fold(argMin(by), ["a", "b", "cc"]), "a");
  assert.deepEqual(fold(topK(3, by), ["a", "bb", "c", "dd", "e"]), ["bb", "dd", "a"]);
  const ties = topK<string>(2, { by: (item) => [item.length, item] });
  assert.deepEqual(fold(ties, ["a", "bb", "cc", "d"]), ["cc", "bb"], "an array settles ties");
});

test("measures that cannot be compared are refused", () => {
  refuses(() => fold(topK(2), [Number.NaN]), "VALUE_INVALID", /^topK\(\): NaN/);
  refuses(() => fold(argMin(), [[undefined as never, 1]]), "VALUE_INVALID", /^argMin\(\): undefined/);
  refuses(
    () => fold(argMax(), [5 as never]),
    "VALUE_INVALID",
    /^argMax\(\): 5 is not a \[measure, item\] pair/,
  );
});

test("a histogram's values are in the bins whose printed bounds hold them", () => {
  const tenths = histogram({ width: 0.1 });
  for (let i = -200; i < 200; i++) {
    const value = i / 10;
    const [bin] = fold(tenths, [value]);
    assert.ok(bin!.from! <= value && value < bin!.to!, `${value} in [${bin!.from}, ${bin!.to})`);
  }
  refuses(() => fold(tenths, [1e300]), "VALUE_INVALID", /1e\+300 is not within 2\^53 bins/);
  refuses(() => fold(histogram({ width: 1, max: 2 }), [1, 2, 3]), "VALUE_INVALID", /more than 2 bins/);
  for (const edges of [[], [1, 1], [2, 1], [Number.NaN], [0, Infinity]]) {
    refuses(() => histogram({ edges }), "JOB_INVALID", /^histogram\(\): edges are/);
  }
  refuses(() => histogram({ width: 0 }), "JOB_INVALID", /width is 0/);
  refuses(() => histogram({ width: 1, start: Infinity }), "JOB_INVALID", /start is Infinity/);
});

test("stats name the member that refuses, also nested, and take all of a value or nothing", () => {
  const aggregator = stats({ n: count(), win: stats({ base: sum(), free: min() }) });
  const state = aggregator.add(aggregator.empty(), { win: { base: 1, free: 2 } });
  const before = aggregator.pack(state);
  refuses(
    () => aggregator.add(state, { win: { base: 5, free: Number.NaN } }),
    "VALUE_INVALID",
    /^stats\.win\.free: min\(\): NaN/,
  );
  refuses(
    () => aggregator.add(state, {} as never),
    "VALUE_INVALID",
    /^stats\.win: stats\(\): undefined is not an object/,
  );
  refuses(() => aggregator.add(state, "x" as never), "VALUE_INVALID", /^stats\(\): "x" is not an object/);
  refuses(() => aggregator.add(state, Infinity), "VALUE_INVALID", /^stats\.win\.base: sum\(\): Infinity/);
  assert.deepEqual(aggregator.pack(state), before);
  const over = aggregator.add(aggregator.add(state, 2 ** 53 - 1), 1);
  refuses(() => aggregator.result(over), "NUMBER_RANGE", /^stats\.win\.base: sum\(\)/);
});

test("stats need members that are aggregators, and may have any names", () => {
  refuses(() => stats({}), "JOB_INVALID", /no members/);
  refuses(() => stats({ n: sum as never }), "JOB_INVALID", /member "n" is function sum/);
  const odd = stats({ ["__proto__"]: sum(), constructor: count() });
  assert.deepEqual(Object.entries(fold(odd, [2, 3])), [
    ["__proto__", 5],
    ["constructor", 2],
  ]);
});

test("stats are numeric when all members are, with their ops in order", () => {
  const numeric = stats({ n: count(), win: stats({ base: sum(), low: min() }) }).numeric;
  assert.deepEqual(numeric?.ops, ["count", "sum", "max", "min"]);
  assert.equal(numeric?.takesNumber, undefined);
  assert.equal(stats({ n: count(), all: set<number>() }).numeric, undefined);
  assert.deepEqual(fold(stats({ n: count(), all: set<number>() }), [2, 1]), { n: 2, all: [1, 2] });
});

test("measures that are infinite tie, and the first of them stays", () => {
  for (const [made, wanted] of [
    [argMax<[number, string]>({ by: ([measure]) => measure }), [Infinity, "b"]],
    [argMin<[number, string]>({ by: ([measure]) => measure }), [-Infinity, "d"]],
    [
      topK<[number, string]>(2, { by: ([measure]) => measure }),
      [
        [Infinity, "b"],
        [Infinity, "c"],
      ],
    ],
  ] as const) {
    const items: [number, string][] = [
      [5, "a"],
      [Infinity, "b"],
      [Infinity, "c"],
      [-Infinity, "d"],
      [-Infinity, "e"],
    ];
    assert.deepEqual(fold(made as Aggregator<[number, string], unknown>, items), wanted);
  }
});
