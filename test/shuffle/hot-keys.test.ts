import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { seededRandom } from "#src/base/random.js";
import { printKey } from "#src/codec/key-codec.js";
import type { Key } from "#src/job/key.js";
import { BlockOutput } from "#src/shuffle/block-output.js";
import { combineCells } from "#src/shuffle/cell-values.js";
import { HotKeys } from "#src/shuffle/hot-keys.js";
import { TaskMemory } from "#src/shuffle/memory.js";
import { RunWriter } from "#src/shuffle/run-writer.js";
import { SortCollector } from "#src/shuffle/sort-collector.js";
import { Spiller } from "#src/shuffle/spill.js";
import { tempDir } from "../cli/support.js";

const MiB = 1024 * 1024;

/** What is told of pairs that a map task writes, with the regions of memory that it has. */
function toldOf(
  t: TestContext,
  keys: Iterable<Key>,
  options: {
    partitions?: number;
    groupBy?: number;
    combine?: (values: Iterable<unknown>) => unknown;
    region?: number;
  } = {},
): { told: Map<string, number>; runs: number } {
  const { partitions = 1, groupBy, combine, region = 4 * MiB } = options;
  const memory = new TaskMemory(16 * MiB);
  const output = new BlockOutput(memory, 64 * 1024);
  const hot = new HotKeys(memory, [groupBy]);
  const runWriter = new RunWriter(join(tempDir(t), "map.run"), { jobId: "job", task: 0, attempt: 1 });
  const writer = (): RunWriter => runWriter;
  const spiller = new Spiller(memory, writer, output, hot);
  const rewrite =
    combine === undefined
      ? undefined
      : combineCells(
          memory,
          output,
          writer,
          (_key, values) => combine(values),
          undefined,
          (at, length, values) => hot.add(0, at, length, values),
        );
  const collector = new SortCollector(
    { memory, regionBytes: region, spiller, collection: 0, partitioning: { kind: "hash", partitions } },
    rewrite,
  );
  for (const key of keys) collector.emit(key, 1);
  collector.finish();
  runWriter.finish();
  return { told: new Map(hot.told.map(({ key, values }) => [key, values])), runs: collector.runs };
}

test("a key with a tenth of the pairs of every run is told of, with all its pairs; none that has few", (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = seededRandom(`hot/${seed}`);
    const shares = [0.75, 0.4, 0.11, 0.5][seed % 4]!;
    const keys = Array.from({ length: 20_000 }, (): Key => {
      if (random.next() < shares) return "hot";
      return random.below(2) === 0 ? random.below(5_000) : `k${random.below(5_000)}`;
    });
    const region = seed % 2 === 0 ? 4 * MiB : 512 * 1024;
    const { told, runs } = toldOf(t, keys, { partitions: 1 + random.below(5), region });
    assert.ok(region === 4 * MiB || runs > 1);
    assert.deepEqual([...told], [['"hot"', keys.filter((key) => key === "hot").length]], `seed ${seed}`);
  }
});

test("all pairs of one key, two halves, and none at all", (t) => {
  assert.deepEqual([...toldOf(t, Array<Key>(1000).fill(7)).told], [["7", 1000]]);
  const halves = toldOf(
    t,
    Array.from({ length: 1000 }, (_, i) => i % 2),
  ).told;
  assert.deepEqual([...halves].sort(), [
    ["0", 500],
    ["1", 500],
  ]);
  assert.equal(
    toldOf(
      t,
      Array.from({ length: 5000 }, (_, i) => i),
    ).told.size,
    0,
  );
  assert.equal(toldOf(t, Array<Key>(200).fill("x")).told.size, 0, "too few to say anything");
});

test("with groupBy a group is hot, whatever follows in its keys", (t) => {
  const keys = Array.from({ length: 4000 }, (_, i): Key => [i % 4 === 0 ? `u${i}` : "hot", i]);
  assert.equal(toldOf(t, keys).told.size, 0);
  assert.deepEqual([...toldOf(t, keys, { groupBy: 1 }).told], [['["hot"]', 3000]]);
});

test("keys that a combiner leaves one value of are not hot; those it leaves many of are", (t) => {
  const keys = Array.from({ length: 4000 }, (_, i): Key => (i % 4 === 0 ? i : "hot"));
  const one = (values: Iterable<unknown>): unknown => [...values].length;
  assert.equal(toldOf(t, keys, { combine: one }).told.size, 0);
  const half = function* (values: Iterable<unknown>): Generator<unknown> {
    let i = 0;
    for (const value of values) if (i++ % 2 === 0) yield value;
  };
  assert.deepEqual([...toldOf(t, keys, { combine: half }).told], [['"hot"', 1500]]);
});

test("huge keys are cut and yet told apart; bytes and control characters are shown safely", (t) => {
  const long = "x".repeat(5_000);
  const bytes = Uint8Array.of(0, 27, 91, 255);
  const choices: readonly Key[] = [`${long}a`, `${long}b`, bytes, "\u001b[31m\n\u009b"];
  const { told } = toldOf(
    t,
    Array.from({ length: 2000 }, (_, i) => choices[i % 4]!),
  );
  const texts = [...told.keys()].sort();
  assert.equal(texts.length, 4);
  assert.ok(texts.every((text) => text.length < 260));
  for (const control of ["\u001b", "\u009b", "\n"]) assert.ok(!texts.join("").includes(control));
  assert.deepEqual([...told.values()], [500, 500, 500, 500]);
  assert.ok(texts.includes(printKey(bytes)));
  assert.ok(texts.some((text) => /^"x+\.\.\. \(5002 bytes, [0-9a-f]{8}\)$/.test(text)));
});
