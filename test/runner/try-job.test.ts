import assert from "node:assert/strict";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { adviceOf } from "#src/engine/advice.js";
import type { Range } from "#src/engine/extrapolate.js";
import type { Forecast } from "#src/engine/forecast.js";
import type { LocalRunOptions } from "#src/engine/options.js";
import { count, generate, job, jsonl, sum, text } from "#src/index.js";
import type { Job } from "#src/index.js";
import { runJob } from "#src/runner/run.js";
import { tryJob } from "#src/runner/try-job.js";
import { Bench } from "./support.ts";

/** Lines of words that come up as those of a text do. */
function words(lines: number, vocabulary: number): string {
  let state = 12_345;
  const next = (): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) / 2 ** 32;
  const word = (): string => `w${Math.floor(Math.exp(next() * Math.log(vocabulary)))}`;
  return Array.from({ length: lines }, () => `${word()} ${word()} ${word()} ${word()}\n`).join("");
}

const wordCount = job({
  input: text(),
  map(line, emit) {
    for (const word of line.split(" ")) emit(word, 1);
  },
  reduce: sum(),
});

const nearly = ({ expected }: Range, fact: number, share: number): boolean =>
  Math.abs(expected - fact) <= share * fact;

/** Tries a job in a directory of its own, which must be as it was when that is over. */
async function tried(bench: Bench, what: Job, options: LocalRunOptions, taskMs = 60_000): Promise<Forecast> {
  const temp = join(bench.root, "temp");
  mkdirSync(temp, { recursive: true });
  const before = readdirSync(bench.root).sort();
  const { forecast } = await tryJob(
    what,
    {
      stateDirectory: null,
      memory: "16MiB",
      tempDirectory: temp,
      output: join(bench.root, "out"),
      ...options,
    },
    { lastMs: 500, freeMs: 500, taskMs },
  );
  assert.deepEqual(readdirSync(temp), []);
  assert.deepEqual(readdirSync(bench.root).sort(), before);
  return forecast;
}

async function fact(what: Job, options: LocalRunOptions) {
  const result = await runJob(what, { stateDirectory: null, memory: "16MiB", ...options });
  result.throwIfFailed();
  await result.dispose();
  return result;
}

test("records, shuffle, groups and output of a word count are near what they come to be; nothing is left", async (t) => {
  const bench = new Bench(t);
  const inputs = bench.file("in.txt", words(60_000, 5000));
  const options = { inputs, splitSize: "300KiB", partitions: 2 };
  const found = await tried(bench, wordCount, options);
  const { stats, mapTasks } = await fact(wordCount, { ...options, output: join(bench.root, "out") });
  assert.ok(nearly(found.records, stats.recordsIn, 0.05), JSON.stringify(found.records));
  assert.ok(
    nearly(found.shuffleBytes, stats.shuffleBytes, 0.2),
    `${stats.shuffleBytes} ${JSON.stringify(found)}`,
  );
  assert.ok(nearly(found.groups, stats.groups, 0.2), `${stats.groups} ${JSON.stringify(found.groups)}`);
  assert.ok(
    nearly(found.bytesOut, stats.bytesOut, 0.2),
    `${stats.bytesOut} ${JSON.stringify(found.bytesOut)}`,
  );
  assert.equal(found.bad, null);
  assert.deepEqual([found.mapTasks, found.reduceTasks], [mapTasks, 2]);
});

test("of sorted records as many come out as go in, also of those that are equal", async (t) => {
  const bench = new Bench(t);
  const inputs = bench.file("in.txt", words(30_000, 300));
  const sorted = job({ input: text(), map: (line, emit) => emit(line), order: "total", output: text() });
  const found = await tried(bench, sorted, { inputs, splitSize: "200KiB", partitions: 3 });
  for (const range of [found.records, found.pairs, found.groups, found.recordsOut])
    assert.ok(nearly(range, 30_000, 0.05), JSON.stringify(range));
});

test("a map without reduce has no shuffle, and the output of its maps", async (t) => {
  const bench = new Bench(t);
  const inputs = bench.file("in.txt", words(20_000, 300));
  const odd = job({
    input: text(),
    map: (line, emit) => (line.includes("w1 ") ? emit(null, line) : undefined),
    output: text(),
  });
  const options = { inputs, splitSize: "100KiB" };
  const found = await tried(bench, odd, options);
  const { stats } = await fact(odd, { ...options, output: join(bench.root, "out") });
  assert.equal(found.reduceTasks, 0);
  assert.equal(found.shuffleBytes.expected, 0);
  assert.ok(
    nearly(found.recordsOut, stats.recordsOut, 0.1),
    `${stats.recordsOut} ${JSON.stringify(found.recordsOut)}`,
  );
  assert.ok(nearly(found.bytesOut, stats.bytesOut, 0.1));
});

test("compressed files are read from their beginning, and inputs of several each by itself", async (t) => {
  const bench = new Bench(t);
  const packed = bench.file("in.txt.gz", "");
  writeFileSync(packed, gzipSync(words(30_000, 300)));
  const found = await tried(bench, wordCount, { inputs: packed });
  assert.ok(nearly(found.records, 30_000, 0.1), JSON.stringify(found.records));
  assert.match(found.notes.join(), /from their beginning/);
  const plain = bench.file("few.txt", words(2000, 100));
  const joined = job({
    inputs: { many: text(), few: text() },
    map: { many: (line, emit) => emit(line, 1), few: (line, emit) => emit(line, 0) },
    reduce: sum(),
  });
  const both = await tried(bench, joined, { inputs: { many: packed, few: plain } });
  assert.ok(nearly(both.records, 32_000, 0.1), JSON.stringify(both.records));
});

test("generated records: all of them where tasks come to their end", async (t) => {
  const bench = new Bench(t);
  const dice = job({
    input: generate({
      tasks: 6,
      *records({ random }) {
        for (let i = 0; i < 500; i++) yield Math.floor(random() * 6);
      },
    }),
    map: (side, emit) => emit(side),
    reduce: count(),
  });
  const found = await tried(bench, dice, {});
  assert.deepEqual(found.records, { low: 3000, expected: 3000, high: 3000 });
  assert.equal(found.groups.expected, 6);
});

test("a source that does not end in time has no totals, and says so", async (t) => {
  const bench = new Bench(t);
  const endless = job({
    input: generate({
      tasks: 4,
      *records() {
        for (let i = 0; ; i++) yield i;
      },
    }),
    map: (i: number, emit) => emit(i % 3),
    reduce: count(),
  });
  await assert.rejects(tried(bench, endless, {}, 50), { code: "USAGE", message: /no end of its records/ });
});

test("bad records are counted with an example, and what to give for them; kept ones need nothing", async (t) => {
  const bench = new Bench(t);
  const lines = Array.from({ length: 20_000 }, (_, i) => (i % 50 === 7 ? "{broken\n" : `{"a":${i}}\n`));
  const inputs = bench.file("in.jsonl", lines.join(""));
  const byTens = job({
    input: jsonl<{ a: number }>(),
    map: (row, emit) => emit(row.a % 10),
    reduce: count(),
  });
  const found = await tried(bench, byTens, { inputs });
  const { low, high } = found.bad!.share;
  assert.ok(low < 0.02 && 0.02 < high, JSON.stringify(found.bad));
  assert.match(found.bad!.example!, /in\.jsonl at byte \d+: /);
  const given = { memoryBytes: 2 ** 28, keepsBad: false, machineBytes: 2 ** 34 };
  const [first] = adviceOf(found, given);
  assert.match(first!.flag!, /^--max-bad [45]%$/);
  assert.ok(adviceOf(found, { ...given, keepsBad: true }).every(({ flag }) => !/max-bad/.test(flag ?? "")));
});

test("what cannot be tried is refused, and a job that fails, fails as it would", async (t) => {
  const bench = new Bench(t);
  await assert.rejects(tryJob(wordCount, { inputs: "-" }), { code: "USAGE", message: /only once/ });
  await assert.rejects(tried(bench, wordCount, { inputs: join(bench.root, "none") }), {
    code: "INPUT_MISSING",
  });
  const inputs = bench.file("in.txt", words(100, 10));
  const reduces = job({
    input: text(),
    map: (line, emit) => emit(line, 1),
    reduce(_key: string, _ones: Iterable<number>): number {
      throw new Error("not today");
    },
  });
  await assert.rejects(tried(bench, reduces, { inputs }), { code: "USER_CODE", message: /not today/ });
});

test("partitions follow the shuffle, and memory the runs that did not fit", async (t) => {
  const bench = new Bench(t);
  const inputs = bench.file("in.txt", words(1000, 10));
  const found = await tried(bench, wordCount, { inputs, partitions: 4 });
  const given = { memoryBytes: 2 ** 28, keepsBad: false, machineBytes: 2 ** 34 };
  const flags = (changes: Partial<Forecast>) =>
    adviceOf({ ...found, ...changes }, given).map(({ flag }) => flag);
  assert.deepEqual(flags({}), ["--partitions 1"]);
  const size = (bytes: number): Range => ({ low: bytes, expected: bytes, high: bytes });
  assert.deepEqual(flags({ shuffleBytes: size(2 ** 32) }), ["--partitions 16"]);
  assert.deepEqual(flags({ shuffleBytes: size(2 ** 28), runsPerTask: 3 }), ["--memory 1GiB"]);
  assert.deepEqual(flags({ shuffleBytes: size(2 ** 28), reduceTasks: 1, workers: 8 }), ["--partitions 8"]);
  const slow = { mapTasks: 1, longestMapMs: 60_000, workers: 4, reduceTasks: 0 };
  assert.deepEqual(flags(slow), ["--mappers 12"]);
});

test("an input that can be read whole in no time is read once; of another no more than an eighth in the end", async (t) => {
  const bench = new Bench(t);
  const line = `${"x".repeat(999)}\n`;
  const lines = job({ input: text(), map: (line, emit) => emit(line.length, 1), reduce: sum() });
  const asked = { mappers: 4, stateDirectory: null, memory: "16MiB" } as const;
  for (const [records, freeMs, least, most] of [
    [6_000, 600_000, 1, 1.2],
    [60_000, 0, 0.05, 0.16],
  ] as const) {
    const options = { ...asked, inputs: bench.file(`${records}.txt`, line.repeat(records)) };
    const { forecast } = await tryJob(lines, options, { lastMs: 600_000, freeMs, taskMs: 600_000 });
    assert.ok(Math.abs(forecast.records.expected / records - 1) < 0.01, `${forecast.records.expected}`);
    // Stretches all over it of 4 MiB, and the beginnings of its tasks.
    const share = (forecast.tried.bytes - 4 * 2 ** 20) / forecast.bytes;
    assert.ok(share >= least && share < most, `${share}`);
  }
});
