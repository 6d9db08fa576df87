import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import type { RunFailure } from "#src/engine/run-result.js";
import { count, generate, job, text } from "#src/index.js";
import { runHere, runJob } from "#src/runner/run.js";
import { Bench, assertCounted, expectedLines, inputText, wordCount } from "./support.ts";

test("a job object runs on this thread, and its results can be iterated, more than once", async (t) => {
  const bench = new Bench(t);
  const words = job({
    input: generate({
      tasks: 2,
      *records({ index }) {
        yield* ["a", "b", "a"].slice(index);
      },
    }),
    reduce: count(),
  });
  const result = await runHere(words, { partitions: 1, stateDirectory: null, tempDirectory: bench.root });
  for (let round = 0; round < 2; round++) {
    const records: unknown[] = [];
    for await (const record of result.records()) records.push(record);
    assert.deepEqual(records, [
      ["a", 3],
      ["b", 2],
    ]);
  }
  await result.dispose();
  assert.deepEqual(readdirSync(bench.root), ["place"]);
  await assert.rejects(result.records()[Symbol.asyncIterator]().next(), {
    code: "USAGE",
    message: /disposed/,
  });
});

test("a job file runs by path and by URL, and collections are read by name", async (t) => {
  const bench = new Bench(t);
  const file = bench.file(
    "job.ts",
    `
    import { job, text, sum, count } from "sheaf";
    export default job({
      input: text(),
      collections: { words: { reduce: sum(), partitions: 2 }, lengths: { reduce: count() } },
      map(line, emit) {
        for (const word of line.split(" ")) { emit.words(word, 1); emit.lengths(word.length); }
      },
    });`,
  );
  const inputs = bench.file("in.txt", inputText);
  for (const given of [file, pathToFileURL(file), pathToFileURL(file).href]) {
    const result = await runHere(given, { inputs, stateDirectory: null, tempDirectory: bench.root });
    const lengths: unknown[] = [];
    for await (const record of result.records("lengths")) lengths.push(record);
    assert.deepEqual(lengths, [
      [2, 6],
      [3, 2],
      [4, 1],
      [8, 1],
    ]);
    await assert.rejects(result.records()[Symbol.asyncIterator]().next(), {
      code: "USAGE",
      hint: /words, lengths/,
    });
    await result.dispose();
  }
  const written = await bench.run(
    `export { default } from "./job.ts";`,
    { inputs, collect: true },
    "again.ts",
  );
  assert.equal(written.status, "SUCCEEDED", written.error?.report);
  assert.deepEqual(bench.lines("words").sort(), expectedLines);
  assert.deepEqual(bench.lines("lengths"), ["2\t6", "3\t2", "4\t1", "8\t1"]);
  const sums: unknown[] = [];
  for await (const [key, value] of written.records("words")) sums.push(`${String(key)}\t${String(value)}`);
  assert.deepEqual(sums.sort(), expectedLines);
  await written.dispose();
  assert.deepEqual(bench.left(), ["out"]);
});

test("results nobody has disposed of are removed when the process exits", async (t) => {
  const bench = new Bench(t);
  const runner = new URL("../../../dist/inside/runner/run.js", import.meta.url).href;
  const script = bench.file(
    "keep.mjs",
    `
    import { runHere } from ${JSON.stringify(runner)};
    import { readdirSync } from "node:fs";
    const inputs = ${JSON.stringify(bench.file("in.txt", inputText))};
    const tempDirectory = ${JSON.stringify(join(bench.root, "tmp"))};
    const options = { inputs, stateDirectory: null, tempDirectory };
    await runHere(${JSON.stringify(bench.file("job.ts", wordCount()))}, options);
    console.log(JSON.stringify(readdirSync(options.tempDirectory).length));`,
  );
  const { execFileSync } = await import("node:child_process");
  assert.equal(execFileSync(process.execPath, [script], { encoding: "utf8" }), "1\n");
  assert.deepEqual(readdirSync(join(bench.root, "tmp")), []);
});

test("run() rejects with the first real cause; runJob() tells it", async (t) => {
  const bench = new Bench(t);
  const broken = job({
    input: text(),
    map() {
      throw new TypeError("broken");
    },
    reduce: count(),
  });
  const options = {
    inputs: bench.file("in.txt", inputText),
    stateDirectory: null,
    tempDirectory: bench.root,
  };
  const error = await runHere(broken, options).then(
    () => assert.fail("it succeeds"),
    (thrown: unknown) => thrown as RunFailure,
  );
  assert.equal(error.constructor.name, "RunFailure");
  assert.deepEqual(
    [error.code, error.message, error.task, error.attempt],
    ["USER_CODE", "broken", "map-00000", 4],
  );
  assert.equal(error.failure?.record, "to be or");
  assert.equal((error.cause as Error).name, "TypeError");
  assert.match(error.report, /library\.test\.(ts|js):\d+:\d+/);
  const result = await runJob(broken, options);
  assert.equal(result.status, "FAILED");
  await assert.rejects(runHere(broken, { ...options, isolate: "thread" }), {
    code: "USAGE",
    hint: /new URL/,
  });
  await assert.rejects(runHere({} as never), { code: "USAGE" });
});

test("a job object that names its file runs on workers", async (t) => {
  const bench = new Bench(t);
  const file = bench.file(
    "job.ts",
    wordCount({
      map: 'ctx.count("threads", isMainThread ? 0 : 1);',
      top: 'import { isMainThread } from "node:worker_threads";',
    }),
  );
  const placeholder = job({ input: text(), reduce: count() });
  const result = await runHere(placeholder, {
    file,
    inputs: bench.file("in.txt", inputText),
    stateDirectory: bench.state,
  });
  assert.equal(result.counters["threads"], 4);
  await result.dispose();
});

test("params are the job's own but for those given, in every worker", async (t) => {
  const bench = new Bench(t);
  const source = wordCount({ map: 'ctx.count(ctx.params.a + "-" + ctx.params.b);' }).replace(
    'params: { mode: "" }',
    "params: { a: 1, b: true }",
  );
  const inputs = bench.file("in.txt", inputText);
  for (const isolate of ["thread", "inline"] as const) {
    const result = await bench.run(source, { inputs, params: { b: "false" }, isolate, overwrite: true });
    assert.equal(result.counters["1-false"], 4, result.error?.report);
  }
});

test("inputs that are missing, or given to a job that makes its own, are refused", async (t) => {
  const bench = new Bench(t);
  const makes = job({
    input: generate({
      tasks: 1,
      *records() {
        yield "a";
      },
    }),
    reduce: count(),
  });
  const reads = job({ input: text(), reduce: count() });
  const options = { stateDirectory: null, tempDirectory: bench.root };
  await assert.rejects(runHere(makes, { ...options, inputs: "x" }), {
    code: "USAGE",
    message: /takes no input/,
  });
  await assert.rejects(runHere(reads, options), { code: "USAGE", message: /no input was given/ });
  await assert.rejects(runHere(reads, { ...options, inputs: join(bench.root, "none.txt") }), {
    code: "INPUT_MISSING",
  });
  assert.ok(!existsSync(join(dirname(bench.output), "out")));
});

test("one run after the other starts from nothing: no state of a job outlives it", async (t) => {
  const bench = new Bench(t);
  const inputs = bench.file("in.txt", inputText);
  const source = wordCount({ top: "let calls = 0;", map: 'ctx.count("calls", ++calls);' });
  // With a second worker a slow machine would have it share the map, and count apart.
  const first = await bench.run(source, { inputs, workers: 1 });
  const second = await bench.run(source, { inputs, workers: 1, overwrite: true });
  assert.deepEqual([first.counters["calls"], second.counters["calls"]], [10, 10]);
});

test("only as many workers are started as there are tasks", async (t) => {
  const bench = new Bench(t);
  const result = await bench.run(wordCount(), { inputs: bench.file("in.txt", inputText), workers: 8 });
  assert.equal(result.workers, 1);
  const split = await bench.run(wordCount(), {
    inputs: bench.file("in.txt", inputText.repeat(10)),
    splitSize: 130,
    workers: 2,
    overwrite: true,
  });
  assert.deepEqual([split.mapTasks > 2, split.workers], [true, 2]);
});

test("processor time is each task's own: the sum of tasks beside each other is not above the process's", async (t) => {
  const bench = new Bench(t);
  const busy = `
    import { job, count, generate } from "sheaf";
    function* records({ index }) {
      for (let at = 0; at < 400_000; at++) yield index + "-" + at % 1000;
    }
    export default job({
      input: generate({ tasks: 4, records }),
      map: (key, emit) => emit(key, 1),
      reduce: count(),
    });`;
  const before = process.cpuUsage();
  const { stats } = await bench.run(busy, { workers: 2, overwrite: true });
  const { user, system } = process.cpuUsage(before);
  assert.ok(stats.cpuMs > 0);
  assert.ok(
    stats.cpuMs <= (user + system) / 1000,
    `tasks: ${stats.cpuMs}, process: ${(user + system) / 1000}`,
  );
});

test("a total order is cut by sampled bounds: every key of a part precedes those of the next", async (t) => {
  const bench = new Bench(t);
  const lines = Array.from({ length: 2_000 }, (_, i) => `key-${String((i * 7919) % 2_000).padStart(5, "0")}`);
  const source =
    'import { job, text } from "sheaf";\n' +
    'export default job({ input: text(), order: "total", partitions: 4 });';
  const result = await bench.run(source, { inputs: bench.file("in.txt", `${lines.join("\n")}\n`) });
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.deepEqual(
    bench.lines().map((line) => line.split("\t")[0]),
    [...lines].sort(),
  );
  assert.equal(bench.parts().length, 4);
  assert.ok(
    result.parts.every((part) => part.records > 300),
    JSON.stringify(result.parts.map((part) => part.records)),
  );
  assert.deepEqual(
    result.phases.map(({ phase }) => phase),
    ["load", "plan", "sample", "map", "reduce", "commit"],
  );
});

test("chaos ends attempts of every kind of worker: output and counters are the same, and no attempt is used up", async (t) => {
  const bench = new Bench(t);
  const inputs = bench.file("in.txt", inputText);
  for (const isolate of ["inline", "thread", "process"] as const) {
    const options = { inputs, isolate, mappers: 2, partitions: 2, attempts: 1, maxBad: 5, overwrite: true };
    const result = await bench.run(wordCount(), { ...options, chaos: { kill: 1, seed: 1 } });
    assertCounted(bench, result);
    // The first two attempts of each of the four tasks; none is taken for a record's doing.
    assert.deepEqual(
      [...new Set(result.failedAttempts.map(({ failure }) => `${failure.code} ${failure.message}`))],
      ["CANCELLED the worker was ended by --chaos"],
      isolate,
    );
    assert.equal(result.failedAttempts.length, 8, isolate);
    assert.equal(result.badRecords, 0);
    const told = bench.of("warning").map(({ message }) => message);
    assert.ok(
      told.some((text) => text.endsWith("--chaos kill=100%,slow=0%,seed=1")),
      told.join(),
    );
  }
  const slow = await bench.run(wordCount(), { inputs, overwrite: true, chaos: { slow: 1, seed: 2 } });
  assertCounted(bench, slow);
  assert.equal(slow.failedAttempts.length, 0);
});
