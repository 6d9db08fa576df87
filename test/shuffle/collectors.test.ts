import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { collect } from "#src/aggregate/collect.js";
import { count } from "#src/aggregate/count.js";
import { max, min } from "#src/aggregate/min-max.js";
import { stats } from "#src/aggregate/stats.js";
import { sum } from "#src/aggregate/sum.js";
import type { Random } from "#src/base/random.js";
import { seededRandom } from "#src/base/random.js";
import { KiB, MiB } from "#src/base/size.js";
import type { Aggregator } from "#src/job/aggregator.js";
import type { Key } from "#src/job/key.js";
import { combineCells } from "#src/shuffle/cell-values.js";
import type { CollectorPlace } from "#src/shuffle/collector.js";
import type { Partitioning } from "#src/shuffle/partitioning.js";
import { chooseByFunction, chooseByPrefix } from "#src/shuffle/partitioning.js";
import { SortCollector } from "#src/shuffle/sort-collector.js";
import { StateCollector } from "#src/shuffle/state-collector.js";
import { TableCollector } from "#src/shuffle/table-collector.js";
import type { Pair } from "./support.js";
import { decoded, hashPartition, keyBytes, nameOf, randomKey, randomText, Shelf, sortedPairs, tempDir } from "./support.js";

const one: Partitioning = { kind: "hash", partitions: 1 };
const three: Partitioning = { kind: "hash", partitions: 3 };

function place(shelf: Shelf, regionBytes: number, partitioning: Partitioning = one): CollectorPlace {
  return { memory: shelf.memory, regionBytes, spiller: shelf.spiller, collection: 0, partitioning };
}

/** Emits to a table and checks the sum over all runs of what came out, key by key, against a Map. */
function checkTable(t: TestContext, aggregator: Aggregator<never, unknown>, pairs: readonly Pair[], options: { region?: number; partitioning?: Partitioning } = {}): number {
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
      if (partitioning.kind === "hash") assert.equal(partition, hashPartition(decoded([key, Buffer.alloc(0)])[0], partitioning.partitions));
    }
  }
  assert.deepEqual([...states.keys()].sort(), [...expected.keys()].sort());
  for (const [name, values] of expected) {
    const wanted = result(values.reduce((state: Float64Array, value) => add(state, value), empty()));
    assert.deepEqual(result(states.get(name)!), wanted, name);
  }
  return table.runs;
}

function randomPairs(seed: string, length: number, value: (random: Random) => unknown, key: (random: Random) => Key = randomKey): Pair[] {
  const random = seededRandom(seed);
  return Array.from({ length }, () => [key(random), value(random)]);
}

test("a table counts random keys of every kind over many spills", (t) => {
  const runs = checkTable(t, count() as never, randomPairs("count", 20_000, () => undefined), { partitioning: three });
  assert.ok(runs > 2, `${runs} runs`);
});

test("a table sums integers, small and at the edge of exactness", (t) => {
  checkTable(t, sum(), randomPairs("sum", 20_000, (random) => random.below(2000) - 1000));
  const large = randomPairs("large", 3000, (random) => (random.below(2) * 2 - 1) * (2 ** 52 - random.below(3)), (random) => randomText(random, 1));
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
  checkTable(t, sum(), randomPairs("floats", 10_000, (random) => (random.below(3) === 0 ? random.below(100) : random.next())), { region: 4 * MiB });
});

test("tables of min, max and nested stats", (t) => {
  checkTable(t, min(), randomPairs("min", 5000, (random) => random.below(1000) - 500));
  checkTable(t, max(), randomPairs("max", 5000, (random) => -random.next()));
  const nested = stats({ n: count(), low: min(), deep: stats({ total: sum(), high: max() }) });
  checkTable(t, nested as never, randomPairs("stats", 5000, (random) => {
    const value = random.below(1000);
    return { n: 1, low: value, deep: { total: value, high: value } };
  }));
});

test("keys of all short lengths are kept apart, whatever zero bytes they hold", (t) => {
  const keys: Key[] = [];
  for (let length = 0; length <= 13; length++) {
    const base = "abcdefghijklm".slice(0, length);
    keys.push(base, `${base}\0`, `${base}\0\0`, `\0${base}`, "\0".repeat(length), `${base}é`, `${base}\x7f`, `${base}\x80`);
  }
  // Several rounds, so that every key is found by each way of looking it up.
  const rounds: Pair[] = [];
  for (let round = 0; round < 5; round++) for (const key of keys) rounds.push([key, 1]);
  checkTable(t, sum(), rounds);
  checkTable(t, count() as never, rounds.map(([key]) => [key, undefined]));
});

test("keys that differ in one character at any place are kept apart", (t) => {
  const pairs: Pair[] = [];
  for (let round = 0; round < 3; round++) {
    for (let length = 1; length <= 12; length++) {
      for (let at = 0; at < length; at++) {
        for (const letter of ["a", "b", "\0", "\x7f", "é"]) pairs.push([`${"a".repeat(at)}${letter}${"a".repeat(length - at - 1)}`, 1]);
      }
    }
  }
  checkTable(t, sum(), pairs);
});

test("more distinct short keys than the cache has places", (t) => {
  const random = seededRandom("cache");
  checkTable(t, count() as never, Array.from({ length: 60_000 }, (): Pair => [`w${random.below(30_000)}`, undefined]), { region: 8 * MiB });
});

test("a table grows from its first size to all its region holds, and finds its keys after each growth", (t) => {
  const keys = Array.from({ length: 40_000 }, (_, i) => `key-${i}-${"x".repeat(i % 9)}`);
  const runs = checkTable(t, count() as never, [...keys, ...keys].map((key) => [key, undefined]), { region: 8 * MiB });
  assert.equal(runs, 1);
});

test("keys longer than the whole table are taken, one after the other", (t) => {
  const pairs: Pair[] = [];
  for (const length of [60 * KiB, 64 * KiB, 100 * KiB, 101 * KiB, 300 * KiB, 1000, 2 * MiB, 5]) {
    for (const letter of ["a", "é"]) pairs.push([letter.repeat(length), 1], [letter.repeat(length), 2], ["short", 3]);
  }
  checkTable(t, sum(), pairs, { partitioning: three });
});

test("keys that get longer and longer do not eat the memory", (t) => {
  const shelf = new Shelf(tempDir(t), 1 * MiB);
  const table = new TableCollector(place(shelf, 64 * KiB), count().numeric as never);
  for (let length = 1000; length < 40_000; length += 10) table.emit("k".repeat(length), undefined);
  table.finish();
  assert.ok(shelf.memory.heap.memory.buffer.byteLength < 2 * MiB, `${shelf.memory.heap.memory.buffer.byteLength}`);
});

test("keys of one kind after keys of others are sorted right", (t) => {
  // Spills in which all keys begin alike take a shorter way.
  const pairs: Pair[] = [];
  for (const make of [(i: number): Key => i, (i: number): Key => `s${i}`, (i: number): Key => [i], (i: number): Key => (i % 2 === 0 ? i : String(i))]) {
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

for (const [name, answer] of [["NaN", NaN], ["-1", -1], ["the number of partitions", 3], ["1.5", 1.5], ["a promise", Promise.resolve(1)], ["a string", "1"], ["undefined", undefined], ["null", null]] as const) {
  test(`a partition function that answers ${name} is refused with the key, at emit and at check`, (t) => {
    const partitioning: Partitioning = { kind: "each", partitions: 3, choose: chooseByFunction(() => answer as number, 3) };
    const shelf = new Shelf(tempDir(t), 1 * MiB);
    const wrong = { code: "PARTITION_INVALID", message: /"the key"/ };
    for (const collector of [new TableCollector(place(shelf, 64 * KiB, partitioning), sum().numeric as never), new SortCollector(place(shelf, 64 * KiB, partitioning))]) {
      assert.throws(() => collector.check("the key", 1), wrong);
      assert.throws(() => collector.emit("the key", 1), wrong);
    }
  });
}

test("a partition function decides where a key goes, in tables, states and sorted pairs", (t) => {
  const byLength = (key: Key): number => String(key).length % 4;
  const partitioning: Partitioning = { kind: "each", partitions: 4, choose: chooseByFunction(byLength, 4) };
  const pairs = randomPairs("each", 4000, () => 1, (random) => randomText(random, 9));
  for (const make of [
    (shelf: Shelf) => new TableCollector(place(shelf, 64 * KiB, partitioning), sum().numeric as never),
    (shelf: Shelf) => new SortCollector(place(shelf, 64 * KiB, partitioning)),
    (shelf: Shelf) => new StateCollector(place(shelf, 160 * KiB, partitioning), collect() as never, shelf.output, shelf.writer),
  ]) {
    const shelf = new Shelf(tempDir(t), 1 * MiB);
    const collector = make(shelf);
    for (const [key, value] of pairs) collector.emit(key, value);
    collector.finish();
    const seen = new Set<string>();
    for (const { partition, records } of shelf.runs()) {
      for (const [bytes] of records) {
        const [key] = decoded([bytes, Buffer.alloc(0)]);
        assert.equal(partition, byLength(key));
        seen.add(nameOf(key));
      }
    }
    assert.equal(seen.size, new Set(pairs.map(([key]) => nameOf(key))).size);
  }
});

test("keys with an equal prefix meet in one partition", (t) => {
  const partitioning: Partitioning = { kind: "each", partitions: 5, choose: chooseByPrefix(1, 5) };
  const shelf = new Shelf(tempDir(t), 1 * MiB);
  const collector = new SortCollector(place(shelf, 64 * KiB, partitioning));
  for (let i = 0; i < 5000; i++) collector.emit([`k${i % 50}`, i], undefined);
  assert.throws(() => collector.emit("no array", 1), { code: "KEY_INVALID" });
  assert.throws(() => collector.check([], 1), { code: "KEY_INVALID" });
  collector.finish();
  const partitions = new Map<string, Set<number>>();
  for (const { partition, records } of shelf.runs()) {
    for (const [bytes] of records) {
      const [first] = decoded([bytes, Buffer.alloc(0)])[0] as [string];
      if (!partitions.has(first)) partitions.set(first, new Set());
      partitions.get(first)!.add(partition);
    }
  }
  assert.ok([...partitions.values()].every((set) => set.size === 1));
  assert.ok(new Set([...partitions.values()].flatMap((set) => [...set])).size > 1);
});

/** Emits to a sorting collector and checks that its runs, one after the other, are the pairs, each run sorted stably. */
function checkSort(t: TestContext, pairs: readonly Pair[], options: { region?: number; partitioning?: Partitioning } = {}): number {
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
      const mine = expected.filter(([key]) => partitioning.kind !== "hash" || hashPartition(key, partitioning.partitions) === partition);
      assert.deepEqual(records.map(decoded), mine.map(([key, value]) => [key === 0 ? 0 : key, value]));
    }
  }
  assert.equal(at, pairs.length);
  return collector.runs;
}

test("sorted pairs: random keys and values of every kind, in emit order among equal keys", (t) => {
  const values = ["", "value", 5, -1.5, null, true, undefined, { a: [1, "x"] }, new Date(5), "z".repeat(300), Uint8Array.of(1, 2)];
  let serial = 0;
  const runs = checkSort(t, randomPairs("sort", 8000, (random) => (random.below(2) === 0 ? serial++ : values[random.below(values.length)])), { partitioning: three });
  assert.ok(runs > 3, `${runs} runs`);
});

test("sorted pairs: keys that share long beginnings", (t) => {
  const random = seededRandom("shared");
  const pairs = Array.from({ length: 4000 }, (_, i): Pair => [`${"prefix".repeat(random.below(4))}${random.below(50)}`, i]);
  checkSort(t, pairs, { region: 1 * MiB });
  checkSort(t, pairs.map(([key, value]) => [[key, random.below(3)], value]), { partitioning: three });
});

test("sorted pairs: one key for all, and no two alike", (t) => {
  checkSort(t, Array.from({ length: 3000 }, (_, i) => ["same", i]));
  checkSort(t, Array.from({ length: 3000 }, (_, i) => [3000 - i, i]));
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
  assert.ok(shelf.memory.heap.memory.buffer.byteLength < 4 * MiB, `${shelf.memory.heap.memory.buffer.byteLength}`);
});

test("a record that makes the memory grow while several partitions are written", (t) => {
  // The region takes nearly all of the budget: the block window for the large record has to be made anew while writing.
  const shelf = new Shelf(tempDir(t), 1 * MiB);
  const collector = new SortCollector(place(shelf, 1000 * KiB, { kind: "hash", partitions: 7 }));
  const pairs: Pair[] = Array.from({ length: 100 }, (_, i) => [`k${i}`, i === 50 ? "v".repeat(700_000) : i]);
  for (const [key, value] of pairs) collector.emit(key, value);
  collector.finish();
  const runs = shelf.runs();
  assert.equal(runs.length, 7);
  for (const { partition, records } of runs) {
    assert.deepEqual(records.map(decoded), sortedPairs(pairs.filter(([key]) => hashPartition(key, 7) === partition)));
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
  assert.deepEqual(shelf.runs()[0]!.records.map(decoded), [["a", 1], ["c", 2]]);
});

test("ranges: bounds begin partitions, missing ones leave partitions empty", (t) => {
  const bounds = [keyBytes("d"), keyBytes("h"), keyBytes("h"), keyBytes(["x"])];
  for (const used of [0, 1, 2, 3, 4]) {
    const partitioning: Partitioning = { kind: "range", partitions: 6, bounds: bounds.slice(0, used) };
    const pairs = randomPairs(`range${used}`, 3000, (random) => random.below(100), (random) =>
      random.below(9) === 0 ? randomKey(random) : "abcdefghijkl"[random.below(12)]!.repeat(1 + random.below(3)),
    );
    pairs.push(["d", 1], ["h", 2], [["x"], 3], ["cz", 4], ["g\uffff", 5]);
    const shelf = new Shelf(tempDir(t), 1 * MiB);
    const sort = new SortCollector(place(shelf, 64 * KiB, partitioning));
    for (const [key, value] of pairs) sort.emit(key, value);
    sort.finish();
    const expected = (key: Key): number => partitioning.bounds.filter((bound) => Buffer.compare(bound, keyBytes(key)) <= 0).length;
    let records = 0;
    for (const run of shelf.runs()) {
      records += run.records.length;
      for (const [bytes] of run.records) assert.equal(run.partition, expected(decoded([bytes, Buffer.alloc(0)])[0]));
    }
    assert.equal(records, pairs.length);
  }
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
  for (const [key, value] of pairs) expected.set(nameOf(key), [...(expected.get(nameOf(key)) ?? []), value as number]);
  assert.deepEqual(seen, expected);
  // One run after the other: replay what combine was given, and compare all it returned.
  let at = 0;
  const runs = shelf.runs();
  assert.ok(collector.runs > 2);
  for (const { records } of runs) {
    for (const [, value] of records.map(decoded)) assert.ok(Array.isArray(value) || typeof value === "string" || typeof value === "number");
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
  assert.deepEqual(all.map(([key, value]) => [key, String(value).replaceAll("x", "")]).sort(), Array.from({ length: 70 }, (_, i) => [`k${i}`, `k${i}${i}`]).sort());
});

test("states: values are folded per key, packed into runs, and merge to what one fold gives", (t) => {
  const aggregator = collect({ max: 100_000 }) as unknown as Aggregator<unknown, unknown[]>;
  const pairs = randomPairs("states", 6000, (random) => (random.below(40) === 0 ? "x".repeat(random.below(5000)) : random.below(1000)));
  const shelf = new Shelf(tempDir(t), 4 * MiB);
  const collector = new StateCollector(place(shelf, 256 * KiB, three), aggregator, shelf.output, shelf.writer);
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
    for (const [key, value] of records.map(decoded)) got.set(key as string, [...(got.get(key as string) ?? []), ...(value as number[])]);
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
