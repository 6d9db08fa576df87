import assert from "node:assert/strict";
import { test } from "node:test";
import { collect } from "#src/aggregate/collect.js";
import { sum } from "#src/aggregate/sum.js";
import { KiB, MiB } from "#src/base/size.js";
import type { Key } from "#src/job/key.js";
import type { Partitioning } from "#src/shuffle/partitioning.js";
import { chooseByFunction, chooseByPrefix } from "#src/shuffle/partitioning.js";
import { SortCollector } from "#src/shuffle/sort-collector.js";
import { StateCollector } from "#src/shuffle/state-collector.js";
import { TableCollector } from "#src/shuffle/table-collector.js";
import {
  Shelf,
  decoded,
  keyBytes,
  nameOf,
  place,
  randomKey,
  randomPairs,
  randomText,
  tempDir,
} from "./support.js";

for (const [name, answer] of [
  ["NaN", NaN],
  ["-1", -1],
  ["the number of partitions", 3],
  ["1.5", 1.5],
  ["a promise", Promise.resolve(1)],
  ["a string", "1"],
  ["undefined", undefined],
  ["null", null],
] as const) {
  test(`a partition function that answers ${name} is refused with the key, at emit and at check`, (t) => {
    const partitioning: Partitioning = {
      kind: "each",
      partitions: 3,
      choose: chooseByFunction(() => answer as number, 3),
    };
    const shelf = new Shelf(tempDir(t), 1 * MiB);
    const wrong = { code: "PARTITION_INVALID", message: /"the key"/ };
    for (const collector of [
      new TableCollector(place(shelf, 64 * KiB, partitioning), sum().numeric as never),
      new SortCollector(place(shelf, 64 * KiB, partitioning)),
    ]) {
      assert.throws(() => collector.check("the key", 1), wrong);
      assert.throws(() => collector.emit("the key", 1), wrong);
    }
  });
}

test("a partition function decides where a key goes, in tables, states and sorted pairs", (t) => {
  const byLength = (key: Key): number => String(key).length % 4;
  const partitioning: Partitioning = { kind: "each", partitions: 4, choose: chooseByFunction(byLength, 4) };
  const pairs = randomPairs(
    "each",
    4000,
    () => 1,
    (random) => randomText(random, 9),
  );
  for (const make of [
    (shelf: Shelf) => new TableCollector(place(shelf, 64 * KiB, partitioning), sum().numeric as never),
    (shelf: Shelf) => new SortCollector(place(shelf, 64 * KiB, partitioning)),
    (shelf: Shelf) =>
      new StateCollector(
        place(shelf, 160 * KiB, partitioning),
        collect() as never,
        shelf.output,
        shelf.writer,
      ),
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

test("ranges: bounds begin partitions, missing ones leave partitions empty", (t) => {
  const bounds = [keyBytes("d"), keyBytes("h"), keyBytes("h"), keyBytes(["x"])];
  for (const used of [0, 1, 2, 3, 4]) {
    const partitioning: Partitioning = { kind: "range", partitions: 6, bounds: bounds.slice(0, used) };
    const pairs = randomPairs(
      `range${used}`,
      3000,
      (random) => random.below(100),
      (random) =>
        random.below(9) === 0
          ? randomKey(random)
          : "abcdefghijkl"[random.below(12)]!.repeat(1 + random.below(3)),
    );
    pairs.push(["d", 1], ["h", 2], [["x"], 3], ["cz", 4], ["g\uffff", 5]);
    const shelf = new Shelf(tempDir(t), 1 * MiB);
    const sort = new SortCollector(place(shelf, 64 * KiB, partitioning));
    for (const [key, value] of pairs) sort.emit(key, value);
    sort.finish();
    const expected = (key: Key): number =>
      partitioning.bounds.filter((bound) => Buffer.compare(bound, keyBytes(key)) <= 0).length;
    let records = 0;
    for (const run of shelf.runs()) {
      records += run.records.length;
      for (const [bytes] of run.records)
        assert.equal(run.partition, expected(decoded([bytes, Buffer.alloc(0)])[0]));
    }
    assert.equal(records, pairs.length);
  }
});
