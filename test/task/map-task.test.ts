import assert from "node:assert/strict";
import { test } from "node:test";
import { collect } from "#src/aggregate/collect.js";
import { count } from "#src/aggregate/count.js";
import { sum } from "#src/aggregate/sum.js";
import { isSheafError } from "#src/base/errors.js";
import { seededRandom } from "#src/base/random.js";
import { csv } from "#src/format/csv.js";
import { generate } from "#src/format/generate.js";
import { jsonl } from "#src/format/jsonl.js";
import { text } from "#src/format/text.js";
import { job } from "#src/job/define.js";
import type { Job } from "#src/job/define.js";
import { columns } from "#src/job/field-map.js";
import { nativePlan } from "#src/task/native-map.js";
import { badOf, Stage } from "./support.js";

const LINES = ["a b a", "", "b c", "a"].join("\n") + "\n";
const COUNTS = "a\t3\nb\t2\nc\t1\n";

function wordsOf(line: string): string[] {
  return line.split(" ").filter((word) => word !== "");
}

const forms: [name: string, job: Job][] = [
  ["calls emit", job({ input: text(), map: (line, emit) => { for (const word of wordsOf(line)) emit(word, 1); }, reduce: sum() })],
  ["returns pairs", job({ input: text(), map: (line) => wordsOf(line).map((word) => [word, 1] as const), reduce: sum() })],
  ["is a generator", job({ input: text(), *map(line) { for (const word of wordsOf(line)) yield [word, 1] as const; }, reduce: sum() })],
  ["is async and emits", job({ input: text(), async map(line, emit) { await Promise.resolve(); for (const word of wordsOf(line)) emit(word, 1); }, reduce: sum() })],
  ["returns a promise of pairs", job({ input: text(), map: (line) => Promise.resolve(wordsOf(line).map((word) => [word, 1] as const)), reduce: sum() })],
  ["is an async generator", job({ input: text(), async *map(line) { for (const word of wordsOf(line)) { await Promise.resolve(); yield [word, 1] as const; } }, reduce: sum() })],
  ["returns a promise only now and then", job({ input: text(), map: (line, emit) => { for (const word of wordsOf(line)) emit(word, 1); return line === "" ? Promise.resolve() : undefined; }, reduce: sum() })],
];

for (const [name, made] of forms) {
  test(`a map that ${name}`, async (t) => {
    const stage = new Stage(t).file("in.txt", LINES);
    for (const options of [{}, { splitSize: 3 }, { settings: { keepBad: true } }, { settings: { sample: 1 - 1e-12 } }]) {
      const played = await stage.ok(made, options);
      assert.equal(played.text(), COUNTS);
      assert.equal(played.maps.reduce((records, { stats }) => records + stats.recordsIn, 0), 4);
      assert.equal(played.maps.reduce((pairs, { stats }) => pairs + stats.emitted, 0), 6);
    }
  });
}

test("without a map each record is a key", async (t) => {
  const stage = new Stage(t).file("in.txt", "b\na\nb\n");
  assert.equal((await stage.ok(job({ input: text(), reduce: count() }))).text(), "a\t1\nb\t2\n");
  assert.equal((await stage.ok(job({ input: text(), order: "total" }))).text(), "a\nb\nb\n");
});

test("async records are mapped one after the other, in order", async (t) => {
  const stage = new Stage(t).file("in.txt", "3\n1\n2\n");
  const seen: string[] = [];
  const made = job({
    input: text(),
    async map(line, emit) {
      seen.push(`begin ${line}`);
      for (let i = 0; i < Number(line); i++) await Promise.resolve();
      seen.push(`end ${line}`);
      emit(1, line);
    },
    reduce: collect<string>(),
  });
  assert.equal((await stage.ok(made)).text(), "1\t3\t1\t2\n");
  assert.deepEqual(seen, ["begin 3", "end 3", "begin 1", "end 1", "begin 2", "end 2"]);
});

const throwing: [name: string, map: (line: string, emit: (key: string, value: number) => void) => unknown][] = [
  ["throws", (line) => { if (line === "bad") throw new TypeError("no such thing"); }],
  ["throws after it emitted", (line, emit) => { emit(line, 1); if (line === "bad") throw new TypeError("no such thing"); }],
  ["rejects", async (line) => { await Promise.resolve(); if (line === "bad") throw new TypeError("no such thing"); }],
  ["yields and throws", function* (line) { yield [line, 1]; if (line === "bad") throw new TypeError("no such thing"); }],
  ["yields later and throws", async function* (line) { yield [line, 1]; await Promise.resolve(); if (line === "bad") throw new TypeError("no such thing"); }],
];

for (const [name, map] of throwing) {
  test(`a map that ${name} fails the task with the record and its place`, async (t) => {
    const stage = new Stage(t).file("one.txt", "good\n").file("two.txt", "good\nbad\ngood\n");
    const made = job({ input: text(), map: map as never, reduce: sum() });
    for (const settings of [{}, { sample: 1 - 1e-12 }]) {
      const failure = await stage.fails(made, { together: true, settings });
      assert.equal(failure.code, "USER_CODE");
      assert.equal(failure.name, "TypeError");
      assert.equal(failure.message, "no such thing");
      assert.equal(failure.phase, "map");
      assert.equal(failure.blame, "user");
      assert.equal(failure.path, "two.txt");
      assert.equal(failure.offset, 5);
      assert.equal(failure.record, "bad");
      assert.match(failure.stack ?? "", /map-task\.test/);
    }
  });

  test(`a map that ${name}: with keepBad what the record emitted is dropped, the rest counts`, async (t) => {
    const stage = new Stage(t).file("one.txt", "good\n").file("two.txt", "good\nbad\ngood\n");
    const played = await stage.ok(job({ input: text(), map: map as never, reduce: sum() }), { together: true, settings: { keepBad: true } });
    assert.ok(!played.text().includes("bad"));
    const [task] = played.maps;
    assert.equal(task!.stats.badRecords, 1);
    assert.equal(task!.stats.recordsIn, 4);
    assert.deepEqual(badOf(task!), [{ path: "two.txt", offset: 5, phase: "map", code: "USER_CODE", error: "no such thing", record: "bad" }]);
  });
}

for (const [name, thrown, message] of [
  ["undefined", undefined, /undefined/],
  ["a string", "just text", /^just text$/],
  ["an object with a cycle", (() => { const o: Record<string, unknown> = {}; o["o"] = o; return o; })(), /thrown/],
  ["null", null, /null/],
  ["an error without a message", new RangeError(), /RangeError/],
] as const) {
  test(`${name} can be thrown`, async (t) => {
    const stage = new Stage(t).file("in.txt", "x\n");
    const made = job({ input: text(), map() { throw thrown; }, reduce: count() });
    const failure = await stage.fails(made);
    assert.equal(failure.code, "USER_CODE");
    assert.match(failure.message, message);
    assert.equal(badOf((await stage.ok(made, { settings: { keepBad: true } })).maps[0]!).length, 1);
  });
}

test("what map returns must be pairs", async (t) => {
  const stage = new Stage(t).file("in.txt", "x\n");
  for (const returned of [5, "text", null, true, {}, [1], ["ab"], [["a", 1], null], Promise.resolve(5)]) {
    const failure = await stage.fails(job({ input: text(), map: (() => returned) as never, reduce: count() }));
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
    assert.deepEqual(badOf(played.maps[0]!).map((bad) => [bad.offset, bad.code]), [[5, code]]);
  });
}

test("a partition function that throws is told apart, with the key", async (t) => {
  const stage = new Stage(t).file("in.txt", "a\nb\n");
  const made = job({ input: text(), map: (line, emit) => emit(line, 1), partition: (key: string) => { if (key === "b") throw new Error("lost"); return 0; }, reduce: sum() });
  const failure = await stage.fails(made);
  assert.deepEqual([failure.code, failure.phase, failure.key, failure.offset, failure.message], ["USER_CODE", "partition", '"b"', 2, "lost"]);
});

test("keys that are too short for groupBy are refused at emit, in one partition and in several", async (t) => {
  const stage = new Stage(t).file("in.txt", "x\n");
  const made = job({ input: text(), map: (_, emit: (key: string[], value: number) => void) => emit(["one"], 1), groupBy: 2, reduce: (_: readonly string[], values: Iterable<number>) => [...values].length });
  for (const partitions of [1, 3]) {
    const failure = await stage.fails(made, { partitions });
    assert.deepEqual([failure.code, failure.record], ["KEY_INVALID", "x"]);
  }
});

test("with keepBad values come out of it with their exact types", async (t) => {
  const stage = new Stage(t).file("in.txt", "x\n");
  const values = [Buffer.from("b"), Uint8Array.of(1), Object.assign(Object.create(null), { a: 1 }), new Map([["k", 1]]), new Date(5), -0, undefined, [undefined]];
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
    reduce: (key: readonly string[], values: Iterable<{ list: number[] }>) => `${key[0]} ${[...values].map((value) => value.list.length).join()}`,
  } as never);
  for (const keepBad of [false, true]) assert.equal((await stage.ok(made, { settings: { keepBad } })).text(), "k\tk 1\n");
});

test("records that cannot be decoded: the first fails the task, or each is set aside", async (t) => {
  const stage = new Stage(t).file("in.jsonl", '{"a":1}\n{oops\n{"a":2}\nnull x\n');
  const made = job({ input: jsonl<{ a: number }>(), map: (record, emit) => emit("sum", record.a), reduce: sum() });
  const failure = await stage.fails(made);
  assert.deepEqual([failure.code, failure.phase, failure.blame, failure.path, failure.offset], ["RECORD_INVALID", "read", "data", "in.jsonl", 8]);
  assert.equal(failure.record, "{oops");
  const played = await stage.ok(made, { settings: { keepBad: true } });
  assert.equal(played.text(), "sum\t3\n");
  assert.deepEqual(badOf(played.maps[0]!).map((bad) => [bad.phase, bad.code, bad.offset, bad.record]), [["read", "RECORD_INVALID", 8, "{oops"], ["read", "RECORD_INVALID", 22, "null x"]]);
  assert.equal(played.maps[0]!.stats.badRecords, 2);
});

test("bad records are the same whatever the splits", async (t) => {
  const random = seededRandom("bad");
  const lines = Array.from({ length: 300 }, (_, i) => (random.below(7) === 0 ? `bad${i}` : `w${random.below(20)}`));
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
  assert.deepEqual(badOf(whole.maps[0]!).map(({ record }) => record), wanted);
  for (const splitSize of [1, 7, 64, 1000]) {
    const split = await stage.ok(made, { splitSize, settings: { keepBad: true } });
    assert.equal(split.text(), whole.text());
    assert.deepEqual(split.maps.flatMap(badOf), badOf(whole.maps[0]!));
  }
});

test("a sample is the same records whatever the splits, and about as many as asked for", async (t) => {
  const stage = new Stage(t).file("in.txt", Array.from({ length: 2000 }, (_, i) => `line ${i}\n`).join("")).file("more.txt", Array.from({ length: 500 }, (_, i) => `more ${i}\n`).join(""));
  const made = job({ input: text(), map: (line, emit) => emit(line, 1), reduce: count() });
  const whole = await stage.ok(made, { settings: { sample: 0.1 } });
  const kept = whole.text().split("\n").length - 1;
  assert.ok(kept > 180 && kept < 320, `${kept} of 2500`);
  for (const splitSize of [100, 1000]) {
    const split = await stage.ok(made, { splitSize, settings: { sample: 0.1 } });
    assert.equal(split.text(), whole.text());
    assert.equal(split.maps.reduce((records, { stats }) => records + stats.recordsIn, 0), kept);
  }
  assert.equal((await stage.ok(made, { settings: { sample: 0.1 }, together: true })).text(), whole.text());
  assert.notEqual((await stage.ok(made, { settings: { sample: 0.1, seed: 5 } })).text(), whole.text());
});

test("a sample of records that cannot be decoded counts only those in it", async (t) => {
  const stage = new Stage(t).file("in.jsonl", Array.from({ length: 1000 }, (_, i) => (i % 2 === 0 ? `${i}\n` : `x${i}\n`)).join(""));
  const made = job({ input: jsonl<number>(), map: (_, emit) => emit("n"), reduce: count() });
  const played = await stage.ok(made, { settings: { sample: 0.2, keepBad: true } });
  const { badRecords, recordsIn } = played.maps[0]!.stats;
  assert.ok(badRecords > 60 && badRecords < 140, `${badRecords}`);
  assert.equal(played.text(), `n\t${recordsIn - badRecords}\n`);
});

test("the context tells place and task, counts, logs, and draws the same numbers in every attempt", async (t) => {
  const stage = new Stage(t).file("one.txt", "a\nbb\n").file("two.txt", "c\n");
  const seen: unknown[][] = [];
  const made = job({
    input: text(),
    params: { limit: 5 },
    aux: { stop: ["x"] },
    setup(ctx) {
      seen.push(["setup", ctx.path, ctx.offset, ctx.state]);
      return { from: "setup" };
    },
    map(line, emit: (key: string) => void, ctx) {
      seen.push([line, ctx.path, ctx.offset, ctx.task, ctx.index, ctx.attempt, ctx.params.limit, ctx.aux["stop"], ctx.state.from, ctx.random()]);
      ctx.count("lines");
      ctx.count("bytes", line.length);
      ctx.log(`saw ${line}`);
      ctx.progress();
      emit(line);
    },
    teardown(ctx, emit) {
      seen.push(["teardown", ctx.path, ctx.offset]);
      emit("end");
    },
    reduce: count(),
  });
  const played = await stage.ok(made, { together: true, attempt: 2 });
  assert.equal(played.text(), "a\t1\nbb\t1\nc\t1\nend\t1\n");
  assert.deepEqual(played.counters, { lines: 3, bytes: 4 });
  assert.deepEqual(played.log, ["saw a", "saw bb", "saw c"]);
  const first = seen.splice(0);
  assert.deepEqual(first[0], ["setup", "", 0, undefined]);
  assert.deepEqual(first.slice(1, 4).map((row) => row.slice(0, 9)), [
    ["a", "one.txt", 0, "map-00000", 0, 2, 5, ["x"], "setup"],
    ["bb", "one.txt", 2, "map-00000", 0, 2, 5, ["x"], "setup"],
    ["c", "two.txt", 0, "map-00000", 0, 2, 5, ["x"], "setup"],
  ]);
  assert.deepEqual(first[4], ["teardown", "", 0]);
  await stage.ok(made, { together: true, attempt: 1 });
  assert.deepEqual(seen.slice(1, 4).map((row) => row[9]), first.slice(1, 4).map((row) => row[9]));
});

test("offsets are those in the file, whatever the splits, and with async maps too", async (t) => {
  const lines = Array.from({ length: 50 }, (_, i) => `é${"x".repeat(i % 7)}`);
  const stage = new Stage(t).file("in.txt", `${lines.join("\n")}\n`);
  const offsets: number[] = [];
  let at = 0;
  for (const line of lines) {
    offsets.push(at);
    at += Buffer.byteLength(line) + 1;
  }
  const sync = job({ input: text(), map: (line, emit: (key: number, value: string) => void, ctx) => emit(ctx.offset, line), reduce: collect<string>() });
  const later = job({ input: text(), async map(line, emit: (key: number, value: string) => void, ctx) { await Promise.resolve(); emit(ctx.offset, line); }, reduce: collect<string>() });
  const expected = lines.map((line, i) => `${offsets[i]}\t${line}\n`).join("");
  for (const made of [sync, later]) for (const splitSize of [1, 5, 1000]) assert.equal((await stage.ok(made, { splitSize })).text(), expected);
});

for (const [name, made, phase] of [
  ["setup", job({ input: text(), setup() { throw new Error("oh"); }, map: (_, emit: (key: string) => void) => emit("a"), reduce: count() }), "setup"],
  ["teardown", job({ input: text(), teardown() { throw new Error("oh"); }, map: (_, emit: (key: string) => void) => emit("a"), reduce: count() }), "teardown"],
] as const) {
  test(`an error in ${name} is told apart`, async (t) => {
    const failure = await new Stage(t).file("in.txt", "x\n").fails(made);
    assert.deepEqual([failure.code, failure.phase, failure.path, failure.record, failure.offset], ["USER_CODE", phase, null, null, null]);
  });
}

test("emit after the task has ended is refused", async (t) => {
  const stage = new Stage(t).file("in.txt", "x\n");
  let late: ((key: string) => void) | undefined;
  await stage.ok(job({ input: text(), map(_, emit: (key: string) => void) { late = emit; emit("a"); }, reduce: count() }));
  assert.throws(() => late!("b"), (error) => isSheafError(error) && error.code === "EMIT_LATE");
  await stage.ok(job({ input: text(), map(_, emit: (key: string) => void) { late = emit; emit("a"); }, reduce: count() }), { settings: { keepBad: true } });
  assert.throws(() => late!("b"), { code: "EMIT_LATE" });
});

test("counters count in integers", async (t) => {
  const stage = new Stage(t).file("in.txt", "x\n");
  const made = job({ input: text(), map: (_, emit: (key: string) => void, ctx) => ctx.count("n", 0.5), reduce: count() });
  assert.equal((await stage.fails(made)).code, "VALUE_INVALID");
});

test("collections: each has its own pairs, and a wrong name is told", async (t) => {
  const stage = new Stage(t).file("in.txt", "a b\nb\n");
  const collections = { words: { reduce: count() }, lengths: { reduce: sum(), partitions: 2 }, lines: {} };
  const made = job({
    input: text(),
    collections,
    map(line, emit) {
      for (const word of line.split(" ")) emit.words(word);
      emit.lengths(line.length, 1);
      (emit.lines as (key: string, value: number) => void)(line, line.length);
    },
  });
  for (const keepBad of [false, true]) {
    const played = await stage.ok(made, { settings: { keepBad } });
    assert.equal(played.text(0), "a\t1\nb\t2\n");
    assert.deepEqual(played.text(1).split("\n").sort(), ["", "1\t1", "3\t1"]);
    assert.equal(played.text(2), "a b\t3\nb\t1\n");
  }
  const wrong = job({ input: text(), collections, map: (_, emit) => (emit as unknown as Record<string, () => void>)["word"]!() });
  const failure = await stage.fails(wrong);
  assert.equal(failure.code, "USER_CODE");
  assert.match(failure.message, /emit\.word/);
  assert.match(failure.hint ?? "", /emit\.words/);
});

test("hundreds of collections share a small budget", async (t) => {
  const stage = new Stage(t).file("in.txt", Array.from({ length: 500 }, (_, i) => `w${i % 37}\n`).join(""));
  const names = Array.from({ length: 300 }, (_, i) => `c${i}`);
  const made = job({
    input: text(),
    collections: Object.fromEntries(names.map((name, i) => [name, i % 2 === 0 ? { reduce: count() } : { reduce: (_: string, values: Iterable<number>) => [...values].length }])),
    map(line: string, emit: unknown) {
      for (const name of names) (emit as unknown as Record<string, (key: string, value: number) => void>)[name]!(line, 1);
    },
  } as never);
  const played = await stage.ok(made);
  const first = played.text(0);
  assert.match(first, /^w0\t14\n/);
  for (let i = 1; i < 300; i++) assert.equal(played.text(i), first);
});

test("map-only: pairs in the order of the records, keys checked, writer's refusals with the record", async (t) => {
  const stage = new Stage(t).file("in.txt", "b\na\nb\n");
  const made = job({ input: text(), map: (line, emit: (key: string, value: number) => void) => emit(line, line.length) });
  const played = await stage.ok(made);
  assert.equal(played.text(), "b\t1\na\t1\nb\t1\n");
  assert.equal(played.reduces.length, 0);
  assert.deepEqual([played.maps[0]!.stats.recordsOut, played.maps[0]!.stats.emitted, played.maps[0]!.output!.path], [3, 3, null]);
  for (const [key, value, code, phase] of [[NaN, 1, "KEY_INVALID", "map"], [{}, 1, "KEY_INVALID", "map"], ["\ud800", 1, "KEY_INVALID", "map"], ["k", () => 1, "VALUE_INVALID", "write"], ["k", NaN, "VALUE_INVALID", "write"]] as const) {
    const bad = job({ input: text(), map: ((line: string, emit: (key: unknown, value: unknown) => void) => (line === "a" ? emit(key, value) : emit(line, 1))) as never });
    const failure = await stage.fails(bad);
    assert.deepEqual([failure.code, failure.phase, failure.offset, failure.record], [code, phase, 2, "a"]);
    const kept = await stage.ok(bad, { settings: { keepBad: true } });
    assert.equal(kept.text(), "b\t1\nb\t1\n");
    assert.deepEqual(badOf(kept.maps[0]!).map((one) => [one.offset, one.code, one.phase]), [[2, code, phase]]);
  }
});

test("a generated source: offsets are indices, random numbers the same in every attempt", async (t) => {
  const stage = new Stage(t);
  const made = job({
    input: generate({ tasks: 3, *records(ctx) { for (let i = 0; i < 4; i++) yield ctx.index * 100 + Math.floor(ctx.random() * 90); } }),
    map: (record: number, emit: (key: number, value: number) => void, ctx) => emit(ctx.index * 10 + ctx.offset, record),
    reduce: sum(),
  });
  const first = await stage.ok(made);
  assert.deepEqual(first.text().trimEnd().split("\n").map((line) => line.split("\t")[0]), ["0", "1", "2", "3", "10", "11", "12", "13", "20", "21", "22", "23"]);
  assert.equal((await stage.ok(made, { attempt: 3 })).text(), first.text());
  const throwing = job({ input: generate({ tasks: 1, *records() { yield 1; throw new Error("dry"); } }), map: (record: number, emit: (key: number) => void) => emit(record), reduce: count() });
  const failure = await stage.fails(throwing);
  assert.deepEqual([failure.code, failure.phase, failure.message], ["USER_CODE", "read", "dry"]);
});

test("a cancelled attempt ends between two batches", async (t) => {
  const stage = new Stage(t).file("in.txt", "line\n".repeat(200_000));
  const cancel = new AbortController();
  let mapped = 0;
  const made = job({ input: text(), map(_, emit: (key: string) => void) { if (++mapped === 10) cancel.abort(new Error("enough")); emit("a"); }, reduce: count() });
  const failure = await stage.fails(made, { signal: cancel.signal });
  assert.match(failure.message, /enough/);
  assert.ok(mapped < 200_000);
});

test("empty input gives empty parts", async (t) => {
  const stage = new Stage(t).file("in.txt", "");
  const played = await stage.ok(job({ input: text(), map: (line, emit) => emit(line, 1), reduce: sum(), partitions: 3 }));
  assert.deepEqual(played.files(), ["", "", ""]);
  assert.equal(played.maps[0]!.output!.path, null);
});

test("columns straight from the bytes give what JavaScript gives, quotes and odd numbers included", async (t) => {
  const random = seededRandom("columns");
  const rows = Array.from({ length: 3000 }, () => {
    const name = ["ab", "b", '"c,d"', "é", '"ab"', ""][random.below(6)]!;
    const value = ["0.1", "3", "1e-3", '"7"', "-2.5", "4503599627370497", "+1", "0.30000000000000004"][random.below(8)]!;
    return `${name},${value}`;
  });
  const stage = new Stage(t).file("in.csv", `name,value\n${rows.join("\n")}\n`);
  const input = csv({ columns: { name: "string", value: "number" } } as never);
  const native = job({ input, map: columns("name", "value") as never, reduce: sum() });
  const plain = job({ input, map: ((row: { name: string; value: number }, emit: (key: string, value: number) => void) => emit(row.name, row.value)) as never, reduce: sum() });
  assert.equal(nativePlan(native, stage.settings(native))?.kind, "columns");
  const wanted = (await stage.ok(plain)).text();
  assert.ok(wanted.split("\n").length > 5);
  assert.equal((await stage.ok(native)).text(), wanted);
});
