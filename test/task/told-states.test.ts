import assert from "node:assert/strict";
import { test } from "node:test";
import { limits } from "#src/base/limits.js";
import { seededRandom } from "#src/base/random.js";
import { KiB } from "#src/base/size.js";
import { collect, confidence, count, generate, job, min, stats, sum, text, topK } from "#src/index.js";
import type { Job } from "#src/job/job-plan.js";
import { foldStates } from "#src/task/fold-states.js";
import type { FoldAnswer, FoldRequest } from "#src/task/fold-states.js";
import type { JobSettings } from "#src/task/task-spec.js";
import { Stage } from "./support.ts";

const nothing: FoldRequest = {
  merged: null,
  finished: [],
  running: [],
  progress: { records: 0, finished: 0, running: 0, elapsedMs: 0 },
  asks: false,
};
const live = { everyMs: 0, keysMax: limits.liveKeysMax, bytesMax: limits.liveBytesMax };

/** The results that a fold shows, by collection and key as JSON. */
function shown({ collections }: FoldAnswer): Record<string, Record<string, unknown>> {
  return Object.fromEntries(
    collections.map(({ name, top }) => [
      name,
      Object.fromEntries(top.map(({ key, value }) => [JSON.stringify(key), value])),
    ]),
  );
}

/** What each map task has told last, and all, in order. Each task has fewer records than the one before. */
async function play(stage: Stage, of: Job, settings: Partial<JobSettings> = {}) {
  const told: { states: Uint8Array; records: number; made: number }[] = [];
  const last: Uint8Array[] = [];
  const played = await stage.play(of, {
    settings: { live, collect: true, ...settings },
    told: (states, records, made) => {
      if (records < (told.at(-1)?.records ?? 0)) last.push(told.at(-1)!.states);
      told.push({ states, records, made });
    },
  });
  assert.ok("parts" in played, JSON.stringify(played));
  return { played, told, last: [...last, told.at(-1)!.states] };
}

const words = (lines: number, keys: number, seed: number): string => {
  const random = seededRandom(seed);
  // Some words are far more frequent than others.
  const word = (): string => `w${Math.floor(keys * random.next() ** 3)}`;
  return Array.from({ length: lines }, () => `${word()} ${word()} ${word()}\n`).join("");
};

const manyKinds = job({
  input: text(),
  collections: {
    n: { reduce: count() },
    size: { reduce: stats({ all: sum(), least: min(), few: topK<string>(2), conf: confidence() }) },
    list: { reduce: topK<string>(3) },
    apart: { reduce: (_key: string, values: Iterable<number>) => [...values].length },
  },
  map(line, emit) {
    for (const word of line.split(" ")) {
      emit.n(word);
      emit.size(word, { all: word.length, least: word.length, few: word, conf: word.length });
      emit.list([word.slice(0, 2)], word);
      emit.apart(word, 1);
    }
  },
});

test("what tasks tell at their ends is what the reduces make of it, spilled or not", async (t) => {
  for (const memoryBytes of [64 * KiB, 8 * 1024 * KiB]) {
    const stage = new Stage(t).file("a", words(400, 300, 1)).file("b", words(300, 300, 2));
    const { played, last } = await play(stage, manyKinds, { memoryBytes });
    if (memoryBytes === 64 * KiB) assert.ok(played.maps[0]!.stats.spills > 8, "memory is short");
    assert.equal(last.length, 2);
    const inParts = foldStates(manyKinds, { ...nothing, finished: last.slice(0, 1) });
    for (const request of [
      { ...nothing, finished: last },
      { ...nothing, running: last },
      { ...nothing, merged: inParts.merged, running: last.slice(1) },
      { ...nothing, merged: inParts.merged, finished: last.slice(1) },
    ]) {
      const answer = foldStates(manyKinds, request);
      assert.deepEqual(
        answer.collections.map(({ name, more }) => [name, more]),
        [
          ["n", false],
          ["size", false],
          ["list", false],
        ],
        "the free-form reduce has none",
      );
      for (const [index, name] of ["n", "size", "list"].entries()) {
        const results = new Map(played.collected(index).map(([key, value]) => [JSON.stringify(key), value]));
        const { keys } = answer.collections[index]!;
        assert.equal(keys, results.size);
        for (const [key, value] of Object.entries(shown(answer)[name]!))
          assert.deepEqual(value, results.get(key));
      }
    }
  }
});

test("with many keys those with most values are told, never with more than they have", async (t) => {
  const counts = job({
    input: text(),
    map(line, emit) {
      for (const word of line.split(" ")) emit(word);
    },
    reduce: count(),
  });
  for (const bytesMax of [64 * KiB, 600]) {
    const stage = new Stage(t).file("a", words(3_000, 4_000, 3)).file("b", words(2_900, 4_000, 4));
    const few = { ...live, keysMax: 50, bytesMax };
    const { played, told, last } = await play(stage, counts, { live: few, memoryBytes: 64 * KiB });
    const results = new Map(played.collected().map(([key, value]) => [JSON.stringify(key), value as number]));
    for (const { states } of told) {
      assert.ok(states.length <= bytesMax + 20, `${states.length} bytes`);
      for (const [key, value] of Object.entries(
        shown(foldStates(counts, { ...nothing, running: [states] }))[""]!,
      ))
        assert.ok((value as number) <= results.get(key)!, `${key}: ${String(value)} of ${results.get(key)}`);
    }
    const answer = foldStates(counts, { ...nothing, finished: last });
    assert.ok(answer.collections[0]!.more);
    const [first] = [...results].sort(([, a], [, b]) => b - a);
    assert.equal(JSON.stringify(answer.collections[0]!.top[0]!.key), first![0]);
    assert.equal(
      answer.collections[0]!.top[0]!.value,
      first![1],
      "of a word that leads everywhere it is all",
    );
  }
});

test("each word of a task is of all its records so far", async (t) => {
  const bounded = job({
    input: generate({
      tasks: 1,
      *records() {
        for (let i = 0; i < 5_000; i++) yield i;
      },
    }),
    map: (record, emit) => emit("all", { n: undefined, sum: record }),
    reduce: stats({ n: count(), sum: sum() }),
  });
  const { told } = await play(new Stage(t), bounded);
  assert.ok(told.length > 1, `${told.length} times`);
  for (const { states, records, made } of told) {
    assert.equal(made, records);
    const value = { n: records, sum: (records * (records - 1)) / 2 };
    assert.deepEqual(shown(foldStates(bounded, { ...nothing, running: [states] }))[""], { '"all"': value });
  }
  assert.equal(told.at(-1)!.records, 5_000);
});

test("without keys only numbers of records are told, whatever is aggregated", async (t) => {
  const stage = new Stage(t);
  stage.file("in.txt", words(400, 40, 1));
  const { told } = await play(stage, manyKinds, { live: { ...live, keysMax: 0 }, memoryBytes: 256 * KiB });
  assert.equal(told.at(-1)!.records, 400);
  for (const { states } of told) assert.equal(states.length, 0);
});

test("a result that JSON has no form for, or a long one, is shown as text; the rest as it is", async (t) => {
  const long = job({
    input: text(),
    map: (line, emit) => emit(line.slice(0, 1), line),
    reduce: collect(),
  });
  const stage = new Stage(t).file("a", `a${"x".repeat(3_000)}\nb1\nb2\n`);
  const { last } = await play(stage, long);
  const { '"a"': a, '"b"': b } = shown(foldStates(long, { ...nothing, finished: last }))[""]!;
  assert.deepEqual(b, ["b1", "b2"]);
  assert.equal(typeof a, "string");
  assert.ok((a as string).length < 2_100);
});

test("a stop condition sees keys by name, NaN for what is not known yet, and must answer at once", async (t) => {
  const asked: unknown[] = [];
  const answers: unknown[] = [];
  const watched = job({
    input: generate({
      *records() {
        yield* ["a", "constructor"];
      },
      until: (partial, progress) => {
        asked.push({ ...partial }, progress.records);
        return answers.shift() as boolean;
      },
    }),
    map: (key: string, emit) => emit(key, { c: 2, n: undefined }),
    reduce: stats({ c: confidence(), n: count() }),
  });
  const { last } = await play(new Stage(t), watched);
  const ask = (answer: unknown): boolean => {
    answers.push(answer);
    const progress = { ...nothing.progress, records: 2 };
    return foldStates(watched, { ...nothing, running: last, progress, asks: true }).stop;
  };
  assert.equal(ask(true), true);
  const one = { c: { count: 1, mean: 2, stddev: Number.NaN, ci95: Number.NaN }, n: 1 };
  assert.deepEqual(asked, [{ a: one, constructor: one }, 2]);
  assert.equal(ask(false), false);
  for (const answer of [undefined, 1, "yes", null, Promise.resolve(true)])
    assert.throws(() => ask(answer), { code: "USER_CODE", message: /^until returned/ });
  assert.equal(foldStates(watched, { ...nothing, running: last }).stop, false, "nobody asks");
  assert.equal(foldStates(watched, { ...nothing, asks: true }).stop, false, "there is nothing to look at");
});

test("bytes that are no states are refused, whatever they are, and reading them ends", async (t) => {
  const counts = job({ input: text(), map: (line, emit) => emit(line), reduce: count() });
  const { last } = await play(new Stage(t).file("a", words(20, 9, 6)), counts);
  const good = last[0]!;
  const random = seededRandom(5);
  let refused = 0;
  for (let round = 0; round < 2_000; round++) {
    const states = Uint8Array.from(good.subarray(0, 1 + random.below(good.length)));
    for (let flips = random.below(4); flips > 0; flips--)
      states[random.below(states.length)] = random.below(256);
    try {
      foldStates(counts, { ...nothing, running: [states] });
    } catch (error) {
      refused++;
      assert.ok(error instanceof Error);
    }
  }
  assert.ok(refused > 1_000);
});
