import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import type { SheafError } from "#src/base/errors.js";
import { findJob } from "#src/engine/job-history.js";
import { earlierPipeline, resumePipeline, withPipelines } from "#src/pipeline/run-pipeline.js";
import { runnerAsked } from "#src/runners/runners.js";
import { lockFile } from "#src/storage/file-lock.js";
import { byCount, lines, PipelineBench, wordPipeline } from "./support.js";

const broken = `throw new Error("broken");`;

test("what steps share of a runner is there for each run of a pipeline, once, until all have ended", async (t) => {
  const bench = new PipelineBench(t);
  const inputs = bench.file("in.txt", lines);
  const calls: string[] = [];
  const asked = { on: "inline", inputs, output: bench.output, stateDirectory: bench.state } as const;
  const inline = await runnerAsked(asked);
  const runner: typeof inline = {
    run: () => Promise.reject(new Error("a step has not what is shared")),
    async open(options, { id, name, scratch }) {
      assert.deepEqual([options.inputs].flat(), [inputs]);
      const work = dirname(scratch);
      assert.ok(existsSync(work) && !existsSync(scratch));
      calls.push(`open ${name} ${id}`);
      return {
        async run(file, own) {
          calls.push(`${own.step!.name} begins`);
          const result = await inline.run(file, own);
          calls.push(`${own.step!.name} ${result.status}`);
          return result;
        },
        async close() {
          // Before what lies between steps is removed, which this may be in.
          assert.ok(existsSync(work));
          calls.push("close");
        },
      };
    },
  };
  const file = bench.file("pipe.ts", wordPipeline({ byCount: broken }));
  const { status, jobId } = await withPipelines(runner).run(file, asked);
  assert.equal(status, "FAILED");
  const ran = (step: string, end = "SUCCEEDED"): string[] => [`${step} begins`, `${step} ${end}`];
  const opened = `open pipe ${jobId}`;
  const first = [opened, ...ran("words"), ...ran("counts"), ...ran("byCount", "FAILED"), "close"];
  assert.deepEqual(calls.splice(0), first);
  bench.file("pipe.ts", wordPipeline());
  const job = await findJob(bench.state, "@");
  (await resumePipeline(job, { stateDirectory: bench.state }, async () => runner)).throwIfFailed();
  assert.deepEqual(calls, [opened, ...ran("byCount"), "close"]);
  assert.deepEqual(bench.step("byCount"), byCount);
});

test("while a pipeline runs another process changes nothing of it, nor goes on from what it read too early", async (t) => {
  const bench = new PipelineBench(t);
  const inputs = bench.file("in.txt", lines);
  await bench.pipeline(wordPipeline({ byCount: broken }), { inputs });
  bench.file("pipe.ts", wordPipeline());
  const job = await findJob(bench.state, "@");
  const files = ["job.json", "result", "pipeline.journal"].map((name) => join(job.directory, name));
  const texts = (): string[] => files.map((file) => readFileSync(file, "utf8"));
  const before = texts();
  const release = lockFile(join(job.directory, "lock"), "it");
  await assert.rejects(bench.resume(), { code: "STATE_LOCKED" });
  const from = { inputs, steps: { from: "byCount" } };
  await assert.rejects(bench.pipeline(wordPipeline(), from), { code: "STATE_LOCKED" });
  assert.deepEqual(texts(), before);
  release();

  // One more begins before the first has taken over anything.
  let other: unknown;
  const result = await resumePipeline(job, { stateDirectory: bench.state }, async (options) => {
    other = await bench.resume().catch((error: unknown) => error);
    return runnerAsked({ ...options, on: "inline" });
  });
  assert.equal((other as { code?: string }).code, "STATE_LOCKED");
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.deepEqual(bench.step("byCount"), byCount);
});

test("the latest run that has a journal is the one that --from goes on from", async (t) => {
  const bench = new PipelineBench(t);
  const inputs = bench.file("in.txt", lines);
  const until = { inputs, steps: { until: "counts" } };
  await bench.pipeline(wordPipeline(), until);
  await bench.pipeline(wordPipeline(), { ...until, overwrite: true });
  const latest = await findJob(bench.state, "@");
  rmSync(join(latest.directory, "pipeline.journal"));
  const options = { inputs, overwrite: true, steps: { from: "byCount" } };
  const result = await bench.pipeline(wordPipeline(), options);
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.deepEqual(Object.keys(bench.ran()), ["byCount"]);
  assert.deepEqual(bench.step("byCount"), byCount);
});

test("a pipeline replaces the output that it has committed, and no other's", async (t) => {
  const bench = new PipelineBench(t);
  const inputs = bench.file("in.txt", lines);
  await bench.pipeline(wordPipeline(), { inputs });
  bench.file("pipe.ts", wordPipeline({ words: broken }));
  const failed = await bench.resume({ steps: { from: "words" } });
  assert.match(failed.error!.message, /broken/);
  bench.file("pipe.ts", wordPipeline());
  const own = await bench.resume();
  assert.equal(own.status, "SUCCEEDED", own.error?.report);
  assert.deepEqual(bench.step("byCount"), byCount);

  // Another job has come in its place since, or made the same place its own.
  bench.file("place/out/_SUCCESS", '{"sheaf":1,"job":"other","counters":{},"badRecords":0,"parts":[]}');
  const foreign = await bench.resume({ steps: { from: "byCount" } });
  assert.equal(foreign.error?.code, "OUTPUT_EXISTS");
  assert.match(readFileSync(join(bench.output, "_SUCCESS"), "utf8"), /other/);

  // Another job is done there before this one.
  rmSync(bench.output, { recursive: true });
  const manifest = { sheaf: 1, job: "other", code: null, counters: {}, badRecords: 0, parts: [] };
  const [out, text] = [JSON.stringify(bench.output), JSON.stringify(JSON.stringify(manifest))];
  const other = `const fs = process.getBuiltinModule("node:fs");
    fs.mkdirSync(${out}, { recursive: true });
    fs.writeFileSync(${out} + "/_SUCCESS", ${text});`;
  const refused = await bench.pipeline(wordPipeline({ byCount: other }), { inputs });
  assert.equal(refused.error?.code, "OUTPUT_EXISTS");
  assert.equal((await bench.resume()).error?.code, "OUTPUT_EXISTS");
  assert.equal(readFileSync(join(bench.output, "_SUCCESS"), "utf8"), JSON.stringify(manifest));
  rmSync(bench.output, { recursive: true });
  const result = await bench.resume();
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.deepEqual([bench.ran(), bench.step("byCount")], [{}, byCount]);
});

/** Cuts the journal before its last entry of the kind, as if the process had been killed there. */
function cutJournal(directory: string, kind: string): void {
  const path = join(directory, "pipeline.journal");
  const all = readFileSync(path, "utf8").split("\n");
  const at = all.findLastIndex((line) => line.includes(`{"kind":"${kind}"`));
  assert.ok(at > 0);
  writeFileSync(path, all.slice(0, at).join("\n") + "\n");
}

test("killed when the output was in its place, but that was not written down: it is known again", async (t) => {
  const bench = new PipelineBench(t);
  const inputs = bench.file("in.txt", lines);
  // What is kept stays where it was, too: nothing but the manifest tells that it has been moved.
  const kept = wordPipeline()
    .replace("{ byCount, words", "{ byCount: step(byCount, { keep: true }), words")
    .replace("import { count", "import { step, count");
  for (const text of [wordPipeline(), kept]) {
    await bench.pipeline(text, { inputs, overwrite: text === kept });
    const { directory } = await findJob(bench.state, "@");
    const record = readFileSync(join(bench.output, "_SUCCESS"), "utf8");
    cutJournal(directory, "committed");
    const result = await bench.resume({ overwrite: false });
    assert.equal(result.status, "SUCCEEDED", result.error?.report);
    assert.deepEqual([bench.ran(), bench.step("byCount")], [{}, byCount]);
    assert.equal(readFileSync(join(bench.output, "_SUCCESS"), "utf8"), record);
  }
});

test("killed between the output of a step that wrote nothing and the file for its readers: it goes on", async (t) => {
  const bench = new PipelineBench(t);
  const inputs = bench.file("in.txt", "");
  const file = bench.file("pipe.ts", wordPipeline());
  const stop = new AbortController();
  const options = { on: "inline", stateDirectory: bench.state, signal: stop.signal, inputs } as const;
  const stopped = await withPipelines(await runnerAsked(options)).run(file, {
    ...options,
    output: bench.output,
    onEvent: ({ kind, step }) => kind === "step-finished" && step === "words" && stop.abort(),
  });
  assert.equal(stopped.status, "CANCELLED");
  const { directory, record } = await findJob(bench.state, "@");
  cutJournal(directory, "step-done");
  const records = join(record.work!, "words", "1", "records");
  assert.deepEqual(readdirSync(records).sort(), ["_SUCCESS", "part-00000.records"]);
  rmSync(join(records, "part-00000.records"));
  const result = await bench.resume();
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.deepEqual(Object.keys(bench.ran()), ["counts", "byCount"]);
});

test("what is kept for going on: large integers, and no directory that is removed", async (t) => {
  const bench = new PipelineBench(t);
  const inputs = bench.file("in.txt", "a\n");
  const text = (more: string): string => `import { job, pipeline, text } from "sheaf";
    const a = job({
      input: text(),
      params: { n: 1, all: [] },
      map(line, emit, { params: { n, all } }) {
        ${more}
        emit(line, [n, ...all].map((one) => typeof one + one).join());
      },
    });
    export default pipeline({ a });`;
  const params = { n: 2n ** 70n, all: [2n ** 71n, "5"] };
  await bench.pipeline(text(broken), { inputs, params });
  bench.file("pipe.ts", text(""));
  const result = await bench.resume();
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.deepEqual(bench.step("a"), [`a\tbigint${2n ** 70n},bigint${2n ** 71n},string5`]);
  assert.deepEqual(bench.of("warning"), []);
  const unsaid = await bench.pipeline(text(""), { inputs, overwrite: true, params: { n: undefined } });
  assert.equal(unsaid.status, "SUCCEEDED", unsaid.error?.report);
  assert.deepEqual(bench.step("a"), ["a\tnumber1"]);
  // JSON would make others of them.
  for (const [n, told] of [
    [Number.NaN, "NaN"],
    [Number.POSITIVE_INFINITY, "Infinity"],
    [new Map([[1, 2]]), "Map"],
    [[new Date(0)], "Date"],
    [{ $bigint: "5" }, "$bigint"],
    [() => 1, "function"],
  ] as const) {
    const wrong = { inputs, overwrite: true, params: { n } };
    await assert.rejects(bench.pipeline(text(""), wrong), ({ code, message }: SheafError) => {
      assert.equal(code, "USAGE");
      assert.match(message, /^param n: .* is not plain data$/, told);
      return true;
    });
  }

  const options = { on: "inline", stateDirectory: bench.state, inputs } as const;
  const passing = withPipelines(await runnerAsked(options), { passing: true });
  await passing.run(bench.file("pipe.ts", text(broken)), { ...options, output: join(bench.root, "temp") });
  const { begun } = earlierPipeline(await findJob(bench.state, "@")).state;
  assert.deepEqual([begun!.output, begun!.options["output"]], [null, undefined]);
});

test("paths with = and folders with brackets in their names are what they are", async (t) => {
  const bench = new PipelineBench(t);
  bench.file("day=2024-01-01/in.txt", lines);
  const cwd = process.cwd();
  t.after(() => process.chdir(cwd));
  process.chdir(bench.root);
  await bench.pipeline(wordPipeline({ byCount: broken }), { inputs: "day=2024-01-01/in.txt" });
  process.chdir(cwd);
  bench.file("pipe.ts", wordPipeline());
  const result = await bench.resume();
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  assert.deepEqual(Object.keys(bench.ran()), ["byCount"]);
  assert.deepEqual(bench.step("byCount"), byCount);

  mkdirSync(join(bench.root, "n"));
  bench.file("n/a.txt", "wrong\n");
  bench.file("[n]/a.txt", "one\n");
  bench.file("[n]/b.txt", "three\n");
  const text = `import { from, job, pipeline, script, step, text, transfer } from "sheaf";
    const sizes = job({ input: text(), map: (line) => [[line.length, line]] });
    const load = transfer({ from: "*.txt", to: "copies", as: text() });
    const copied = job({ input: from(load), map: (line) => [[line.length, line]] });
    export default pipeline({ sizes: step(sizes, { inputs: "[a-b].txt" }), load, copied });`;
  const odd = await bench.pipeline(text, { overwrite: true, partitions: 1 }, "[n]/pipe.ts");
  assert.equal(odd.status, "SUCCEEDED", odd.error?.report);
  for (const step of ["sizes", "copied"]) assert.deepEqual(bench.step(step), ["3\tone", "5\tthree"], step);
  assert.ok(existsSync(join(bench.root, "[n]", "copies", "a.txt")));
});
