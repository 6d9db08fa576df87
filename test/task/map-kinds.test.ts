import assert from "node:assert/strict";
import { test } from "node:test";
import { count } from "#src/aggregate/count.js";
import { sum } from "#src/aggregate/sum.js";
import { seededRandom } from "#src/base/random.js";
import { csv } from "#src/format/csv.js";
import { generate } from "#src/format/generate.js";
import { text } from "#src/format/text.js";
import { job } from "#src/job/define.js";
import { columns } from "#src/job/field-map.js";
import { nativePlan } from "#src/task/native-map.js";
import { Stage, badOf } from "./support.js";

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
  const wrong = job({
    input: text(),
    collections,
    map: (_, emit) => (emit as unknown as Record<string, () => void>)["word"]!(),
  });
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
    collections: Object.fromEntries(
      names.map((name, i) => [
        name,
        i % 2 === 0
          ? { reduce: count() }
          : { reduce: (_: string, values: Iterable<number>) => [...values].length },
      ]),
    ),
    map(line: string, emit: unknown) {
      for (const name of names)
        (emit as unknown as Record<string, (key: string, value: number) => void>)[name]!(line, 1);
    },
  } as never);
  const played = await stage.ok(made);
  const first = played.text(0);
  assert.match(first, /^w0\t14\n/);
  for (let i = 1; i < 300; i++) assert.equal(played.text(i), first);
});

test("map-only: pairs in the order of the records, keys checked, writer's refusals with the record", async (t) => {
  const stage = new Stage(t).file("in.txt", "b\na\nb\n");
  const made = job({
    input: text(),
    map: (line, emit: (key: string, value: number) => void) => emit(line, line.length),
  });
  const played = await stage.ok(made);
  assert.equal(played.text(), "b\t1\na\t1\nb\t1\n");
  assert.equal(played.reduces.length, 0);
  assert.deepEqual(
    [played.maps[0]!.stats.recordsOut, played.maps[0]!.stats.emitted, played.maps[0]!.output!.path],
    [3, 3, null],
  );
  for (const [key, value, code, phase] of [
    [NaN, 1, "KEY_INVALID", "map"],
    [{}, 1, "KEY_INVALID", "map"],
    ["\ud800", 1, "KEY_INVALID", "map"],
    ["k", () => 1, "VALUE_INVALID", "write"],
    ["k", NaN, "VALUE_INVALID", "write"],
  ] as const) {
    const bad = job({
      input: text(),
      map: ((line: string, emit: (key: unknown, value: unknown) => void) =>
        line === "a" ? emit(key, value) : emit(line, 1)) as never,
    });
    const failure = await stage.fails(bad);
    assert.deepEqual([failure.code, failure.phase, failure.offset, failure.record], [code, phase, 2, "a"]);
    const kept = await stage.ok(bad, { settings: { keepBad: true } });
    assert.equal(kept.text(), "b\t1\nb\t1\n");
    assert.deepEqual(
      badOf(kept.maps[0]!).map((one) => [one.offset, one.code, one.phase]),
      [[2, code, phase]],
    );
  }
});

test("a generated source: offsets are indices, random numbers the same in every attempt", async (t) => {
  const stage = new Stage(t);
  const made = job({
    input: generate({
      tasks: 3,
      *records(ctx) {
        for (let i = 0; i < 4; i++) yield ctx.index * 100 + Math.floor(ctx.random() * 90);
      },
    }),
    map: (record: number, emit: (key: number, value: number) => void, ctx) =>
      emit(ctx.index * 10 + ctx.offset, record),
    reduce: sum(),
  });
  const first = await stage.ok(made);
  assert.deepEqual(
    first
      .text()
      .trimEnd()
      .split("\n")
      .map((line) => line.split("\t")[0]),
    ["0", "1", "2", "3", "10", "11", "12", "13", "20", "21", "22", "23"],
  );
  assert.equal((await stage.ok(made, { attempt: 3 })).text(), first.text());
  const throwing = job({
    input: generate({
      tasks: 1,
      *records() {
        yield 1;
        throw new Error("dry");
      },
    }),
    map: (record: number, emit: (key: number) => void) => emit(record),
    reduce: count(),
  });
  const failure = await stage.fails(throwing);
  assert.deepEqual([failure.code, failure.phase, failure.message], ["USER_CODE", "read", "dry"]);
});

test("a cancelled attempt ends between two batches", async (t) => {
  const stage = new Stage(t).file("in.txt", "line\n".repeat(200_000));
  const cancel = new AbortController();
  let mapped = 0;
  const made = job({
    input: text(),
    map(_, emit: (key: string) => void) {
      if (++mapped === 10) cancel.abort(new Error("enough"));
      emit("a");
    },
    reduce: count(),
  });
  const failure = await stage.fails(made, { signal: cancel.signal });
  assert.match(failure.message, /enough/);
  assert.ok(mapped < 200_000);
});

test("empty input gives empty parts", async (t) => {
  const stage = new Stage(t).file("in.txt", "");
  const played = await stage.ok(
    job({ input: text(), map: (line, emit) => emit(line, 1), reduce: sum(), partitions: 3 }),
  );
  assert.deepEqual(played.files(), ["", "", ""]);
  assert.equal(played.maps[0]!.output!.path, null);
});

test("columns straight from the bytes give what JavaScript gives, quotes and odd numbers included", async (t) => {
  const random = seededRandom("columns");
  const rows = Array.from({ length: 3000 }, () => {
    const name = ["ab", "b", '"c,d"', "é", '"ab"', ""][random.below(6)]!;
    const value = ["0.1", "3", "1e-3", '"7"', "-2.5", "4503599627370497", "+1", "0.30000000000000004"][
      random.below(8)
    ]!;
    return `${name},${value}`;
  });
  const stage = new Stage(t).file("in.csv", `name,value\n${rows.join("\n")}\n`);
  const input = csv({ columns: { name: "string", value: "number" } } as never);
  const native = job({ input, map: columns("name", "value") as never, reduce: sum() });
  const plain = job({
    input,
    map: ((row: { name: string; value: number }, emit: (key: string, value: number) => void) =>
      emit(row.name, row.value)) as never,
    reduce: sum(),
  });
  assert.equal(nativePlan(native, stage.settings(native))?.kind, "columns");
  const wanted = (await stage.ok(plain)).text();
  assert.ok(wanted.split("\n").length > 5);
  assert.equal((await stage.ok(native)).text(), wanted);
});

test("columns straight from the bytes take quotes as they are where there is no quoting", async (t) => {
  const random = seededRandom("no quoting");
  const rows = Array.from({ length: 3000 }, () => {
    const name = ['"', '"a', 'a"b', "é", '""', "plain"][random.below(6)]!;
    return `${name};${["1", "-2.5", "0.1", "1e3"][random.below(4)]}`;
  });
  const stage = new Stage(t).file("in.csv", `${rows.join("\n")}\n`);
  const shape = { name: "string", value: "number" } as const;
  const input = csv({ delimiter: ";", quote: null, header: false, columns: shape });
  const native = job({ input, map: columns("name", "value"), reduce: sum() });
  assert.equal(nativePlan(native, stage.settings(native))?.kind, "columns");
  const plain = job({ input, map: (row, emit) => emit(row.name, row.value), reduce: sum() });
  const wanted = (await stage.ok(plain)).text();
  assert.equal(wanted.trim().split("\n").length, 6);
  assert.equal((await stage.ok(native)).text(), wanted);
});

test("numbers that kernels and JavaScript add to one row in turn lose no bit", async (t) => {
  // A quoted field is left to JavaScript, the rest is added by a kernel.
  const random = seededRandom("in turn");
  const rows = Array.from({ length: 400 }, (_, i) =>
    i % 2 === 0 ? `"b",${i % 4 === 0 ? "" : "-"}2147483647` : `b,0.${random.below(1e9)}`,
  );
  const stage = new Stage(t).file("in.csv", `name,value\n${rows.join("\n")}\n`);
  const input = csv({ columns: { name: "string", value: "number" } });
  const native = job({ input, map: columns("name", "value"), reduce: sum() });
  assert.equal(nativePlan(native, stage.settings(native))?.kind, "columns");
  const plain = job({ input, map: (row, emit) => emit(row.name, row.value), reduce: sum() });
  assert.equal((await stage.ok(native)).text(), (await stage.ok(plain)).text());
});
