import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { test } from "node:test";
import { count } from "#src/aggregate/count.js";
import { max, min } from "#src/aggregate/min-max.js";
import { stats } from "#src/aggregate/stats.js";
import { sum } from "#src/aggregate/sum.js";
import { seededRandom } from "#src/base/random.js";
import type { Random } from "#src/base/random.js";
import { KiB, MiB } from "#src/base/size.js";
import type { Aggregator } from "#src/job/aggregator.js";
import type { Key } from "#src/job/key.js";
import type { Partitioning } from "#src/shuffle/partitioning.js";
import { TableCollector } from "#src/shuffle/table-collector.js";
import type { Pair } from "./support.js";
import {
  Shelf,
  decoded,
  hashPartition,
  keyBytes,
  nameOf,
  one,
  place,
  randomPairs,
  randomText,
  tempDir,
  three,
} from "./support.js";

/** Emits to a table and checks the sum over all runs of what came out, key by key, against a Map. */
function checkTable(
  t: TestContext,
  aggregator: Aggregator<never, unknown>,
  pairs: readonly Pair[],
  options: { region?: number; partitioning?: Partitioning } = {},
): number {
  const { region = 64 * KiB, partitioning = one } = options;
  const shelf = new Shelf(tempDir(t), 1 * MiB);
  const numeric = aggregator.numeric as NonNullable<Aggregator<unknown, unknown>["numeric"]>;
  const table = new TableCollector(place(shelf, region, partitioning), numeric);
  const expected = new Map<string, unknown[]>();
  for (const [key, value] of pairs) {
    table.emit(key, value);
    const name = nameOf(key);
    if (!expected.has(name)) expected.set(name, []);
    expected.get(name)!.push(value);
  }
  table.finish();
  assert.equal(table.emitted, pairs.length);
  const { merge, add, empty, result } = aggregator as unknown as Aggregator<unknown, unknown, Float64Array>;
  const states = new Map<string, Float64Array>();
  const runs = shelf.runs();
  assert.equal(new Set(runs.map(({ run }) => run)).size, table.runs);
  for (const { partition, records } of runs) {
    let last = "";
    for (const [key, value] of records) {
      const name = key.toString("hex");
      assert.notEqual(name, last, "a key is twice in one run");
      last = name;
      const row = new Float64Array(value.length / 8);
      for (let i = 0; i < row.length; i++) row[i] = value.readDoubleLE(i * 8);
      const before = states.get(name);
      states.set(name, before === undefined ? row : merge(before, row));
      if (partitioning.kind === "hash")
        assert.equal(partition, hashPartition(decoded([key, Buffer.alloc(0)])[0], partitioning.partitions));
    }
  }
  assert.deepEqual([...states.keys()].sort(), [...expected.keys()].sort());
  for (const [name, values] of expected) {
    const wanted = result(values.reduce((state: Float64Array, value) => add(state, value), empty()));
    assert.deepEqual(result(states.get(name)!), wanted, name);
  }
  return table.runs;
}

test("a table counts random keys of every kind over many spills", (t) => {
  const runs = checkTable(
    t,
    count() as never,
    randomPairs("count", 20_000, () => undefined),
    { partitioning: three },
  );
  assert.ok(runs > 2, `${runs} runs`);
});

test("a table sums integers, small and at the edge of exactness", (t) => {
  checkTable(
    t,
    sum(),
    randomPairs("sum", 20_000, (random) => random.below(2000) - 1000),
  );
  const large = randomPairs(
    "large",
    3000,
    (random) => (random.below(2) * 2 - 1) * (2 ** 52 - random.below(3)),
    (random) => randomText(random, 1),
  );
  const wanted = new Map<Key, bigint>();
  // Beyond 2^53 - 1 the result is refused; what is left must stay below.
  const bounded = large.filter(([key, value]) => {
    const total = (wanted.get(key) ?? 0n) + BigInt(value as number);
    if (total > 2n ** 53n - 1n || total < -(2n ** 53n) + 1n) return false;
    wanted.set(key, total);
    return true;
  });
  checkTable(t, sum(), bounded);
});

test("a table sums floats and integers mixed as the aggregator alone does", (t) => {
  const value = (random: Random): number =>
    random.below(2) === 0 ? random.below(100) : (random.next() - 0.5) / 3 / 10 ** random.below(9);
  const key = (random: Random): Key => `k${random.below(9)}`;
  checkTable(t, sum(), randomPairs("floats", 10_000, value, key), { region: 4 * MiB });
  // Integers alone first, so that the short way was taken before.
  const integers = randomPairs("integers", 1000, (random) => random.below(100), key);
  checkTable(t, sum(), [...integers, ...randomPairs("then floats", 5000, value, key)], { region: 4 * MiB });
});

test("tables of min, max and nested stats", (t) => {
  checkTable(
    t,
    min(),
    randomPairs("min", 5000, (random) => random.below(1000) - 500),
  );
  checkTable(
    t,
    max(),
    randomPairs("max", 5000, (random) => -random.next()),
  );
  const nested = stats({ n: count(), low: min(), deep: stats({ total: sum(), high: max() }) });
  checkTable(
    t,
    nested as never,
    randomPairs("stats", 5000, (random) => {
      const value = random.below(1000);
      return { n: 1, low: value, deep: { total: value, high: value } };
    }),
  );
});

test("keys of all short lengths are kept apart, whatever zero bytes they hold", (t) => {
  const keys: Key[] = [];
  for (let length = 0; length <= 13; length++) {
    const base = "abcdefghijklm".slice(0, length);
    keys.push(
      base,
      `${base}\0`,
      `${base}\0\0`,
      `\0${base}`,
      "\0".repeat(length),
      `${base}é`,
      `${base}\x7f`,
      `${base}\x80`,
    );
  }
  // Several rounds, so that every key is found by each way of looking it up.
  const rounds: Pair[] = [];
  for (let round = 0; round < 5; round++) for (const key of keys) rounds.push([key, 1]);
  checkTable(t, sum(), rounds);
  checkTable(
    t,
    count() as never,
    rounds.map(([key]) => [key, undefined]),
  );
});

test("keys that differ in one character at any place are kept apart", (t) => {
  const pairs: Pair[] = [];
  for (let round = 0; round < 3; round++) {
    for (let length = 1; length <= 12; length++) {
      for (let at = 0; at < length; at++) {
        for (const letter of ["a", "b", "\0", "\x7f", "é"])
          pairs.push([`${"a".repeat(at)}${letter}${"a".repeat(length - at - 1)}`, 1]);
      }
    }
  }
  checkTable(t, sum(), pairs);
});

test("more distinct short keys than the cache has places", (t) => {
  const random = seededRandom("cache");
  checkTable(
    t,
    count() as never,
    Array.from({ length: 60_000 }, (): Pair => [`w${random.below(30_000)}`, undefined]),
    { region: 8 * MiB },
  );
});

test("a table grows from its first size to all its region holds, and finds its keys after each growth", (t) => {
  const keys = Array.from({ length: 40_000 }, (_, i) => `key-${i}-${"x".repeat(i % 9)}`);
  const runs = checkTable(
    t,
    count() as never,
    [...keys, ...keys].map((key) => [key, undefined]),
    { region: 8 * MiB },
  );
  assert.equal(runs, 1);
});

test("keys longer than the whole table are taken, one after the other", (t) => {
  const pairs: Pair[] = [];
  for (const length of [60 * KiB, 64 * KiB, 100 * KiB, 101 * KiB, 300 * KiB, 1000, 2 * MiB, 5]) {
    for (const letter of ["a", "é"])
      pairs.push([letter.repeat(length), 1], [letter.repeat(length), 2], ["short", 3]);
  }
  checkTable(t, sum(), pairs, { partitioning: three });
});

test("keys that get longer and longer do not eat the memory", (t) => {
  const shelf = new Shelf(tempDir(t), 1 * MiB);
  const table = new TableCollector(place(shelf, 64 * KiB), count().numeric as never);
  for (let length = 1000; length < 40_000; length += 10) table.emit("k".repeat(length), undefined);
  table.finish();
  assert.ok(
    shelf.memory.heap.memory.buffer.byteLength < 2 * MiB,
    `${shelf.memory.heap.memory.buffer.byteLength}`,
  );
});

test("keys of one kind after keys of others are sorted right", (t) => {
  // Spills in which all keys begin alike take a shorter way.
  const pairs: Pair[] = [];
  for (const make of [
    (i: number): Key => i,
    (i: number): Key => `s${i}`,
    (i: number): Key => [i],
    (i: number): Key => (i % 2 === 0 ? i : String(i)),
  ]) {
    for (let i = 0; i < 5000; i++) pairs.push([make(i), 1]);
  }
  checkTable(t, sum(), pairs);
});

test("string keys that a kernel adds count as such when the run is sorted", (t) => {
  const shelf = new Shelf(tempDir(t), 1 * MiB);
  const table = new TableCollector(place(shelf, 64 * KiB), count().numeric as never);
  const key = keyBytes("word");
  const at = shelf.memory.take(64);
  key.copy(shelf.memory.bytes, at);
  shelf.memory.heap.kernels.tableUpsert(table.table, at, key.length);
  table.addedByKernel(1);
  for (let i = -20; i < 20; i++) table.emit(i, undefined);
  table.finish();
  const [run] = shelf.runs();
  assert.equal(run!.records.length, 41);
  assert.equal(decoded([run!.records[40]![0], Buffer.alloc(0)])[0], "word");
});

test("a table refuses what is no key or value, and counts on", (t) => {
  const shelf = new Shelf(tempDir(t), 1 * MiB);
  const table = new TableCollector(place(shelf, 64 * KiB), sum().numeric as never);
  table.emit("a", 1);
  assert.throws(() => table.emit(NaN, 1), { code: "KEY_INVALID" });
  assert.throws(() => table.emit("\ud800", 1), { code: "KEY_INVALID" });
  for (const bad of [NaN, Infinity, "1", null, undefined, {}, 1n]) {
    assert.throws(() => table.emit("a", bad), { code: "VALUE_INVALID" }, String(bad));
    assert.throws(() => table.check("a", bad), { code: "VALUE_INVALID" }, String(bad));
  }
  assert.throws(() => table.check(undefined as never, 1), { code: "KEY_INVALID" });
  table.emit("a", 2);
  table.finish();
  const [run] = shelf.runs();
  assert.equal(run!.records[0]![1].readDoubleLE(0), 3);
});

test("checking takes nothing, and what was checked before does not matter", (t) => {
  const shelf = new Shelf(tempDir(t), 1 * MiB);
  const table = new TableCollector(place(shelf, 64 * KiB), sum().numeric as never);
  for (let i = 0; i < 1000; i++) table.check("a", Number.MAX_SAFE_INTEGER);
  for (let i = 0; i < 1000; i++) table.check("a", Number.MAX_VALUE);
  assert.ok(table.empty);
  assert.equal(table.emitted, 0);
});
