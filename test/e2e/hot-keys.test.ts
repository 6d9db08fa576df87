/** Keys that have a great part of a job's pairs are told of; those that combining makes harmless are not. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readJobStory } from "#src/cli/command/show/job-page.js";
import { plainStyle } from "#src/cli/ui/style.js";
import { summaryText } from "#src/cli/ui/summary.js";
import type { RunResult } from "#src/engine/run-result.js";
import { count, generate, job, max, run, text } from "#src/index.js";
import type { Job } from "#src/job/job-plan.js";
import { tempDir } from "../cli/support.js";

const PAIRS = 40_000;
const input = generate({
  tasks: 4,
  *records(ctx) {
    for (let i = ctx.index; i < PAIRS; i += 4) yield i;
  },
});
const keyOf = (i: number): string => (i % 40 < 30 ? "hot" : `k${i}`);
const reduce = (_key: string, values: Iterable<number>): number => [...values].length;

interface Told {
  readonly result: RunResult;
  readonly warnings: readonly string[];
  readonly summary: string;
}

async function toldOf(made: Job, stateDirectory: string | null = null): Promise<Told> {
  const warnings: string[] = [];
  const result = await run(made, {
    stateDirectory,
    partitions: 4,
    onEvent: (event) => void (event.kind === "warning" && warnings.push(event.message)),
  });
  const summary = summaryText(result, { style: plainStyle, cwd: "/", showOutput: false });
  await result.dispose();
  return { result, warnings, summary };
}

test("a reduce one of whose keys has three quarters of the pairs says so, with the remedy", async (t) => {
  const state = tempDir(t);
  const made = job({ input, map: (i, emit) => emit(keyOf(i), i), reduce });
  const { result, warnings, summary } = await toldOf(made, state);
  assert.deepEqual(result.hotKeys[0], { collection: 0, name: "", key: '"hot"', values: 30_000, share: 0.75 });
  const text =
    'hot key: "hot" has 75% of the pairs (30000), which all go to one reduce task. An aggregator or';
  assert.equal(warnings.length, 1);
  assert.ok(warnings[0]!.startsWith(text), warnings[0]);
  assert.match(summary, /hot key +"hot": 30,000 pairs, 75%, in one reduce task\n +An aggregator or combine/);
  assert.deepEqual(readJobStory(result.directory!).warnings, warnings, "sheaf show has it");
});

test("what is combined is not hot: an aggregator, or a combine that leaves one value", async () => {
  const counted = job({ input, map: (i, emit) => emit(keyOf(i)), reduce: count() });
  const largest = job({ input, map: (i, emit) => emit(keyOf(i), i), reduce: max() });
  const combined = job({
    input,
    map: (i, emit) => emit(keyOf(i), i),
    combine: (_key, values) => Math.max(...values),
    reduce: (_key: string, values: Iterable<number>) => Math.max(...values),
  });
  for (const made of [counted, largest, combined] as Job[]) {
    const { result, warnings, summary } = await toldOf(made);
    assert.deepEqual([result.hotKeys, warnings], [[], []]);
    assert.doesNotMatch(summary, /hot key/);
  }
});

test("a combine that keeps all, a sort, and one of several collections have their hot keys told", async (t) => {
  const kept = job({
    input,
    map: (i, emit) => emit(keyOf(i), i),
    *combine(_key, values) {
      yield* values;
    },
    reduce,
  });
  assert.match((await toldOf(kept)).warnings.join(), /^hot key: "hot" has 75% of the pairs \(30000\)/);

  const file = join(tempDir(t), "lines.txt");
  writeFileSync(file, Array.from({ length: PAIRS }, (_, i) => `${keyOf(i)}\n`).join(""));
  const warnings: string[] = [];
  const sorted = await run(job({ input: text(), order: "total" }), {
    inputs: file,
    stateDirectory: null,
    splitSize: 50_000,
    onEvent: (event) => void (event.kind === "warning" && warnings.push(event.message)),
  });
  await sorted.dispose();
  assert.match(warnings.join(), /^hot key: "hot" has 75% of the pairs \(30000\)/);

  // A great collection without a hot key beside a smaller one that has one.
  const several = job({
    input,
    collections: {
      many: { reduce: (key: number, _values: Iterable<number>) => key },
      few: { reduce: (_key: string, values: Iterable<number>) => [...values].length },
    },
    map(i, emit) {
      for (let n = 0; n < 8; n++) emit.many(i, n);
      emit.few(keyOf(i), i);
    },
  });
  const told = await toldOf(several);
  assert.match(told.warnings.join(), /^hot key: "hot" has 75% of the pairs of collection few \(30000\)/);
  assert.match(told.summary, /hot key +few: "hot": 30,000 pairs/);
});

test("a job of few pairs, and one whose keys are even, have nothing to say", async () => {
  const even = job({ input, map: (i, emit) => emit(`k${i % 100}`, i), reduce });
  assert.deepEqual((await toldOf(even)).warnings, []);
  const three = job({
    input,
    map: (i, emit) => emit(i % 3, i),
    reduce: (_key: number, _all: Iterable<number>) => 1,
  });
  assert.deepEqual((await toldOf(three)).warnings, [], "few keys, each as great as the others");
  const small = job({
    input: generate({ tasks: 1, records: () => Array.from({ length: 5_000 }, (_, i) => i) }),
    map: (i, emit) => emit("one", i),
    reduce,
  });
  assert.deepEqual((await toldOf(small)).warnings, []);
});
