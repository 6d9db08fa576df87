import assert from "node:assert/strict";
import { test } from "node:test";
import { count } from "#src/aggregate/count.js";
import { sum } from "#src/aggregate/sum.js";
import { seededRandom } from "#src/base/random.js";
import { jsonl } from "#src/format/jsonl.js";
import { text } from "#src/format/text.js";
import { job } from "#src/job/define.js";
import { Stage, badOf } from "./support.js";

test("what map returns must be pairs", async (t) => {
  const stage = new Stage(t).file("in.txt", "x\n");
  for (const returned of [5, "text", null, true, {}, [1], ["ab"], [["a", 1], null], Promise.resolve(5)]) {
    const failure = await stage.fails(
      job({ input: text(), map: (() => returned) as never, reduce: count() }),
    );
    assert.equal(failure.code, "USER_CODE", String(returned));
    assert.match(failure.message, /pairs/);
    assert.equal(failure.offset, 0);
  }
});

const odd: [name: string, key: unknown, value: unknown, code: string][] = [
  ["a NaN key", NaN, 1, "KEY_INVALID"],
  ["an undefined key", undefined, 1, "KEY_INVALID"],
  ["an object as key", { a: 1 }, 1, "KEY_INVALID"],
  ["half a surrogate pair as key", "\ud800", 1, "KEY_INVALID"],
  ["a function as value", "k", () => 1, "VALUE_INVALID"],
  ["a class instance as value", "k", new (class Point {})(), "VALUE_INVALID"],
  ["a partition that does not exist", "nowhere", 1, "PARTITION_INVALID"],
];

for (const [name, key, value, code] of odd) {
  test(`emitting ${name} fails with the record, or sets it aside`, async (t) => {
    const stage = new Stage(t).file("in.txt", "good\nbad\ngood\n");
    const made = job({
      input: text(),
      map(line: string, emit: (key: string, value: unknown) => void) {
        emit("before", 1);
        emit(line === "bad" ? (key as string) : "k", line === "bad" ? value : 1);
        emit("after", 1);
      },
      partition: (name: unknown, partitions: number) => (name === "nowhere" ? partitions : 0),
      reduce: (key: string, values: Iterable<unknown>) => [...values].length,
    } as never);
    const failure = await stage.fails(made);
    assert.equal(failure.code, code);
    assert.equal(failure.offset, 5);
    assert.equal(failure.record, "bad");
    assert.equal(failure.blame, "user");
    assert.ok(failure.hint);
    const played = await stage.ok(made, { settings: { keepBad: true } });
    assert.equal(played.text(), "after\t2\nbefore\t2\nk\t2\n");
    assert.deepEqual(
      badOf(played.maps[0]!).map((bad) => [bad.offset, bad.code]),
      [[5, code]],
    );
  });
}

test("a partition function that throws is told apart, with the key", async (t) => {
  const stage = new Stage(t).file("in.txt", "a\nb\n");
  const made = job({
    input: text(),
    map: (line, emit) => emit(line, 1),
    partition: (key: string) => {
      if (key === "b") throw new Error("lost");
      return 0;
    },
    reduce: sum(),
  });
  const failure = await stage.fails(made);
  assert.deepEqual(
    [failure.code, failure.phase, failure.key, failure.offset, failure.message],
    ["USER_CODE", "partition", '"b"', 2, "lost"],
  );
});

test("keys that are too short for groupBy are refused at emit, in one partition and in several", async (t) => {
  const stage = new Stage(t).file("in.txt", "x\n");
  const made = job({
    input: text(),
    map: (_, emit: (key: string[], value: number) => void) => emit(["one"], 1),
    groupBy: 2,
    reduce: (_: readonly string[], values: Iterable<number>) => [...values].length,
  });
  for (const partitions of [1, 3]) {
    const failure = await stage.fails(made, { partitions });
    assert.deepEqual([failure.code, failure.record], ["KEY_INVALID", "x"]);
  }
});

test("with keepBad values come out of it with their exact types", async (t) => {
  const stage = new Stage(t).file("in.txt", "x\n");
  const values = [
    Buffer.from("b"),
    Uint8Array.of(1),
    Object.assign(Object.create(null), { a: 1 }),
    new Map([["k", 1]]),
    new Date(5),
    -0,
    undefined,
    [undefined],
  ];
  const seen: unknown[][] = [];
  const made = job({
    input: text(),
    map(_: string, emit: (key: number, value: unknown) => void) {
      for (const value of values) emit(1, value);
    },
    reduce: (_: number, all: Iterable<unknown>) => void seen.push([...all]),
  } as never);
  await stage.ok(made);
  await stage.ok(made, { settings: { keepBad: true } });
  assert.deepStrictEqual(seen[0], values);
  assert.deepStrictEqual(seen[1], values);
});

test("what is changed after emit counts as it was, with keepBad too", async (t) => {
  const stage = new Stage(t).file("in.txt", "x\n");
  const made = job({
    input: text(),
    map(_: string, emit: (key: unknown, value: unknown) => void) {
      const key = ["k"];
      const value = { list: [1] };
      emit(key, value);
      key[0] = "changed";
      value.list.push(2);
    },
    reduce: (key: readonly string[], values: Iterable<{ list: number[] }>) =>
      `${key[0]} ${[...values].map((value) => value.list.length).join()}`,
  } as never);
  for (const keepBad of [false, true])
    assert.equal((await stage.ok(made, { settings: { keepBad } })).text(), "k\tk 1\n");
});

test("records that cannot be decoded: the first fails the task, or each is set aside", async (t) => {
  const stage = new Stage(t).file("in.jsonl", '{"a":1}\n{oops\n{"a":2}\nnull x\n');
  const made = job({
    input: jsonl<{ a: number }>(),
    map: (record, emit) => emit("sum", record.a),
    reduce: sum(),
  });
  const failure = await stage.fails(made);
  assert.deepEqual(
    [failure.code, failure.phase, failure.blame, failure.path, failure.offset],
    ["RECORD_INVALID", "read", "data", "in.jsonl", 8],
  );
  assert.equal(failure.record, "{oops");
  const played = await stage.ok(made, { settings: { keepBad: true } });
  assert.equal(played.text(), "sum\t3\n");
  assert.deepEqual(
    badOf(played.maps[0]!).map((bad) => [bad.phase, bad.code, bad.offset, bad.record]),
    [
      ["read", "RECORD_INVALID", 8, "{oops"],
      ["read", "RECORD_INVALID", 22, "null x"],
    ],
  );
  assert.equal(played.maps[0]!.stats.badRecords, 2);
});

test("bad records are the same whatever the splits", async (t) => {
  const random = seededRandom("bad");
  const lines = Array.from({ length: 300 }, (_, i) =>
    random.below(7) === 0 ? `bad${i}` : `w${random.below(20)}`,
  );
  const stage = new Stage(t).file("in.txt", `${lines.join("\n")}\n`);
  const made = job({
    input: text(),
    map(line, emit) {
      emit(line, 1);
      if (line.startsWith("bad")) throw new Error(line);
    },
    reduce: sum(),
  });
  const whole = await stage.ok(made, { settings: { keepBad: true } });
  const wanted = lines.filter((line) => line.startsWith("bad"));
  assert.deepEqual(
    badOf(whole.maps[0]!).map(({ record }) => record),
    wanted,
  );
  for (const splitSize of [1, 7, 64, 1000]) {
    const split = await stage.ok(made, { splitSize, settings: { keepBad: true } });
    assert.equal(split.text(), whole.text());
    assert.deepEqual(split.maps.flatMap(badOf), badOf(whole.maps[0]!));
  }
});

test("a sample is the same records whatever the splits, and about as many as asked for", async (t) => {
  const stage = new Stage(t)
    .file("in.txt", Array.from({ length: 2000 }, (_, i) => `line ${i}\n`).join(""))
    .file("more.txt", Array.from({ length: 500 }, (_, i) => `more ${i}\n`).join(""));
  const made = job({ input: text(), map: (line, emit) => emit(line, 1), reduce: count() });
  const whole = await stage.ok(made, { settings: { sample: 0.1 } });
  const kept = whole.text().split("\n").length - 1;
  assert.ok(kept > 180 && kept < 320, `${kept} of 2500`);
  for (const splitSize of [100, 1000]) {
    const split = await stage.ok(made, { splitSize, settings: { sample: 0.1 } });
    assert.equal(split.text(), whole.text());
    assert.equal(
      split.maps.reduce((records, { stats }) => records + stats.recordsIn, 0),
      kept,
    );
  }
  assert.equal((await stage.ok(made, { settings: { sample: 0.1 }, together: true })).text(), whole.text());
  assert.notEqual((await stage.ok(made, { settings: { sample: 0.1, seed: 5 } })).text(), whole.text());
});

test("a sample of records that cannot be decoded counts only those in it", async (t) => {
  const stage = new Stage(t).file(
    "in.jsonl",
    Array.from({ length: 1000 }, (_, i) => (i % 2 === 0 ? `${i}\n` : `x${i}\n`)).join(""),
  );
  const made = job({ input: jsonl<number>(), map: (_, emit) => emit("n"), reduce: count() });
  const played = await stage.ok(made, { settings: { sample: 0.2, keepBad: true } });
  const { badRecords, recordsIn } = played.maps[0]!.stats;
  assert.ok(badRecords > 60 && badRecords < 140, `${badRecords}`);
  assert.equal(played.text(), `n\t${recordsIn - badRecords}\n`);
});

test("what a record counted is dropped with it when it is set aside", async (t) => {
  const stage = new Stage(t).file("in.txt", "a\nbad\nb\nbad late\nc\n");
  const made = job({
    input: text(),
    setup: (context) => context.count("tasks"),
    async map(line, emit, context) {
      context.count("seen");
      context.count(`of ${line[0]}`, 2);
      emit(line, 1);
      if (line.endsWith("late")) await Promise.resolve();
      if (line.startsWith("bad")) throw new Error("bad");
      context.count("good");
    },
    reduce: count(),
    teardown: (context) => context.count("tasks", 10),
  });
  const { counters, maps } = await stage.ok(made, { settings: { keepBad: true } });
  assert.equal(maps[0]!.stats.badRecords, 2);
  const rest = await new Stage(t).file("in.txt", "a\nb\nc\n").ok(made);
  assert.deepEqual(counters, rest.counters);
  assert.deepEqual(counters, { tasks: 11, seen: 3, "of a": 2, "of b": 2, "of c": 2, good: 3 });
});
