import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { limits } from "#src/base/limits.js";
import type { Random } from "#src/base/random.js";
import { seededRandom } from "#src/base/random.js";
import { KiB, MiB } from "#src/base/size.js";
import type { NumericOp } from "#src/job/aggregator.js";
import type { Key } from "#src/job/key.js";
import { GroupReader } from "#src/shuffle/group-reader.js";
import { TaskMemory } from "#src/shuffle/memory.js";
import { fanInFor, mergeSources } from "#src/shuffle/merge-passes.js";
import type { MergeStream } from "#src/shuffle/merge-stream.js";
import { RecordCursor } from "#src/shuffle/record-cursor.js";
import type { RunSource } from "#src/shuffle/run-source.js";
import type { Pair } from "./support.js";
import {
  decoded,
  identity,
  keyBytes,
  nameOf,
  parseRecords,
  randomKey,
  randomText,
  recordBytes,
  sortedPairs,
  tempDir,
  valueBytes,
} from "./support.js";

const BLOCK_BYTES = 512;

/** A sorted source in memory, its records in blocks of about `blockBytes`. */
class Blocks implements RunSource {
  closed = false;
  readonly #blocks: Buffer[] = [];

  constructor(pairs: readonly Pair[], blockBytes = BLOCK_BYTES) {
    let block: [Buffer, Buffer][] = [];
    let size = 0;
    const end = (): void => {
      if (block.length > 0) this.#blocks.push(recordBytes(block));
      block = [];
      size = 0;
    };
    for (const [key, value] of sortedPairs(pairs)) {
      const record: [Buffer, Buffer] = [keyBytes(key), Buffer.isBuffer(value) ? value : valueBytes(value)];
      if (size + record[0].length + record[1].length + 10 > blockBytes) end();
      size += record[0].length + record[1].length + 10;
      block.push(record);
    }
    end();
  }

  next(): Buffer | null {
    return this.#blocks.shift() ?? null;
  }

  close(): void {
    this.closed = true;
  }
}

interface MergeSetting {
  readonly fanIn?: number;
  readonly ops?: readonly NumericOp[];
  readonly memory?: TaskMemory;
}

function merge(
  t: TestContext,
  sources: readonly RunSource[],
  { fanIn = 64, ops, memory = new TaskMemory(1 * MiB) }: MergeSetting = {},
): MergeStream {
  return mergeSources(sources, {
    memory,
    blockBytes: BLOCK_BYTES,
    directory: tempDir(t),
    identity,
    ops,
    onProgress: () => undefined,
    fanIn,
  });
}

function drain(memory: TaskMemory, stream: MergeStream): [Buffer, Buffer][] {
  const records: [Buffer, Buffer][] = [];
  for (let window = stream.next(); window !== null; window = stream.next()) {
    const found = [...parseRecords(memory.bytes.subarray(window.start, window.end))];
    assert.equal(found.length, window.records);
    records.push(...found);
  }
  assert.equal(stream.next(), null);
  return records;
}

function randomRuns(
  seed: string,
  count: number,
  length: number,
  key: (random: Random) => Key = randomKey,
): Pair[][] {
  const random = seededRandom(seed);
  let serial = 0;
  return Array.from({ length: count }, () =>
    Array.from({ length: random.below(length + 1) }, (): Pair => [key(random), serial++]),
  );
}

for (const fanIn of [2, 3, 5, 64]) {
  for (const count of [0, 1, 2, 3, 4, 5, 7, 9, 10, 27, 28, 65, 130]) {
    test(`${count} runs merged ${fanIn} at a time keep the order of equal keys`, (t) => {
      const runs = randomRuns(`merge/${fanIn}/${count}`, count, 60, (random) =>
        random.below(3) === 0 ? randomKey(random) : randomText(random, 2),
      );
      const memory = new TaskMemory(1 * MiB);
      const got = drain(
        memory,
        merge(
          t,
          runs.map((run) => new Blocks(run)),
          { fanIn, memory },
        ),
      );
      const expected = sortedPairs(runs.flatMap((run) => sortedPairs(run)));
      assert.deepEqual(
        got.map(([key, value]) => [key.toString("hex"), decoded([key, value])[1]]),
        expected.map(([key, value]) => [nameOf(key), value]),
      );
    });
  }
}

test("runs without records are as if they were not there", (t) => {
  const memory = new TaskMemory(1 * MiB);
  const runs: Pair[][] = [[], [["a", 1]], [], [], [["a", 2]], []];
  for (const fanIn of [2, 64]) {
    assert.deepEqual(
      drain(
        memory,
        merge(
          t,
          runs.map((run) => new Blocks(run)),
          { fanIn, memory },
        ),
      ).map(decoded),
      [
        ["a", 1],
        ["a", 2],
      ],
    );
  }
});

test("records larger than windows and budget pass through every pass", (t) => {
  const random = seededRandom("jumbo");
  const sizes = [10, 3 * KiB, 700 * KiB, 5, 2 * MiB, 40 * KiB];
  const runs = Array.from({ length: 9 }, (_, run) =>
    sizes.map((size, i): Pair => [
      random.below(2) === 0 ? `k${i}` : "k".repeat(Math.min(size, 5000)),
      `${run}${"v".repeat(size)}`,
    ]),
  );
  const expected = sortedPairs(runs.flatMap((run) => sortedPairs(run)));
  for (const fanIn of [2, 64]) {
    const memory = new TaskMemory(1 * MiB);
    assert.deepEqual(
      drain(
        memory,
        merge(
          t,
          runs.map((run) => new Blocks(run)),
          { fanIn, memory },
        ),
      ).map(decoded),
      expected,
    );
  }
});

test("only as many passes are made as are needed", (t) => {
  const passes = (count: number, fanIn: number): string[] => {
    const memory = new TaskMemory(1 * MiB);
    const directory = tempDir(t);
    const sources = Array.from({ length: count }, (_, i) => new Blocks([["a", i]]));
    const options = {
      memory,
      blockBytes: BLOCK_BYTES,
      directory,
      identity,
      ops: undefined,
      onProgress: () => undefined,
      fanIn,
    };
    assert.equal(drain(memory, mergeSources(sources, options)).length, count);
    return readdirSync(directory).sort();
  };
  assert.deepEqual(passes(64, 64), []);
  // One merge of two leaves 64.
  assert.deepEqual(passes(65, 64), ["merge-0-0.run"]);
  assert.deepEqual(passes(4, 3), ["merge-0-0.run"]);
  // Three merges of three, then the last.
  assert.deepEqual(passes(9, 3), ["merge-0-0.run", "merge-0-1.run", "merge-0-2.run"]);
  assert.equal(passes(5, 2).length, 3);
});

test("rows of numbers are combined: one record a key, as adding all in order would", (t) => {
  const ops: NumericOp[] = ["count", "min", "max", "sum"];
  const row = (values: readonly number[]): Buffer => {
    const bytes = Buffer.alloc(values.length * 8);
    for (const [i, value] of values.entries()) bytes.writeDoubleLE(value, i * 8);
    return bytes;
  };
  for (const fanIn of [2, 3, 64]) {
    const random = seededRandom(`rows/${fanIn}`);
    const runs = Array.from({ length: 11 }, () => {
      const keys = new Map<string, Key>();
      for (let i = random.below(60); i > 0; i--) {
        const key = randomKey(random);
        keys.set(nameOf(key), key);
      }
      return [...keys.values()].map((key): Pair => {
        const value = random.below(1000) - 500;
        return [key, row([1, value, value, value, 0, 0, 0])];
      });
    });
    const expected = new Map<string, number[]>();
    for (const [key, value] of runs.flat()) {
      const at = (value as Buffer).readDoubleLE(8);
      const [count, least, most, sum] = expected.get(nameOf(key)) ?? [0, Infinity, -Infinity, 0];
      const row = [count! + 1, Math.min(least!, at), Math.max(most!, at), sum! + at, 0, 0, 0];
      expected.set(nameOf(key), row);
    }
    const memory = new TaskMemory(1 * MiB);
    const got = drain(
      memory,
      merge(
        t,
        runs.map((run) => new Blocks(run)),
        { fanIn, ops, memory },
      ),
    );
    assert.deepEqual(
      got.map(([key, value]) => [
        key.toString("hex"),
        Array.from({ length: 7 }, (_, i) => value.readDoubleLE(i * 8)),
      ]),
      [...expected].sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  }
});

test("closing a merge closes all its sources", (t) => {
  const sources = randomRuns("close", 5, 200).map((run) => new Blocks(run));
  const stream = merge(t, sources);
  stream.next();
  stream.close();
  assert.ok(sources.every(({ closed }) => closed));
});

test("an error of a source in the middle of a pass is thrown, and its file is given up", (t) => {
  const failing: RunSource = {
    next: () => {
      throw new Error("the disk is on fire");
    },
    close: () => undefined,
  };
  assert.throws(
    () =>
      drain(
        new TaskMemory(1 * MiB),
        merge(t, [new Blocks([["a", 1]]), failing, new Blocks([])], { fanIn: 2 }),
      ),
    /fire/,
  );
});

test("the fan-in leaves room for its windows", () => {
  assert.equal(fanInFor(256 * MiB, limits.blockBytes), limits.mergeFanIn);
  for (const [memory, block] of [
    [8 * MiB, 32 * KiB],
    [8 * MiB, 1 * MiB],
    [1 * MiB, 256 * KiB],
  ] as const) {
    const fanIn = fanInFor(memory, block);
    assert.ok(
      fanIn >= 2 && (fanIn === 2 || (fanIn + 1) * block <= memory),
      `${fanIn} of ${block} in ${memory}`,
    );
  }
});

function groups(t: TestContext, runs: readonly (readonly Pair[])[], groupBy?: number): GroupReader {
  const memory = new TaskMemory(1 * MiB);
  const stream = merge(
    t,
    runs.map((run) => new Blocks(run)),
    { memory },
  );
  return new GroupReader(memory, new RecordCursor(memory, stream, () => undefined), groupBy);
}

function allGroups(reader: GroupReader): [Key, unknown[]][] {
  const all: [Key, unknown[]][] = [];
  while (reader.nextGroup()) all.push([reader.key, [...reader.values()]]);
  return all;
}

test("groups: every key once, with its values in run order, over windows of any size", (t) => {
  const runs = randomRuns("groups", 6, 400, (random) => (random.below(2) === 0 ? "hot" : randomKey(random)));
  const expected = new Map<string, unknown[]>();
  for (const [key, value] of runs.flatMap((run) => sortedPairs(run)))
    expected.set(nameOf(key), [...(expected.get(nameOf(key)) ?? []), value]);
  const got = allGroups(groups(t, runs));
  assert.deepEqual(new Map(got.map(([key, values]) => [nameOf(key), values])), expected);
  assert.equal(got.length, expected.size);
});

test("groups: values that nobody reads are passed over", (t) => {
  const runs = randomRuns("unread", 4, 300, (random) => random.below(20));
  const wanted = allGroups(groups(t, runs));
  for (const read of [0, 1, 2, 7]) {
    const reader = groups(t, runs);
    const got: [Key, unknown[]][] = [];
    while (reader.nextGroup()) {
      const some: unknown[] = [];
      if (read > 0) {
        for (const value of reader.values()) {
          some.push(value);
          if (some.length === read) break;
        }
      }
      got.push([reader.key, some]);
    }
    assert.deepEqual(
      got,
      wanted.map(([key, values]) => [key, values.slice(0, read)]),
    );
  }
});

test("groups: values can be iterated once, and not after their group; a second time is an error", (t) => {
  const reader = groups(t, [
    [
      ["a", 1],
      ["a", 2],
      ["b", 3],
      ["b", 4],
      ["c", 5],
    ],
  ]);
  assert.ok(reader.nextGroup());
  const values = reader.values();
  assert.equal(values.next().value, 1);
  assert.deepEqual(values.next(), { done: false, value: 2 });
  assert.equal(values.next().done, true);
  assert.throws(() => [...values], /iterates its values a second time/);
  assert.ok(reader.nextGroup());
  assert.equal(values.next().done, true);
  assert.equal(reader.key, "b");
  assert.deepEqual([...reader.values()], [3, 4]);
  assert.ok(reader.nextGroup());
  assert.ok(!reader.nextGroup());
  assert.ok(!reader.nextGroup());
});

test("groups: none of nothing", (t) => {
  assert.ok(!groups(t, []).nextGroup());
  assert.ok(!groups(t, [[], []]).nextGroup());
});

for (const groupBy of [1, 2]) {
  test(`groups by the first ${groupBy} elements of the key, values in the order of the whole key`, (t) => {
    const part = (random: Random): Key =>
      [null, "a", "a\0", "ab", "", 1, 2, ["a"], ["a", "b"], []][random.below(10)]!;
    const runs = randomRuns(`by/${groupBy}`, 5, 300, (random) => {
      const rest = Array.from({ length: random.below(3) }, () => random.below(5));
      return [part(random), part(random), ...rest];
    });
    const expected = new Map<string, unknown[]>();
    for (const [key, value] of sortedPairs(runs.flatMap((run) => sortedPairs(run)))) {
      const name = nameOf((key as Key[]).slice(0, groupBy));
      expected.set(name, [...(expected.get(name) ?? []), value]);
    }
    const got = allGroups(groups(t, runs, groupBy));
    assert.deepEqual(
      got.map(([key]) => nameOf(key)),
      [...expected.keys()],
    );
    assert.deepEqual(
      got.map(([, values]) => values),
      [...expected.values()],
    );
    for (const [key] of got) assert.equal((key as Key[]).length, groupBy);
  });
}

test("groups: a key with fewer elements than groupBy is refused, first or not", (t) => {
  for (const bad of [["a"], "a", ["b", 1], "zz"] as Key[]) {
    const pairs: Pair[] = [
      [["a", 2, 3], 1],
      [["a", 2, 4], 1],
      [bad, 2],
    ];
    if (Array.isArray(bad) && bad.length === 2) continue;
    assert.throws(() => allGroups(groups(t, [pairs], 2)), { code: "KEY_INVALID" });
  }
});

test("groups: a group of many windows streams through a small memory", (t) => {
  const memory = new TaskMemory(64 * KiB);
  const big = (from: number): Pair[] => Array.from({ length: 20_000 }, (_, i) => ["hot", from + i]);
  const stream = merge(t, [new Blocks(big(0)), new Blocks(big(100_000))], { memory });
  const reader = new GroupReader(memory, new RecordCursor(memory, stream, () => undefined));
  assert.ok(reader.nextGroup());
  let expected = 0;
  for (const value of reader.values()) {
    if (expected === 20_000) expected = 100_000;
    assert.equal(value, expected++);
  }
  assert.equal(expected, 120_000);
  assert.ok(memory.heap.memory.buffer.byteLength < 1 * MiB);
});
