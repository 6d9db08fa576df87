import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { test } from "node:test";
import { collect } from "#src/aggregate/collect.js";
import { count } from "#src/aggregate/count.js";
import { stats } from "#src/aggregate/stats.js";
import { sum } from "#src/aggregate/sum.js";
import { topK } from "#src/aggregate/top-k.js";
import { seededRandom } from "#src/base/random.js";
import { MiB } from "#src/base/size.js";
import { encodeKey, keySizeMax } from "#src/codec/key-codec.js";
import { csv } from "#src/format/csv.js";
import { delimited } from "#src/format/delimited.js";
import { jsonl } from "#src/format/jsonl.js";
import { none } from "#src/format/none.js";
import { text } from "#src/format/text.js";
import { tsv } from "#src/format/tsv.js";
import { words } from "#src/format/words.js";
import type { Aggregator } from "#src/job/aggregator.js";
import { job } from "#src/job/define.js";
import type { Job } from "#src/job/define.js";
import { compareKeys } from "#src/job/key-order.js";
import type { Key } from "#src/job/key.js";
import type { Writer } from "#src/job/writer.js";
import { createTaskRunner } from "#src/task/task-runner.js";
import { PROGRESS_BYTES } from "#src/task/task-spec.js";
import { Stage } from "./support.js";

const LINES = "b 1\na 2\nb 3\nc 4\nb 5\n";

/** Pairs of a word and a number, from lines such as LINES. */
function pairs(line: string, emit: (key: string, value: number) => void): void {
  const [word, number] = line.split(" ");
  emit(word!, Number(number));
}

const reductions: [name: string, reduce: (key: string, values: Iterable<number>) => unknown, output: string][] = [
  ["a value", (_, values) => [...values].reduce((a, b) => a + b), "a\t2\nb\t9\nc\t4\n"],
  ["a string, which is one value", (key, values) => `${key}${[...values].join("")}`, "a\ta2\nb\tb135\nc\tc4\n"],
  ["an array, which is one value", (_, values) => [...values], "a\t2\nb\t1\t3\t5\nc\t4\n"],
  ["a Set, which is one value", (_, values) => new Set(values), 'a\t[2]\nb\t[1,3,5]\nc\t[4]\n'],
  ["undefined, for nothing", (key) => (key === "b" ? undefined : 1), "a\t1\nc\t1\n"],
  ["null, for an empty column", () => null, "a\t\nb\t\nc\t\n"],
  ["a generator", function* (_, values) { for (const value of values) if (value > 1) yield value; }, "a\t2\nb\t3\nb\t5\nc\t4\n"],
  ["a generator of arrays", function* (_, values) { yield [...values]; yield []; }, "a\t2\na\nb\t1\t3\t5\nb\nc\t4\nc\n"],
  ["an async generator", async function* (_, values) { for (const value of values) { await Promise.resolve(); yield value; } }, "a\t2\nb\t1\nb\t3\nb\t5\nc\t4\n"],
  ["a promise", (_, values) => Promise.resolve([...values].length), "a\t1\nb\t3\nc\t1\n"],
  ["a promise of nothing", (key) => Promise.resolve(key === "b" ? 1 : undefined), "b\t1\n"],
  ["values it awaits between", async (_, values) => { let n = 0; for (const value of values) { await Promise.resolve(); n += value; } return n; }, "a\t2\nb\t9\nc\t4\n"],
  ["the values themselves, as an iterator", (_, values) => values, "a\t2\nb\t1\nb\t3\nb\t5\nc\t4\n"],
];

for (const [name, reduce, output] of reductions) {
  test(`reduce returns ${name}`, async (t) => {
    const stage = new Stage(t).file("in.txt", LINES);
    const made = job({ input: text(), map: pairs, reduce: reduce as () => number });
    for (const splitSize of [3, 100]) assert.equal((await stage.ok(made, { splitSize })).text(), output);
  });
}

test("reduce may leave values unread, and emit under other keys", async (t) => {
  const stage = new Stage(t).file("in.txt", LINES);
  const made = job({
    input: text(),
    map: pairs,
    reduce(key: string, values: Iterable<number>, ctx) {
      for (const value of values) {
        ctx.emit(["first", key], value);
        break;
      }
      ctx.count("groups");
      return key === "a" ? "end" : undefined;
    },
  });
  const played = await stage.ok(made);
  assert.equal(played.text(), "first\ta\t2\na\tend\nfirst\tb\t1\nfirst\tc\t4\n");
  assert.deepEqual(played.counters, { groups: 3 });
  assert.deepEqual([played.reduces[0]!.stats.groups, played.reduces[0]!.stats.recordsIn, played.reduces[0]!.stats.recordsOut], [3, 5, 4]);
});

test("ctx.emit after the reduce task has ended is refused", async (t) => {
  const stage = new Stage(t).file("in.txt", LINES);
  let late: ((key: string, value: number) => void) | undefined;
  await stage.ok(job({ input: text(), map: pairs, reduce(_: string, values: Iterable<number>, ctx) { late = (key, value) => ctx.emit(key, value); return [...values].length; } }));
  assert.throws(() => late!("k", 1), { code: "EMIT_LATE" });
});

const failing: [name: string, reduce: (key: string, values: Iterable<number>) => unknown][] = [
  ["throws", (key) => { if (key === "b") throw new Error("no"); }],
  ["rejects", async (key) => { await Promise.resolve(); if (key === "b") throw new Error("no"); }],
  ["yields and throws", function* (key, values) { yield* values; if (key === "b") throw new Error("no"); }],
  ["throws while reading values", (key, values) => { for (const value of values) if (value === 3) throw new Error("no"); return key; }],
];

for (const [name, reduce] of failing) {
  test(`a reduce that ${name} fails with its key`, async (t) => {
    const stage = new Stage(t).file("in.txt", LINES);
    const failure = await stage.fails(job({ input: text(), map: pairs, reduce: reduce as () => number }));
    assert.deepEqual([failure.code, failure.phase, failure.key, failure.message, failure.record, failure.path], ["USER_CODE", "reduce", '"b"', "no", null, null]);
  });
}

test("what the writer cannot write fails with the key", async (t) => {
  const stage = new Stage(t).file("in.txt", LINES);
  const failure = await stage.fails(job({ input: text(), map: pairs, reduce: (key: string) => (key === "b" ? NaN : 1) }));
  assert.deepEqual([failure.code, failure.phase, failure.key], ["VALUE_INVALID", "write", '"b"']);
});

test("a sum beyond 2^53 - 1 fails with its key, on the native path too", async (t) => {
  const stage = new Stage(t).file("in.txt", `a 1\nb ${Number.MAX_SAFE_INTEGER}\nb 5\n`);
  const failure = await stage.fails(job({ input: text(), map: pairs, reduce: sum() }));
  assert.deepEqual([failure.code, failure.key], ["NUMBER_RANGE", '"b"']);
});

test("combine: any number of times, in several tasks, over spills, with the same result", async (t) => {
  const random = seededRandom("combine");
  const numbers = Array.from({ length: 20_000 }, () => [`k${random.below(3000)}`, random.below(100)] as const);
  const stage = new Stage(t).file("in.txt", numbers.map(([key, value]) => `${key} ${value}\n`).join(""));
  let combined = 0;
  const reduce = (_: string, values: Iterable<number>): number => [...values].reduce((a, b) => a + b, 0);
  const plain = await stage.ok(job({ input: text(), map: pairs, reduce }));
  for (const combine of [
    (_: string, values: Iterable<number>): number => { combined++; return [...values].reduce((a, b) => a + b, 0); },
    function* (_: string, values: Iterable<number>): Generator<number> { let total = 0; for (const value of values) { if (total > 50) { yield total; total = 0; } total += value; } yield total; },
    (_: string, values: Iterable<number>): number | undefined => [...values].reduce((a, b) => a + b, 0) || undefined,
  ]) {
    const made = job({ input: text(), map: pairs, combine, reduce: (key: string, values: Iterable<number>) => reduce(key, values) });
    for (const splitSize of [Infinity, 30_000]) assert.equal((await stage.ok(made, { splitSize, partitions: 1 })).text().length > 0, true);
    const withCombine = await stage.ok(made, { splitSize: 30_000 });
    assert.deepEqual(totals(withCombine.text()), totals(plain.text()));
  }
  assert.ok(combined > 0);
});

function totals(output: string): Map<string, number> {
  const rows = output.trimEnd().split("\n").map((line) => line.split("\t") as [string, string]);
  return new Map(rows.filter(([, value]) => value !== "0").map(([key, value]) => [key, Number(value)]));
}

for (const [name, combine] of [
  ["throws", (key: string) => { if (key === "b") throw new Error("no"); return 1; }],
  ["yields and throws", function* (key: string) { yield 1; if (key === "b") throw new Error("no"); }],
] as const) {
  test(`a combine that ${name} is told apart from the record that made it run`, async (t) => {
    const stage = new Stage(t).file("in.txt", LINES);
    const failure = await stage.fails(job({ input: text(), map: pairs, combine: combine as () => number, reduce: (_: string, values: Iterable<number>) => [...values].length }));
    assert.deepEqual([failure.code, failure.phase, failure.key, failure.message, failure.record, failure.offset], ["USER_CODE", "combine", '"b"', "no", null, null]);
  });
}

test("groupBy: one call for a prefix, values in the order of the whole key, in any number of partitions", async (t) => {
  const random = seededRandom("groupBy");
  const rows = Array.from({ length: 2000 }, (_, i) => `u${random.below(30)} ${random.below(50)} ${i}`);
  const stage = new Stage(t).file("in.txt", `${rows.join("\n")}\n`);
  const map = (line: string, emit: (key: [string, number], value: number) => void): void => {
    const [user, time, row] = line.split(" ");
    emit([user!, Number(time)], Number(row));
  };
  const expected = new Map<string, [number, number][]>();
  for (const row of rows) {
    const [user, time, number] = row.split(" ");
    expected.set(user!, [...(expected.get(user!) ?? []), [Number(time), Number(number)]]);
  }
  const wanted = [...expected].sort(([a], [b]) => (a < b ? -1 : 1)).map(([user, list]) => `${user}\t${list.sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(([, row]) => row).join("\t")}`);
  const forms = [
    job({ input: text(), map, groupBy: 1, reduce: (key: readonly [string, number], values: Iterable<number>) => { assert.equal(key.length, 1); return [...values]; } }),
    job({ input: text(), map, groupBy: 1, reduce: collect<number>() as never }),
  ];
  for (const made of forms) {
    for (const partitions of [1, 4]) {
      for (const splitSize of [100, 5000, Infinity]) {
        const played = await stage.ok(made, { partitions, splitSize });
        assert.deepEqual(played.text().trimEnd().split("\n").sort(), [...wanted].sort());
        for (const file of played.files()) assert.deepEqual(file.split("\n"), [...file.split("\n").slice(0, -1).sort(), ""]);
      }
    }
  }
});

test("groupBy in a total order: no bound goes through a group", async (t) => {
  const rows = Array.from({ length: 500 }, (_, i) => `u${i % 5} ${i}`);
  const stage = new Stage(t).file("in.txt", `${rows.join("\n")}\n`);
  const made = job({
    input: text(),
    map: (line: string, emit: (key: [string, number], value: number) => void) => emit([line.split(" ")[0]!, Number(line.split(" ")[1])], 1),
    groupBy: 1,
    order: "total",
    reduce: (_: readonly [string, number], values: Iterable<number>) => [...values].length,
  });
  const bound = (key: Key): string => {
    const bytes = Buffer.alloc(keySizeMax(key));
    return bytes.toString("base64", 0, encodeKey(bytes, 0, key));
  };
  const settings = { bounds: [[bound(["u1", 200]), bound(["u3", 9]), bound(["u3", 300])]] };
  const played = await stage.ok(made, { partitions: 4, settings });
  assert.deepEqual(played.files(), ["u0\t100\n", "u1\t100\nu2\t100\n", "", "u3\t100\nu4\t100\n"]);
});

/** The writer without its native form. */
function plainly(writer: Writer<Key, unknown>): Writer<Key, unknown> {
  const { nativeOutput: _, ...rest } = writer;
  return rest;
}

const randomWords = (seed: string, length: number): string => {
  const random = seededRandom(seed);
  const parts = ["a", "b", "é", "日本", "x".repeat(30), "\\", "word", "\t"];
  return Array.from({ length }, () => Array.from({ length: 1 + random.below(3) }, () => parts[random.below(parts.length)]!).join("")).join("\n") + "\n";
};

const twins: [name: string, input: string, make: (writer: (output: Writer<Key, unknown>) => Writer<Key, unknown>) => Job][] = [
  ["counted words", randomWords("words", 3000), (as) => job({ input: words(), reduce: count(), output: as(tsv()) })],
  ["counted lines with tabs and backslashes", randomWords("lines", 2000), (as) => job({ input: text(), reduce: count(), output: as(tsv()) })],
  ["sums, some of fractions and negative", randomWords("sums", 3000), (as) => job({ input: text(), map: (line, emit: (key: string, value: number) => void) => emit(line, line.length % 3 === 0 ? -0.5 : -line.length), reduce: sum(), output: as(tsv()) })],
  ["sums of keys of many kinds", randomWords("kinds", 2000), (as) => job({ input: text(), map: (line, emit: (key: Key, value: number) => void) => emit(line.length % 2 === 0 ? line : [line, 1], 1), reduce: sum(), output: as(tsv()) })],
  ["sorted lines as text", randomWords("sorted", 3000), (as) => job({ input: text(), order: "total", output: as(text()) })],
  ["sorted lines as tsv", randomWords("sorted", 1000), (as) => job({ input: text(), order: "total", output: as(tsv()) })],
  ["sorted records that hold newlines, as text", randomWords("newlines", 1000).replaceAll("a\n", "a\nb;"), (as) => job({ input: delimited(";"), order: "total", output: as(text()) })],
  ["sorted json texts that hold newlines", Array.from({ length: 300 }, (_, i) => JSON.stringify(`l\n${i}\nm`)).join("\n"), (as) => job({ input: jsonl<string>(), order: "total", output: as(text()) })],
  ["stats of one count", randomWords("nested", 500), (as) => job({ input: text(), map: (line, emit: (key: string, value: object) => void) => emit(line, { deep: { n: 1 } }), reduce: stats({ deep: stats({ n: count() }) }) as never, output: as(tsv()) })],
  ["stats of one sum", randomWords("nested", 500), (as) => job({ input: text(), map: (line, emit: (key: string, value: object) => void) => emit(line, { deep: { n: 1 } }), reduce: stats({ deep: stats({ n: sum() }) }) as never, output: as(tsv()) })],
];

for (const [name, input, make] of twins) {
  test(`kernels write the same bytes and roll at the same places: ${name}`, async (t) => {
    const stage = new Stage(t).file("in.txt", input);
    for (const partBytes of [64 * MiB, 1, 50, 999, 20_000]) {
      const settings = { partBytes };
      const native = await stage.ok(make((writer) => writer), { settings });
      const plain = await stage.ok(make(plainly), { settings });
      assert.deepEqual(native.files(), plain.files(), `parts of ${partBytes} bytes`);
      assert.deepEqual(native.parts.map(({ records, crc32c }) => [records, crc32c]), plain.parts.map(({ records, crc32c }) => [records, crc32c]));
      for (const file of plain.files().slice(0, -1)) assert.ok(Buffer.byteLength(file) >= partBytes);
      assert.equal(native.reduces[0]!.stats.recordsOut, plain.reduces[0]!.stats.recordsOut);
    }
  });
}

test("an aggregator of one's own with the row of a count prints what its result says", async (t) => {
  const stage = new Stage(t).file("in.txt", "a\nb\na\n");
  const own = count();
  const tripled = { ...own, kind: "triple", numeric: { ...own.numeric!, result: (row: Float64Array, at: number) => row[at]! * 3 } } as Aggregator<unknown, number>;
  const renamed = { ...tripled, kind: "count" } as Aggregator<unknown, number>;
  for (const reduce of [tripled, renamed]) assert.equal((await stage.ok(job({ input: text(), map: (line, emit: (key: string) => void) => emit(line), reduce }))).text(), "a\t6\nb\t3\n");
});

test("parts roll between records, headers in each, none empty at the end", async (t) => {
  const stage = new Stage(t).file("in.txt", LINES);
  for (const partBytes of [1, 8, 20, 1000]) {
    const made = job({ input: text(), map: pairs, reduce: (_: string, values: Iterable<number>) => ({ n: [...values].length }), output: csv({ header: true } as never) as never });
    const played = await stage.ok(made, { settings: { partBytes } });
    const files = played.files();
    const header = files[0]!.split("\n")[0]!;
    assert.ok(files.every((file) => file.startsWith(`${header}\n`) && file.split("\n").length >= 3));
    assert.equal(files.map((file) => file.slice(header.length + 1)).join(""), "a,1\nb,3\nc,1\n");
    assert.deepEqual(played.parts.map(({ roll }) => roll), files.map((_, i) => i));
  }
});

test("a generator of many results rolls in the middle of its key", async (t) => {
  const stage = new Stage(t).file("in.txt", "a 1\n");
  const made = job({ input: text(), map: pairs, reduce: function* (_: string, __: Iterable<number>) { for (let i = 0; i < 100; i++) yield i; } });
  const played = await stage.ok(made, { settings: { partBytes: 40 } });
  assert.ok(played.files().length > 8);
  assert.equal(played.text(), Array.from({ length: 100 }, (_, i) => `a\t${i}\n`).join(""));
});

test("compressed parts hold the same text", async (t) => {
  const stage = new Stage(t).file("in.txt", randomWords("gzip", 2000));
  const plain = await stage.ok(job({ input: words(), reduce: count() }));
  const packed = await stage.ok(job({ input: words(), reduce: count(), output: tsv({ compress: "gzip" }) }));
  assert.equal(packed.parts[0]!.extension, ".tsv.gz");
  assert.equal(gunzipSync(readFileSync(packed.parts[0]!.path)).toString(), plain.text());
});

test("none() writes nothing, and collected results come back exactly", async (t) => {
  const stage = new Stage(t).file("in.txt", LINES);
  const made = job({ input: text(), map: pairs, reduce: (key: string, values: Iterable<number>) => ({ key, all: new Set(values), big: 5n, none: undefined }), output: none() as never });
  const played = await stage.ok(made, { settings: { collect: true } });
  assert.deepEqual(played.files(), []);
  assert.deepStrictEqual(played.collected(), [
    ["a", { key: "a", all: new Set([2]), big: 5n, none: undefined }],
    ["b", { key: "b", all: new Set([1, 3, 5]), big: 5n, none: undefined }],
    ["c", { key: "c", all: new Set([4]), big: 5n, none: undefined }],
  ]);
});

test("collected beside an output, and without one, of every kind of collection", async (t) => {
  const stage = new Stage(t).file("in.txt", LINES);
  const made = job({
    input: text(),
    collections: {
      sums: { reduce: sum() },
      tops: { reduce: topK(2) },
      sorted: { order: "total" },
      straight: {},
    },
    map(line: string, emit: unknown) {
      const all = emit as Record<string, (key: Key, value: unknown) => void>;
      pairs(line, (key, value) => {
        all["sums"]!(key, value);
        all["sorted"]!([value, key], undefined);
        all["straight"]!(value, { key });
      });
    },
  } as never);
  const both = await stage.ok(made, { settings: { collect: true } });
  const only = await stage.ok(made, { settings: { collect: true, output: "none" } });
  assert.ok(only.parts.every(({ kind }) => kind === "collected"));
  for (const played of [both, only]) {
    assert.deepEqual(played.collected(0), [["a", 2], ["b", 9], ["c", 4]]);
    assert.deepEqual(played.collected(2), [[[1, "b"], undefined], [[2, "a"], undefined], [[3, "b"], undefined], [[4, "c"], undefined], [[5, "b"], undefined]]);
    assert.deepEqual(played.collected(3), [[1, { key: "b" }], [2, { key: "a" }], [3, { key: "b" }], [4, { key: "c" }], [5, { key: "b" }]]);
  }
  assert.equal(both.text(0), "a\t2\nb\t9\nc\t4\n");
  assert.equal(both.text(3), "1\tb\n2\ta\n3\tb\n4\tc\n5\tb\n");
});

test("equal keys keep the order of map tasks and emits, and partitions their key order", async (t) => {
  const stage = new Stage(t);
  for (let file = 0; file < 5; file++) stage.file(`${file}.txt`, Array.from({ length: 200 }, (_, i) => `k${i % 17} ${file * 1000 + i}\n`).join(""));
  const made = job({ input: text(), map: pairs, reduce: (_: string, values: Iterable<number>) => [...values] });
  for (const partitions of [1, 3]) {
    const played = await stage.ok(made, { partitions, splitSize: 500, settings: { collect: true } });
    const results = played.collected() as [string, number[]][];
    assert.equal(results.length, 17);
    for (const [, values] of results) assert.deepEqual(values, [...values].sort((a, b) => a - b));
    for (const file of played.files()) {
      const keys = file.trimEnd().split("\n").map((line) => line.split("\t")[0]!);
      assert.deepEqual(keys, [...keys].sort(compareKeys as (a: string, b: string) => number));
    }
  }
});

test("a damaged, missing or foreign map output fails as BLOCK_CORRUPT, which is the system's fault", async (t) => {
  const stage = new Stage(t).file("in.txt", LINES);
  const made = job({ input: text(), map: pairs, reduce: sum() });
  const played = await stage.ok(made);
  const output = played.maps[0]!.output!;
  const runner = createTaskRunner(made, stage.settings(made));
  const services = { progress: new Float64Array(PROGRESS_BYTES / 8), signal: new AbortController().signal, log: () => undefined };
  const reduce = (input: typeof output, name: string): ReturnType<typeof runner.run> => {
    const directory = `${stage.root}/${name}`;
    mkdirSync(directory);
    return runner.run({ kind: "reduce", index: 0, attempt: 1, collection: 0, partition: 0, inputs: [input], directory }, services);
  };
  const foreign = await reduce({ ...output, attempt: 2 }, "foreign");
  const bytes = readFileSync(output.path!);
  bytes[40]! ^= 1;
  writeFileSync(output.path!, bytes);
  const damaged = await reduce(output, "damaged");
  rmSync(output.path!);
  const missing = await reduce(output, "missing");
  for (const failure of [foreign, damaged, missing]) {
    assert.ok(failure.kind === "failure");
    assert.deepEqual([failure.code, failure.blame, failure.path], ["BLOCK_CORRUPT", "system", output.path]);
  }
});

test("a runner is used again after a failure, with nothing of it left", async (t) => {
  const stage = new Stage(t).file("good.txt", LINES).file("bad.txt", "b bad\n").file("more.txt", LINES);
  const made = job({ input: text(), map: pairs, reduce: sum() });
  const settings = stage.settings(made);
  const runner = createTaskRunner(made, settings);
  const services = { progress: new Float64Array(PROGRESS_BYTES / 8), signal: new AbortController().signal, log: () => undefined };
  const outputs = [];
  for (const split of stage.splits({})) {
    const directory = `${stage.root}/m${split.index}`;
    mkdirSync(directory);
    const done = await runner.run({ kind: "map", index: split.index, attempt: 1, split, directory }, services);
    assert.equal(done.kind, split.index === 1 ? "failure" : "success");
    if (done.kind === "success") outputs.push(done.output!);
  }
  const directory = `${stage.root}/r`;
  mkdirSync(directory);
  const done = await runner.run({ kind: "reduce", index: 0, attempt: 1, collection: 0, partition: 0, inputs: outputs, directory }, services);
  assert.ok(done.kind === "success");
  assert.equal(readFileSync(done.parts[0]!.path, "utf8"), "a\t4\nb\t18\nc\t8\n");
});
