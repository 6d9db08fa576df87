import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { PartialResult } from "#src/engine/events.js";
import { count, generate, job, run, stats, sum } from "#src/index.js";
import { LocalRun } from "#src/runner/local-run.js";
import { finishRun } from "#src/runner/run-result.js";
import { startOf } from "#src/runner/run.js";
import { Bench } from "./support.ts";

/** A source without end, whose records are seeded by its task. */
const coin = (bound: string, more = ""): string => `
  import { confidence, count, generate, job, stats } from "sheaf";
  ${more}
  export default job({
    input: generate({
      tasks: 3,
      *records({ random }) { for (;;) yield random() < 0.25 ? 4 : 0; },
      ${bound}
    }),
    map(win: number, emit) { emit("coin", { win, n: undefined }); },
    reduce: stats({ win: confidence(), n: count() }),
  });`;

test("a source stops when its condition is true, and its records can be made again", async (t) => {
  const bench = new Bench(t);
  const until = coin(
    "until: (partial, { records }) => partial.coin.n >= 20_000 && partial.coin.n === records,",
  );
  const first = await bench.run(until, { workers: 2, partitions: 2 });
  assert.equal(first.status, "SUCCEEDED", first.error?.report);
  const { made } = first;
  assert.ok(made !== null && made.records >= 20_000);
  assert.equal(made.stoppedBy, "until");
  assert.equal(made.records, first.stats.recordsIn);
  assert.equal(made.tasks.length, 3);
  assert.equal(bench.of("source-stopped").length, 1);
  assert.ok(bench.of("source-stopped")[0]!.records <= made.records);
  const lines = bench.lines();
  assert.match(lines[0]!, new RegExp(`"count":${made.records},.*\t${made.records}$`));
  const record = JSON.parse(readFileSync(join(first.directory!, "job.json"), "utf8")) as { made: unknown };
  assert.deepEqual(record.made, made);
  for (const on of ["inline", "local"] as const) {
    const again = await bench.run(until, { on, made: made.tasks, partitions: 2, overwrite: true });
    assert.deepEqual(again.made, { ...made, stoppedBy: null });
    assert.deepEqual(bench.lines(), lines);
  }
  const wrong = await bench.run(until, { made: [1, 2], overwrite: true });
  assert.match(wrong.error!.message, /2 numbers were given, and the source has 3 tasks/);
});

test("a source stops when its time is over; tasks that had not begun make nothing", async (t) => {
  const bench = new Bench(t);
  const { made, status } = await bench.run(coin("for: '50ms',"), { workers: 1 });
  assert.equal(status, "SUCCEEDED");
  assert.equal(made!.stoppedBy, "time");
  assert.ok(made!.tasks[0]! > 0);
  assert.deepEqual(made!.tasks.slice(1), [0, 0]);
});

test("nobody looks on where a source is bounded by time alone", async (t) => {
  const bench = new Bench(t);
  const file = bench.file("timed.ts", coin("for: '50ms',"));
  for (const [live, workers] of [
    [false, 1],
    [true, 2],
  ] as const) {
    const options = { on: "inline", stateDirectory: null, live } as const;
    const { source, resolved, startWorker } = await startOf(file, options);
    let started = 0;
    const run = new LocalRun(source, options, resolved, (start) => {
      started++;
      return startWorker(start);
    });
    const { status, made } = await finishRun(run, await run.run());
    assert.deepEqual([status, made?.stoppedBy, started], ["SUCCEEDED", "time", workers]);
  }
});

test("a count is shared by the tasks, and the records are the same for any number of workers", async (t) => {
  const bench = new Bench(t);
  const outputs: string[][] = [];
  for (const on of ["inline", "local"] as const) {
    const { made } = await bench.run(coin("count: 10_000, for: '1h',"), { on, overwrite: true });
    assert.deepEqual(made, { records: 10_000, tasks: [3334, 3333, 3333], stoppedBy: null });
    outputs.push(bench.lines());
  }
  assert.deepEqual(outputs[1], outputs[0]);
  const none = await bench.run(coin("count: 0,"), { on: "inline", overwrite: true });
  assert.deepEqual(none.made?.tasks, [0, 0, 0]);
});

test("a stop condition that throws, answers nothing or never returns fails the job by name", async (t) => {
  const bench = new Bench(t);
  for (const [bound, code, message] of [
    ["until: (partial) => partial.nobody.ci95 < 1,", "USER_CODE", /Cannot read properties of undefined/],
    ["until: (partial) => { partial.coin; },", "USER_CODE", /until returned undefined/],
    ["until: async () => true,", "USER_CODE", /until returned a promise/],
    ["until: () => { for (;;); },", "NO_PROGRESS", /until took longer than/],
    ["until: () => process.exit(3),", "USER_EXITED", /exit/i],
  ] as const) {
    const hangs = bound.includes("for (;;)");
    const on = hangs || code === "USER_EXITED" ? "local" : "inline";
    const options = { on, noProgressMs: hangs ? 1_000 : 60_000, partitions: 1 } as const;
    const { status, error } = await bench.run(coin(bound), options);
    assert.equal(status, "FAILED", bound);
    assert.match(error!.message, message);
    assert.equal(error!.code, code);
    assert.deepEqual(bench.left(), [], "nothing is left behind");
  }
});

test("partial results never exceed the result, and the last one is all of it", async (t) => {
  const bench = new Bench(t);
  const file = bench.file(
    "job.ts",
    `import { count, job, text } from "sheaf";
     export default job({
       input: text(),
       map(line, emit, ctx) { ctx.count("lines"); for (const word of line.split(" ")) emit(word); },
       reduce: count(),
     });`,
  );
  const inputs = [0, 1, 2, 3, 4, 5].map((i) =>
    bench.file(`in-${i}.txt`, `${"to be or not to be ".repeat(2000)}${i}\n`.repeat(3)),
  );
  const options = { inputs, mappers: 6, workers: 2, stateDirectory: null };
  const going = run(file, options);
  const partials: PartialResult[] = [];
  for await (const partial of going.partials()) partials.push(partial);
  const result = await going;
  const final = new Map<unknown, unknown>();
  for await (const [key, value] of result.records()) final.set(key, value);
  await result.dispose();
  assert.ok(partials.length > 0);
  let before = 0;
  for (const { records, collections } of partials) {
    assert.ok(records >= before, "no attempt was lost: it never goes back");
    assert.ok(records <= result.counters["lines"]!);
    before = records;
    for (const { key, value } of collections[0]!.top)
      assert.ok((value as number) <= (final.get(key) as number));
  }
  const last = partials.at(-1)!;
  assert.deepEqual([last.records, last.finished, last.running], [18, result.mapTasks, 0]);
  assert.deepEqual(new Map(last.collections[0]!.top.map(({ key, value }) => [key, value])), final);
});

test("run() can be awaited as before; partials() of a run that fails throws what the run throws", async () => {
  const source = generate({
    tasks: 2,
    count: 4,
    *records() {
      for (;;) yield "a";
    },
  });
  const options = { stateDirectory: null };
  const counted = job({
    input: source,
    reduce: stats({ n: count() }),
    map: (one, emit) => emit(one, { n: undefined }),
  });
  const result = await run(counted, options);
  assert.equal(result.stats.recordsIn, 4);
  const seen: unknown[] = [];
  for await (const { collections } of run(counted, options).partials()) seen.push(collections[0]!.top);
  assert.deepEqual(seen.at(-1), [{ key: "a", value: { n: 4 } }]);

  const failing = job({
    input: source,
    map: () => {
      throw new Error("no luck");
    },
    reduce: sum(),
  });
  const failed = run(failing, options);
  await assert.rejects(async () => {
    for await (const partial of failed.partials()) assert.ok(partial);
  }, /no luck/);
  const late = run(counted, options);
  await late;
  assert.throws(() => late.partials(), { code: "USAGE" });

  const free = job({
    input: source,
    reduce: (_key: string, values: Iterable<string>) => [...values].length,
    map: (one, emit) => emit(one, one),
  });
  await assert.rejects(run(free, { ...options, live: true }), {
    code: "USAGE",
    message: /no results before/,
  });
  assert.throws(
    () =>
      job({
        input: generate({
          *records() {
            yield 1;
          },
          until: () => true,
        }),
      }),
    { code: "JOB_INVALID", message: /until/ },
  );
  for (const bad of [{ count: -1 }, { count: 0.5 }, { for: "soon" }, { for: 0 }, { until: 3 as never }]) {
    assert.throws(
      () =>
        generate({
          *records() {
            yield 1;
          },
          ...bad,
        }),
      { code: "JOB_INVALID" },
    );
  }
});
