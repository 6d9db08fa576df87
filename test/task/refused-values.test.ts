import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { argMax } from "#src/aggregate/arg-extreme.js";
import { collect } from "#src/aggregate/collect.js";
import { first, last } from "#src/aggregate/first-last.js";
import { stats } from "#src/aggregate/stats.js";
import { topK } from "#src/aggregate/top-k.js";
import { SheafError } from "#src/base/errors.js";
import { jsonl } from "#src/format/jsonl.js";
import { text } from "#src/format/text.js";
import { job } from "#src/job/define.js";
import { Stage, badOf, codecVerdict } from "./support.js";

class Point {
  x = 1;
}

const refused: readonly [name: string, value: unknown][] = [
  ["a class instance", new Point()],
  ["one inside an object", { list: [new Point()] }],
  ["one inside a Map", new Map([["k", new Point()]])],
  ["one inside a Set", new Set([new Point()])],
  ["a symbol", Symbol("s")],
  ["a function in a list", [(): number => 1]],
  ["an object with symbol fields", { [Symbol("s")]: 1 }],
  ["an array with holes", Array(2)],
  ["an array with a hole and a field", Object.assign(Array(1), { x: 1 })],
  ["a RegExp match", /a/.exec("a")],
  ["an array of a class", new (class Points extends Array {})()],
  ["a RegExp", /a/],
  ["a DataView", new DataView(new ArrayBuffer(2))],
  ["an ArrayBuffer", new ArrayBuffer(2)],
  ["bytes of a class", new (class Bytes extends Uint8Array {})(2)],
];
const by = (): number => 1;
const aggregators = { collect, first, last, topK: () => topK(2, { by }), argMax: () => argMax({ by }) };

for (const [name, value] of refused) {
  test(`${name}: aggregators of states refuse it with its record, or it is set aside`, async (t) => {
    assert.equal(codecVerdict(value), "refused");
    const stage = new Stage(t).file("in.txt", "good\nbad\ngood\n");
    for (const [kind, aggregator] of [
      ...Object.entries(aggregators),
      ["stats", () => stats({ all: collect() })] as const,
    ]) {
      const made = job({
        input: text(),
        map(line: string, emit: (key: string, value: unknown) => void) {
          const item = line === "bad" ? value : 1;
          emit(line, kind === "stats" ? { all: item } : item);
        },
        reduce: aggregator(),
        output: jsonl(),
      } as never);
      const failure = await stage.fails(made);
      assert.deepEqual(
        [failure.code, failure.phase, failure.path, failure.offset, failure.record],
        ["VALUE_INVALID", "map", "in.txt", 5, "bad"],
        kind,
      );
      assert.ok(failure.hint);
      const played = await stage.ok(made, { settings: { keepBad: true } });
      assert.match(played.text(), /good/);
      assert.doesNotMatch(played.text(), /bad/);
      assert.deepEqual(
        badOf(played.maps[0]!).map((bad) => [bad.offset, bad.code]),
        [[5, "VALUE_INVALID"]],
        kind,
      );
    }
  });
}

test("aggregators of states keep every kind of value that can be encoded", () => {
  const values = [
    { a: [1, { b: null }] },
    Object.assign(Object.create(null), { a: 1 }),
    new Date(5),
    new Map<unknown, unknown>([[{ a: 1 }, new Set([1n])]]),
    Buffer.from("b"),
    Uint8Array.of(1, 2).subarray(1),
    Uint8ClampedArray.of(1),
    Float64Array.of(0.5),
    BigUint64Array.of(1n),
    [undefined, -0, NaN, true, "ü"],
    undefined,
    JSON.parse('{"__proto__": 1}'),
  ];
  for (const value of values) {
    assert.equal(codecVerdict(value), "taken");
    const all = collect();
    const [kept] = all.result(all.add(all.empty(), value));
    assert.deepStrictEqual(kept, value);
  }
  const foreign = runInNewContext("({ list: [1, { a: 2 }] })") as unknown;
  assert.equal(codecVerdict(foreign), "taken");
  const one = first();
  assert.equal(JSON.stringify(one.result(one.add(one.empty(), foreign))), '{"list":[1,{"a":2}]}');
});

test("a value that argMax or last refuses leaves what they held", () => {
  const best = argMax<unknown>();
  const state = best.add(best.empty(), [1, "one"]);
  assert.throws(() => best.add(state, [2, new Point()]), SheafError);
  assert.equal(best.result(best.add(state, [1.5, "more"])), "more");
  const held = last();
  const none = held.empty();
  assert.throws(() => held.add(none, new Point()), SheafError);
  assert.deepEqual(held.pack(none), []);
});
