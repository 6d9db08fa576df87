import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { LocalRunOptions } from "#src/engine/options.js";
import type { RunResult } from "#src/engine/run-result.js";
import { runOnEngine } from "#src/hosted/hosted-run.js";
import { runJob } from "#src/runner/run.js";
import { Bench } from "../runner/support.js";
import { FakeEngine, type FakeOptions } from "./fake-engine.js";

/** All files below a directory with their bytes. */
function tree(directory: string): Map<string, string> {
  const files = new Map<string, string>();
  for (const name of readdirSync(directory, { recursive: true, encoding: "utf8" }).sort()) {
    const path = join(directory, name);
    files.set(name, statSync(path).isDirectory() ? "" : readFileSync(path, "latin1"));
  }
  return files;
}

interface Case {
  readonly job: string;
  readonly files: Readonly<Record<string, string | Uint8Array>>;
  readonly options?: LocalRunOptions;
  readonly fake?: FakeOptions;
  /** Tasks that the engine is to have run. */
  readonly tasks: number;
}

/** Runs a job inline and hosted: same bytes, same counters, same numbers. */
async function same(
  t: TestContext,
  { job, files, options = {}, fake = {}, tasks }: Case,
): Promise<RunResult> {
  const bench = new Bench(t);
  const file = bench.file("job.ts", job);
  const inputs = Object.entries(files).map(([name, text]) => bench.file(`in/${name}`, text));
  const common = { inputs, stateDirectory: bench.state, attempts: 1, memory: "8MiB", mappers: 2, ...options };
  const [one, other] = [join(bench.root, "inline"), join(bench.root, "hosted")];
  const inline = await runJob(file, { ...common, on: "inline", output: one });
  inline.throwIfFailed();
  const engine = new FakeEngine(fake);
  const hosted = await runOnEngine(file, { ...common, on: "hadoop", output: other }, engine);
  hosted.throwIfFailed();
  t.after(() => Promise.all([inline.dispose(), hosted.dispose()]));
  assert.deepEqual(tree(other), tree(one));
  assert.deepEqual(hosted.counters, inline.counters);
  assert.equal(hosted.badRecords, inline.badRecords);
  const numbers = ({ stats }: RunResult): unknown => {
    const { elapsedMs: _elapsed, cpuMs: _cpu, ...rest } = stats as unknown as Record<string, unknown>;
    return rest;
  };
  assert.deepEqual(numbers(hosted), numbers(inline));
  if (common.collect === true) {
    const all = async (result: RunResult): Promise<unknown[]> => {
      const records: unknown[] = [];
      for await (const record of result.records()) records.push(record);
      return records;
    };
    assert.deepEqual(await all(hosted), await all(inline));
  }
  assert.equal(engine.tasks.length, tasks);
  assert.deepEqual(
    engine.tasks.map(({ code }) => code),
    engine.tasks.map(() => 0),
  );
  return hosted;
}

const words = Array.from({ length: 400 }, (_, at) => `w${at % 37} é${at % 11} ${"x".repeat(at % 5)}`).join(
  "\n",
);

test("a word count: several maps, combined; a partition that is empty; user code that prints everywhere", async (t) => {
  await same(t, {
    job: `
      import { writeSync } from "node:fs";
      import { spawnSync } from "node:child_process";
      import { job, sum, text } from "sheaf";
      export default job({
        input: text(),
        setup() {
          console.log("console.log");
          process.stdout.write("process.stdout.write\\n");
          writeSync(1, "writeSync(1)\\n");
          spawnSync("sh", ["-c", "echo child; echo 'reporter:counter:a,b,1'"], { stdio: "inherit" });
        },
        map(line: string, emit: (key: string, value: number) => void, ctx) {
          ctx.count("lines");
          for (const word of line.split(" ")) emit(word, 1);
        },
        reduce: sum(),
        partition: (key: string) => (key.startsWith("w") ? 2 : 0),
        partitions: 3,
      });`,
    files: { "a.txt": words, "b.txt": `${words}\nlast` },
    tasks: 6,
  });
});

test("secondary sort in any order of blocks, and results that are read back", async (t) => {
  await same(t, {
    job: `
      import { job, text } from "sheaf";
      export default job({
        input: text(),
        map(line: string, emit: (key: [string, number], value: string) => void, ctx) {
          for (const word of line.split(" ")) emit([word, ctx.offset], line);
        },
        groupBy: 1,
        *reduce(key: readonly [string, number], lines: Iterable<string>, ctx) {
          let all = 0;
          for (const line of lines) all += line.length;
          ctx.count("groups");
          yield [key[0], all];
        },
        partitions: 2,
      });`,
    files: { "a.txt": words, "b.txt": words },
    options: { collect: true },
    fake: { order: { seed: "spark" } },
    tasks: 4,
  });
});

test("collections, some without reduce, keys in order, bad records set aside; tasks told by lines", async (t) => {
  const numbers = Array.from({ length: 300 }, (_, at) => (at % 50 === 7 ? "not json" : `{"n":${at}}`));
  const result = await same(t, {
    job: `
      import { csv, job, jsonl, route, tsv } from "sheaf";
      export default job({
        input: jsonl<{ n: number }>(),
        collections: {
          sorted: { order: "total", partitions: 2 },
          copies: { output: csv() },
          named: { output: route((key) => \`k\${key}\`, tsv()) },
        },
        map({ n }, emit) {
          if (n % 60 === 3) throw new Error("three");
          emit.sorted(-n, String(n));
          emit.copies(n % 7, n);
          emit.named(n % 3, n);
        },
      });`,
    files: { "a.jsonl": numbers.join("\n"), "b.jsonl": numbers.join("\n") },
    options: { maxBad: 100 },
    fake: { inputForm: "lines", order: { seed: "x" } },
    tasks: 4,
  });
  assert.equal(result.badRecords, 22);
});

test("a job without reduces", async (t) => {
  await same(t, {
    job: `
      import { job, text } from "sheaf";
      export default job({
        input: text(),
        map(line: string, emit: (key: string) => void, ctx) {
          ctx.count("lines");
          if (line.includes("3")) emit(line);
        },
        output: text(),
      });`,
    files: { "a.txt": words, "b.txt": "nothing\n" },
    tasks: 3,
  });
});

test("records of megabytes, values that are bytes, side data", async (t) => {
  const bench = new Bench(t);
  const table = bench.file("names.json", JSON.stringify({ y: "why" }));
  await same(t, {
    job: `
      import { job, jsonl, text } from "sheaf";
      export default job({
        input: text({ recordBytesMax: 16_000_000 }),
        aux: { names: ${JSON.stringify(table)} },
        map(line: string, emit: (key: string, value: Uint8Array) => void, ctx) {
          const first = line.slice(0, 1);
          const names = ctx.aux.names as Record<string, string>;
          emit(names[first] ?? first, new TextEncoder().encode(line));
        },
        reduce(_key: string, values: Iterable<Uint8Array>) {
          let hash = 0;
          let bytes = 0;
          for (const value of values) {
            bytes += value.length;
            for (let at = 0; at < value.length; at += 1_001) hash = (hash * 31 + value[at]!) | 0;
          }
          return { bytes, hash };
        },
        output: jsonl(),
      });`,
    files: { "a.txt": `${"y".repeat(5_000_000)}\nshort\n${words}` },
    options: { partitions: 1 },
    tasks: 3,
  });
});

test("no input at all: reduces run all the same, and there is an output", async (t) => {
  await same(t, {
    job: `
      import { job, sum, text } from "sheaf";
      export default job({
        input: text(),
        map(line: string, emit: (key: string, value: number) => void) { emit(line, 1); },
        reduce: sum(),
        partitions: 2,
      });`,
    files: { "empty.txt": "" },
    tasks: 3,
  });
});
