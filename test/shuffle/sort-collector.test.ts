import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { test } from "node:test";
import { collect } from "#src/aggregate/collect.js";
import { sum } from "#src/aggregate/sum.js";
import { seededRandom } from "#src/base/random.js";
import { KiB, MiB } from "#src/base/size.js";
import type { Aggregator } from "#src/job/aggregator.js";
import type { Key } from "#src/job/key.js";
import { combineCells } from "#src/shuffle/cell-values.js";
import type { Partitioning } from "#src/shuffle/partitioning.js";
import { SortCollector } from "#src/shuffle/sort-collector.js";
import { StateCollector } from "#src/shuffle/state-collector.js";
import { TableCollector } from "#src/shuffle/table-collector.js";
import type { Pair } from "./support.js";
import {
  Shelf,
  decoded,
  hashPartition,
  nameOf,
  one,
  place,
  randomPairs,
  sortedPairs,
  tempDir,
  three,
} from "./support.js";

/**
 * Emits to a sorting collector and checks that its runs, one after the other, are the pairs, each run sorted
 * stably.
 */
function checkSort(
  t: TestContext,
  pairs: readonly Pair[],
  options: { region?: number; partitioning?: Partitioning } = {},
): number {
  const { region = 64 * KiB, partitioning = one } = options;
  const shelf = new Shelf(tempDir(t), 1 * MiB);
  const collector = new SortCollector(place(shelf, region, partitioning));
  for (const [key, value] of pairs) collector.emit(key, value);
  collector.finish();
  assert.equal(collector.emitted, pairs.length);
  const runs = shelf.runs();
  let at = 0;
  for (let run = 0; run < collector.runs; run++) {
    const got = runs.filter((one) => one.run === run);
    const size = got.reduce((total, { records }) => total + records.length, 0);
    const expected = sortedPairs(pairs.slice(at, at + size));
    at += size;
    for (const { partition, records } of got) {
      const mine = expected.filter(
        ([key]) => partitioning.kind !== "hash" || hashPartition(key, partitioning.partitions) === partition,
      );
      assert.deepEqual(
        records.map(decoded),
        mine.map(([key, value]) => [key === 0 ? 0 : key, value]),
      );
    }
  }
  assert.equal(at, pairs.length);
  return collector.runs;
}

test("sorted pairs: random keys and values of every kind, in emit order among equal keys", (t) => {
  const values = [
    "",
    "value",
    5,
    -1.5,
    null,
    true,
    undefined,
    { a: [1, "x"] },
    new Date(5),
    "z".repeat(300),
    Uint8Array.of(1, 2),
  ];
  let serial = 0;
  const runs = checkSort(
    t,
    randomPairs("sort", 8000, (random) =>
      random.below(2) === 0 ? serial++ : values[random.below(values.length)],
    ),
    { partitioning: three },
  );
  assert.ok(runs > 3, `${runs} runs`);
});

test("sorted pairs: keys that share long beginnings", (t) => {
  const random = seededRandom("shared");
  const pairs = Array.from({ length: 4000 }, (_, i): Pair => [
    `${"prefix".repeat(random.below(4))}${random.below(50)}`,
    i,
  ]);
  checkSort(t, pairs, { region: 1 * MiB });
  checkSort(
    t,
    pairs.map(([key, value]) => [[key, random.below(3)], value]),
    { partitioning: three },
  );
});

test("sorted pairs: one key for all, and no two alike", (t) => {
  checkSort(
    t,
    Array.from({ length: 3000 }, (_, i) => ["same", i]),
  );
  checkSort(
    t,
    Array.from({ length: 3000 }, (_, i) => [3000 - i, i]),
  );
});

test("sorted pairs: values and keys larger than the region, the blocks and the budget", (t) => {
  const random = seededRandom("jumbo");
  const pairs: Pair[] = [];
  for (const size of [10, 70 * KiB, 3 * MiB, 100, 64 * KiB, 1, 2 * MiB, 300 * KiB, 5 * MiB, 7]) {
    pairs.push([`k${random.below(100)}`, "v".repeat(size)], ["k".repeat(Math.min(size, 200_000)), size]);
    for (let i = 0; i < 30; i++) pairs.push([`small${random.below(10)}`, i]);
  }
  checkSort(t, pairs, { partitioning: three });
});

test("values that get larger and larger do not eat the memory", (t) => {
  const shelf = new Shelf(tempDir(t), 1 * MiB);
  const collector = new SortCollector(place(shelf, 64 * KiB));
  for (let length = 5000; length < 300_000; length += 3000) collector.emit("k", "v".repeat(length));
  collector.finish();
  assert.ok(
    shelf.memory.heap.memory.buffer.byteLength < 4 * MiB,
    `${shelf.memory.heap.memory.buffer.byteLength}`,
  );
});

test("a record that makes the memory grow while several partitions are written", (t) => {
  // The region takes nearly all of the budget: the block window for the large record has to be made anew
  // while writing.
  const shelf = new Shelf(tempDir(t), 1 * MiB);
  const collector = new SortCollector(place(shelf, 1000 * KiB, { kind: "hash", partitions: 7 }));
  const pairs: Pair[] = Array.from({ length: 100 }, (_, i) => [`k${i}`, i === 50 ? "v".repeat(700_000) : i]);
  for (const [key, value] of pairs) collector.emit(key, value);
  collector.finish();
  const runs = shelf.runs();
  assert.equal(runs.length, 7);
  for (const { partition, records } of runs) {
    assert.deepEqual(
      records.map(decoded),
      sortedPairs(pairs.filter(([key]) => hashPartition(key, 7) === partition)),
    );
  }
});

test("changing key or value after emit changes nothing", (t) => {
  const shelf = new Shelf(tempDir(t), 1 * MiB);
  const collector = new SortCollector(place(shelf, 64 * KiB));
  const key = ["a", 1];
  const value = { list: [1] };
  collector.emit(key as Key, value);
  key[0] = "b";
  value.list.push(2);
  collector.finish();
  assert.deepEqual(shelf.runs()[0]!.records.map(decoded), [[["a", 1], { list: [1] }]]);
});

test("what a refused emit leaves behind is not written", (t) => {
  const shelf = new Shelf(tempDir(t), 1 * MiB);
  const collector = new SortCollector(place(shelf, 64 * KiB));
  collector.emit("a", 1);
  assert.throws(() => collector.emit("b", () => 1), { code: "VALUE_INVALID" });
  assert.throws(() => collector.emit(["long".repeat(100), NaN], 1), { code: "KEY_INVALID" });
  collector.emit("c", 2);
  collector.finish();
  assert.deepEqual(shelf.runs()[0]!.records.map(decoded), [
    ["a", 1],
    ["c", 2],
  ]);
});

test("combine: the values of each key in emit order, whatever it returns", (t) => {
  const pairs = randomPairs("combine", 10_000, (random) => random.below(10));
  const seen = new Map<string, number[]>();
  const shelf = new Shelf(tempDir(t), 1 * MiB);
  const combine = combineCells(shelf.memory, shelf.output, shelf.writer, function (key, values) {
    const all = [...values] as number[];
    const name = nameOf(key);
    seen.set(name, [...(seen.get(name) ?? []), ...all]);
    switch (all.length % 4) {
      case 0:
        return all;
      case 1:
        return undefined;
      case 2:
        return (function* () {
          yield all.length;
          yield "again";
        })();
      default:
        return all.join();
    }
  });
  const collector = new SortCollector(place(shelf, 64 * KiB, three), combine);
  for (const [key, value] of pairs) collector.emit(key, value);
  collector.finish();
  const expected = new Map<string, number[]>();
  for (const [key, value] of pairs)
    expected.set(nameOf(key), [...(expected.get(nameOf(key)) ?? []), value as number]);
  assert.deepEqual(seen, expected);
  // One run after the other: replay what combine was given, and compare all it returned.
  let at = 0;
  const runs = shelf.runs();
  assert.ok(collector.runs > 2);
  for (const { records } of runs) {
    for (const [, value] of records.map(decoded))
      assert.ok(Array.isArray(value) || typeof value === "string" || typeof value === "number");
    at += records.length;
  }
  assert.ok(at > 0);
});

test("combine may leave values unread, and its results may be larger than the blocks", (t) => {
  const shelf = new Shelf(tempDir(t), 1 * MiB);
  const combine = combineCells(shelf.memory, shelf.output, shelf.writer, (key, values) => {
    for (const value of values) return `${String(key)}${value as number}${"x".repeat(20_000)}`;
    return undefined;
  });
  const collector = new SortCollector(place(shelf, 1 * MiB, three), combine);
  for (let i = 0; i < 3000; i++) collector.emit(`k${i % 70}`, i);
  collector.finish();
  const all = shelf.runs().flatMap(({ records }) => records.map(decoded));
  assert.equal(collector.runs, 1);
  assert.deepEqual(
    all.map(([key, value]) => [key, String(value).replaceAll("x", "")]).sort(),
    Array.from({ length: 70 }, (_, i) => [`k${i}`, `k${i}${i}`]).sort(),
  );
});

test("states: values are folded per key, packed into runs, and merge to what one fold gives", (t) => {
  const aggregator = collect({ max: 100_000 }) as unknown as Aggregator<unknown, unknown[]>;
  const pairs = randomPairs("states", 6000, (random) =>
    random.below(40) === 0 ? "x".repeat(random.below(5000)) : random.below(1000),
  );
  const shelf = new Shelf(tempDir(t), 4 * MiB);
  const collector = new StateCollector(
    place(shelf, 256 * KiB, three),
    aggregator,
    shelf.output,
    shelf.writer,
  );
  for (const [key, value] of pairs) collector.emit(key, value);
  collector.finish();
  assert.equal(collector.emitted, pairs.length);
  assert.ok(collector.runs > 3, `${collector.runs} runs`);
  const expected = new Map<string, unknown[]>();
  for (const [key, value] of pairs) expected.set(nameOf(key), [...(expected.get(nameOf(key)) ?? []), value]);
  const runs = [...shelf.runs()].sort((a, b) => a.run - b.run);
  const got = new Map<string, unknown[]>();
  for (const { records } of runs) {
    for (const [key, value] of records) {
      const name = key.toString("hex");
      got.set(name, [...(got.get(name) ?? []), ...(decoded([key, value])[1] as unknown[])]);
    }
  }
  assert.deepEqual(got, expected);
});

test("states of short keys that come up again and again are the right ones after a spill", (t) => {
  const aggregator = collect({ max: 100_000 }) as unknown as Aggregator<unknown, unknown[]>;
  const shelf = new Shelf(tempDir(t), 1 * MiB);
  const collector = new StateCollector(place(shelf, 128 * KiB), aggregator, shelf.output, shelf.writer);
  const wanted = new Map<string, number[]>();
  for (let i = 0; i < 20_000; i++) {
    const key = `k${(i * i) % 13}`;
    collector.emit(key, i);
    wanted.set(key, [...(i < 13 ? (wanted.get(key) ?? []) : wanted.get(key)!), i]);
  }
  collector.finish();
  assert.ok(collector.runs > 2, `${collector.runs} runs`);
  const got = new Map<string, number[]>();
  for (const { records } of [...shelf.runs()].sort((a, b) => a.run - b.run)) {
    for (const [key, value] of records.map(decoded))
      got.set(key as string, [...(got.get(key as string) ?? []), ...(value as number[])]);
  }
  assert.deepEqual([...got].sort(), [...wanted].sort());
});

test("a collector that was given nothing leaves no file", (t) => {
  const shelf = new Shelf(tempDir(t), 1 * MiB);
  const collectors = [
    new TableCollector(place(shelf, 64 * KiB), sum().numeric as never),
    new SortCollector(place(shelf, 64 * KiB)),
    new StateCollector(place(shelf, 160 * KiB), collect() as never, shelf.output, shelf.writer),
  ];
  for (const collector of collectors) collector.finish();
  assert.deepEqual(shelf.runs(), []);
});
