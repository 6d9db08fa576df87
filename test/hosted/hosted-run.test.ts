import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { HostedRunOptions } from "#src/engine/options.js";
import type { RunResult } from "#src/engine/run-result.js";
import { runOnEngine } from "#src/hosted/hosted-run.js";
import { sheafFiles, taskPackages } from "#src/hosted/packages.js";
import { runJob } from "#src/runner/run.js";
import { Bench } from "../runner/support.ts";
import { FakeEngine, type FakeOptions } from "./fake-engine.ts";

const words = `
  import { job, sum, text, tsv } from "sheaf";
  export default job({
    input: text(),
    collections: {
      counts: { reduce: sum(), output: tsv(), partitions: 3 },
      lines: { output: tsv() },
    },
    map(line, emit, ctx) {
      for (const word of line.split(" ")) {
        if (word === "bad") throw new TypeError("a bad word");
        emit.counts(word, 1);
      }
      ctx.count("lines");
      emit.lines(line.length, line);
    },
  });`;

class Hosted {
  readonly bench: Bench;
  readonly engine: FakeEngine;
  readonly file: string;

  constructor(t: TestContext, options: FakeOptions = {}, job: string = words) {
    this.bench = new Bench(t);
    this.engine = new FakeEngine(options);
    this.file = this.bench.file("job.ts", job);
  }

  run(options: Partial<HostedRunOptions>): Promise<RunResult> {
    this.bench.events.length = 0;
    const onEvent: HostedRunOptions["onEvent"] = (event) => void this.bench.events.push(event);
    const all = {
      on: "hadoop",
      output: this.bench.output,
      stateDirectory: this.bench.state,
      attempts: 2,
    } as const;
    return runOnEngine(this.file, { ...all, onEvent, ...options }, this.engine);
  }

  /** Every file of an output, by name. */
  files(output: string): Record<string, string> {
    const names = readdirSync(output, { recursive: true, encoding: "utf8" }).sort();
    const isFile = (name: string): boolean => /part-|_SUCCESS/.test(name);
    return Object.fromEntries(
      names.filter(isFile).map((name) => [name, readFileSync(join(output, name), "latin1")]),
    );
  }
}

test("a job on an engine has the output, the counters and the sums of one on this machine", async (t) => {
  const hosted = new Hosted(t, { order: { seed: "any order" } });
  const inputs = [1, 2, 3].map((n) =>
    hosted.bench.file(`in/${n}.txt`, `one two ${n}\ntwo bad three\n`.repeat(5 * n)),
  );
  const result = await hosted.run({ inputs, mappers: 3, maxBad: 100 });
  result.throwIfFailed();
  const here = join(hosted.bench.root, "here");
  const local = await runJob(hosted.file, {
    inputs,
    mappers: 3,
    maxBad: 100,
    output: here,
    stateDirectory: null,
  });
  local.throwIfFailed();
  assert.deepEqual(hosted.files(hosted.bench.output), hosted.files(here));
  assert.deepEqual(result.counters, local.counters);
  assert.equal(result.badRecords, 30);
  assert.deepEqual(
    [result.stats.recordsIn, result.stats.emitted, result.stats.groups],
    [local.stats.recordsIn, local.stats.emitted, local.stats.groups],
  );
  assert.deepEqual(
    hosted.bench.of("phase-started").map(({ phase }) => phase),
    ["load", "plan", "map", "reduce", "commit"],
  );
  // Maps are reported when all is done; that the reduces have begun is told before.
  const kinds = hosted.bench.events.map((event) =>
    event.kind === "phase-started" ? event.phase : event.kind,
  );
  assert.ok(kinds.indexOf("reduce") < kinds.indexOf("attempt-finished"), kinds.join());
  const shares = hosted.bench.of("progress").flatMap(({ phases }) => phases.map(({ fraction }) => fraction));
  assert.ok(shares.includes(1));
});

test("results of a run without output are read back", async (t) => {
  const hosted = new Hosted(t);
  const input = hosted.bench.file("in.txt", "b a b\n");
  const result = await runOnEngine(
    hosted.file,
    { on: "hadoop", inputs: input, stateDirectory: null },
    hosted.engine,
  );
  result.throwIfFailed();
  const found = [];
  for await (const one of result.records("counts")) found.push(one);
  assert.deepEqual(found.sort(), [
    ["a", 1],
    ["b", 2],
  ]);
  await result.dispose();
});

test("the task that failed is the cause, with its record and its place in the source", async (t) => {
  const hosted = new Hosted(t);
  const input = hosted.bench.file("in.txt", "fine\nfine bad\n");
  const { status, error } = await hosted.run({ inputs: input });
  assert.equal(status, "FAILED");
  assert.equal(error?.code, "USER_CODE");
  assert.equal(error.task, "map-00000");
  // It is the engine's attempts that were tried: the last of two.
  assert.match(error.report, /^map-00000 failed \(attempt 2\): TypeError: a bad word[\s\S]*job\.ts:11/);
  assert.match(error.report, /in\.txt:5/);
  assert.match(error.report, /sheaf replay \S+:map-0\b/);
  assert.equal(existsSync(hosted.bench.output), false);
  assert.deepEqual(readdirSync(join(hosted.bench.output, "..")), []);
});

test("of a reduce that failed the task, its attempt and its key are told", async (t) => {
  const failing = `
    import { job, text } from "sheaf";
    export default job({
      input: text(),
      partitions: 2,
      map: (line, emit) => emit(line, 1),
      reduce(word, ones) {
        if (word === "bad") throw new RangeError("never that");
        return [...ones].length;
      },
    });`;
  const hosted = new Hosted(t, {}, failing);
  const inputs = hosted.bench.file("in.txt", "fine\nbad\n");
  const { status, error } = await hosted.run({ inputs, attempts: 3 });
  assert.equal(status, "FAILED");
  assert.match(error?.report ?? "", /^reduce-0000[01] failed \(attempt 3\): RangeError: never that/);
  assert.match(error!.report, /key +"?bad/);
  assert.deepEqual([error!.attempt, error!.details["attempt"]], [3, 3]);
  // What it has read is gone with the job.
  assert.doesNotMatch(error!.report, /sheaf replay/);
});

test("what the same input leads to again is not tried again", async (t) => {
  const orders = `
    import { job, jsonl, sum } from "sheaf";
    export default job({ input: jsonl(), map: (order, emit) => emit(order.id, 1), reduce: sum() });`;
  const hosted = new Hosted(t, {}, orders);
  const inputs = hosted.bench.file("in.jsonl", '{"id": 2}\n{"id"}\n');
  const { status, error } = await hosted.run({ inputs, attempts: 4 });
  assert.equal(status, "FAILED");
  assert.equal(error?.code, "RECORD_INVALID");
  assert.equal(error.task, "map-00000");
  assert.match(
    error.report,
    /^map-00000 failed in read \(attempt 1, not tried again: the input would be the same\): /,
  );
  assert.match(error.report, /in\.jsonl:10/);
  assert.equal(hosted.engine.tasks.length, 1);
  assert.deepEqual(hosted.bench.of("warning"), []);
  assert.deepEqual(readdirSync(join(hosted.bench.output, "..")), []);
});

test("a stream that an engine took for whole is found out", async (t) => {
  const hosted = new Hosted(t, { cut: (bytes) => bytes.subarray(0, -2_000) });
  const input = hosted.bench.file("in.txt", "a b c d\n".repeat(10));
  const { status, error } = await hosted.run({ inputs: input });
  assert.equal(status, "FAILED");
  assert.match(error!.message, /not whole|missing|cut/);
  assert.equal(existsSync(hosted.bench.output), false);
});

test("a job that reads nothing has its empty output", async (t) => {
  const hosted = new Hosted(t);
  const input = hosted.bench.file("in.txt", "");
  const result = await hosted.run({ inputs: input });
  result.throwIfFailed();
  const manifest = JSON.parse(readFileSync(join(hosted.bench.output, "_SUCCESS"), "utf8")) as {
    parts: unknown[];
  };
  assert.equal(manifest.parts.length, result.parts.length);
});

test("what tasks on an engine cannot do is refused, and so is a file that they cannot see", async (t) => {
  const hosted = new Hosted(t, { isLocal: false });
  const input = hosted.bench.file("in.txt", "a\n");
  const { error } = await hosted.run({ inputs: input });
  assert.equal(error?.code, "USAGE");
  assert.match(error.message, /in\.txt lies on this machine/);
  const live = await new Hosted(t).run({ inputs: input, live: true });
  assert.match(live.error!.message, /partial results/);
});

test("of variables that the job's code asks for and tasks do not have is told", async (t) => {
  const asking = `
    import { job, sum, text } from "sheaf";
    const factor = Number(process.env.SHEAF_FACTOR_OF_THIS_TEST ?? 1) + (process.env["NOBODY_HAS_THIS"] ?? "").length;
    export default job({
      input: text(),
      map: (line, emit) => emit(line + (process.env.PATH ? "" : "!"), factor),
      reduce: sum(),
    });`;
  const hosted = new Hosted(t, {}, asking);
  process.env["SHEAF_FACTOR_OF_THIS_TEST"] = "3";
  t.after(() => delete process.env["SHEAF_FACTOR_OF_THIS_TEST"]);
  (await hosted.run({ inputs: hosted.bench.file("in.txt", "a\n") })).throwIfFailed();
  assert.deepEqual(hosted.bench.lines(), ["a\t1"]);
  const warned = hosted.bench.of("warning").map(({ message }) => message);
  assert.equal(warned.length, 1);
  assert.match(warned[0]!, /asks for SHEAF_FACTOR_OF_THIS_TEST of the environment, .*--set/);
});

test("the command is printed, and nothing is run", async (t) => {
  const hosted = new Hosted(t);
  const input = hosted.bench.file("in.txt", "a\n");
  const printed: (readonly string[])[] = [];
  const { status } = await hosted.run({ inputs: input, printCommand: (words) => void printed.push(words) });
  assert.equal(status, "CANCELLED");
  assert.equal(printed.length, 1);
  assert.equal(hosted.engine.tasks.length, 0);
});

test("nodes are asked for the heap that the job asks for, not for a share of this machine's memory", async (t) => {
  const made = `
    import { generate, job, sum } from "sheaf";
    const input = generate({ tasks: 2, *records() { yield 1; } });
    export default job({ input, map: (n, emit) => emit(n, n), reduce: sum() });`;
  const heaps: (number | null)[] = [];
  const instead: FakeOptions["instead"] = async ({ heapBytes }) => void heaps.push(heapBytes);
  const there = new Hosted(t, { isLocal: false, instead }, made);
  await there.run({ inputs: [] });
  await there.run({ inputs: [], heap: "1GiB" });
  assert.deepEqual(heaps, [768 * 2 ** 20, 2 ** 30]);
});

test("what a task's program imports of packages is what travels", () => {
  const dist = new URL("../../../dist/", import.meta.url);
  const seen = new Set<string>();
  const packages = new Set<string>();
  const follow = (url: URL): void => {
    if (seen.has(url.href)) return;
    seen.add(url.href);
    const text = readFileSync(url, "utf8");
    for (const [, name] of text.matchAll(/(?:\bfrom\s*|\bimport\s*)"([^"]+)"/g)) {
      if (name!.startsWith(".")) follow(new URL(name!, url));
      else if (/^(?!node:)[@a-z]/.test(name!)) packages.add(/^(?:@[^/]+\/)?[^/]+/.exec(name!)![0]);
    }
  };
  const web = readdirSync(new URL("lib", dist)).find((name) => /^http-[A-Z0-9]{8}\.js$/.test(name));
  const entries = ["hosted/task-entry.js", "hosted/watch-entry.js", "index.js", "testing.js", `lib/${web}`];
  for (const entry of entries) follow(new URL(entry, dist));
  const travels = new Set(sheafFiles([], dist).map(({ path }) => pathToFileURL(path).href));
  assert.deepEqual(
    [...seen].filter((url) => !travels.has(url)),
    [],
  );
  assert.ok(seen.size > 20);
  // "sheaf" stands in texts that are printed.
  const missing = [...packages].filter(
    (name) => name !== "sheaf" && !(taskPackages as readonly string[]).includes(name),
  );
  assert.deepEqual(missing, []);
});
