import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, suite, test, type TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import type { HostedRunOptions, RunResult } from "#src/engine/options.js";
import { runHosted } from "#src/hosted/hosted-run.js";
import { runJob } from "#src/runner/run.js";
import { hostedJar, javaMissing } from "../kit/jars.ts";
import { until } from "../kit/wait.ts";
import { Bench } from "../runner/support.ts";
import { type HadoopLab, localHadoop } from "./hadoop-lab.ts";

const skip = javaMissing("HADOOP", "local", "hosted") ?? false;
if (skip !== false) console.error(skip);

/** Files of an output by name, whatever is in them. */
function filesOf(output: string): Map<string, string> {
  const names = readdirSync(output, { recursive: true, encoding: "utf8" }).sort();
  const files = names.filter((name) => statSync(join(output, name)).isFile());
  return new Map(files.map((name) => [name, readFileSync(join(output, name), "latin1")]));
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1");
  } catch {
    return "";
  }
}

suite("jobs in the local mode of a real Hadoop", { skip }, () => {
  let lab: HadoopLab;
  const former = { ...process.env };
  before(() => {
    hostedJar();
    lab = localHadoop();
    Object.assign(process.env, lab.env);
  });
  after(async () => {
    for (const name of Object.keys(lab.env)) delete process.env[name];
    Object.assign(process.env, former);
    await lab.close();
  });

  function onHadoop(bench: Bench, file: string, options: Partial<HostedRunOptions>): Promise<RunResult> {
    return runHosted(file, {
      on: "hadoop",
      conf: { "mapreduce.framework.name": "local" },
      output: bench.output,
      stateDirectory: bench.state,
      onEvent: (event) => void bench.events.push(event),
      ...options,
    });
  }

  /** Runs the job here on one thread, and on Hadoop: every byte and every counter must be the same. */
  async function same(
    t: TestContext,
    text: string,
    options: Partial<HostedRunOptions>,
    place = "place",
  ): Promise<RunResult> {
    const bench = new Bench(t);
    const output = join(bench.root, place, "out");
    mkdirSync(join(bench.root, place), { recursive: true });
    const file = bench.file("job.ts", text);
    const here = join(bench.root, "here");
    const { on: _on, conf: _conf, ...common } = options;
    const inline = await runJob(file, { ...common, isolate: "inline", output: here, stateDirectory: null });
    inline.throwIfFailed();
    const result = await onHadoop(bench, file, { ...options, output });
    result.throwIfFailed();
    const [expected, found] = [filesOf(here), filesOf(output)];
    assert.deepEqual([...found.keys()], [...expected.keys()]);
    for (const [name, bytes] of expected) assert.ok(found.get(name) === bytes, `${name} differs`);
    assert.deepEqual(result.counters, inline.counters);
    assert.deepEqual(result.badRecords, inline.badRecords);
    // Nothing is left beside the output.
    assert.deepEqual(readdirSync(dirname(output)), ["out"]);
    return result;
  }

  test("words of many files, some of them compressed, by a partitioner, with 200 counters", async (t) => {
    const inputs = new Bench(t);
    for (let n = 0; n < 5; n++) {
      const text = `Füße und 日本 ${n}\r\nthe the\tthe end ${"x".repeat(n)}\n`.repeat(200 * n);
      if (n % 2 === 0) inputs.file(`in/${n}.txt`, text);
      else inputs.file(`in/${n}.txt.gz`, gzipSync(text));
    }
    const job = `
      import { job, sum, text } from "sheaf";
      export default job({
        input: text(),
        map(line, emit, ctx) {
          for (const word of line.split(/\\s+/)) {
            ctx.count("letters, " + (word.length * 37 + word.charCodeAt(0)) % 200, word.length);
            emit(word, 1);
          }
          for (let n = 0; n < 200; n++) ctx.count("counter " + n);
        },
        reduce: sum(),
        // The last of them gets nothing.
        partition: (word, partitions) => word.length % (partitions - 1),
      });`;
    const result = await same(t, job, { inputs: [join(inputs.root, "in/*")], mappers: 4, partitions: 4 });
    assert.ok(Object.keys(result.counters).length >= 200);
  });

  test("collections: sorted values, order over all, without a reduce, bytes as values, bad records", async (t) => {
    const bench = new Bench(t);
    const lines = Array.from({ length: 3_000 }, (_, n) => `user${(n * 7) % 13} ${(n * 7919) % 10_007} p${n}`);
    lines.splice(1_000, 0, "broken", "broken too");
    const input = bench.file("in.txt", `${lines.join("\n")}\n`);
    const job = `
      import { desc, job, text, tsv, jsonl } from "sheaf";
      export default job({
        input: text(),
        collections: {
          visits: {
            groupBy: 1,
            partitions: 3,
            reduce: (user, pages) => [...pages].slice(0, 40).join(" "),
            output: tsv(),
          },
          sorted: { order: "total", partitions: 2, output: tsv() },
          lines: { output: tsv() },
          bytes: {
            partitions: 2,
            reduce: (key, values) => [...values].map((one) => Buffer.from(one).toString("hex")),
            output: jsonl(),
          },
        },
        map(line, emit, ctx) {
          const [user, time, page] = line.split(" ");
          if (time === undefined) throw new RangeError("no time");
          emit.visits([user, desc(Number(time))], page);
          emit.sorted(Number(time), page);
          emit.lines(user, time);
          if (time % 50 === 0) emit.bytes(user, new Uint8Array([0, 10, 9, 13, 255, 0x80, time & 255]));
          ctx.count("lines");
        },
      });`;
    const result = await same(t, job, { inputs: [input], mappers: 3, maxBad: 5 });
    assert.equal(result.badRecords, 2);
    assert.equal(result.counters["lines"], 3_000);
  });

  test("records of 5 MB", async (t) => {
    const bench = new Bench(t);
    const input = bench.file("in.txt", "");
    const line = (n: number): string => String.fromCodePoint(97 + n).repeat(5 << 20);
    writeFileSync(input, `${[0, 1, 2, 1].map(line).join("\n")}\nshort\n`);
    const job = `
      import { job, text } from "sheaf";
      export default job({
        input: text({ maxRecordBytes: "16MiB" }),
        map: (line, emit) => emit(line[0], line),
        reduce: (key, values) => [...values].join("|"),
      });`;
    await same(t, job, { inputs: [input], mappers: 2, partitions: 2 });
  });

  test("an empty input has empty partitions; directories have names that Hadoop finds hard", async (t) => {
    const bench = new Bench(t);
    const job = `
      import { job, sum, text } from "sheaf";
      export default job({ input: text(), map: (line, emit) => emit(line, 1), reduce: sum() });`;
    await same(t, job, { inputs: [bench.file("in.txt", "")], partitions: 3 }, "a b%20ü");
  });

  test("without a reduce maps write the output", async (t) => {
    const bench = new Bench(t);
    const input = bench.file("in/a.txt", "one\ntwo\nthree\n".repeat(1_000));
    const job = `
      import { job, text } from "sheaf";
      export default job({ input: text(), map: (line, emit) => emit(line.toUpperCase(), line.length) });`;
    await same(t, job, { inputs: [input, bench.file("in/b.txt", "last\n")], mappers: 3 });
  });

  test("a map that throws is told with its line, record and place, and leaves nothing", async (t) => {
    const bench = new Bench(t);
    const file = bench.file(
      "job.ts",
      `import { job, sum, text } from "sheaf";
       interface Order { readonly amount?: { readonly cents: number } }
       const price = (order: Order): number => order.amount!.cents;
       export default job({
         input: text(),
         map(line, emit) {
           console.log("looks at", line);
           emit(line, price(line === "bad" ? {} : { amount: { cents: 1 } }));
         },
         reduce: sum(),
       });`,
    );
    const input = bench.file("in.txt", "good\nbetter\nbad\n");
    const result = await onHadoop(bench, file, { inputs: [input], partitions: 2 });
    assert.equal(result.status, "FAILED");
    const { error } = result;
    assert.equal(error?.code, "USER_CODE");
    assert.match(error.report, /map-00000 failed.*TypeError: Cannot read properties of undefined/);
    assert.match(error.report, /job\.ts:3:62/);
    assert.match(error.report, /in\.txt:12 \(byte offset\)/);
    assert.match(error.report, /record\s+bad/);
    assert.ok(bench.of("log").some(({ text }) => /looks at better/.test(text)));
    assert.deepEqual(bench.left(), []);
  });

  test("a run that is cancelled ends all it has started, and leaves nothing", async (t) => {
    const bench = new Bench(t);
    const file = bench.file(
      "job.ts",
      `import { job, sum, text } from "sheaf";
       export default job({
         input: text(),
         map(line, emit) {
           console.log("waits");
           Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600_000);
         },
         reduce: sum(),
       });`,
    );
    const cancel = new AbortController();
    const result = await onHadoop(bench, file, {
      inputs: [bench.file("in.txt", "a\n")],
      signal: cancel.signal,
      onEvent: ({ kind }) => void (kind === "hosted" && cancel.abort()),
    });
    assert.equal(result.status, "CANCELLED");
    assert.deepEqual(bench.left(), []);
    await until("the end of what it started", () => {
      const processes = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
      return !processes.some((pid) => commandOf(pid).includes(`${bench.root}/place`));
    });
  });

  test("says the command, and runs nothing", async (t) => {
    const bench = new Bench(t);
    const job = `
      import { job, sum, text } from "sheaf";
      export default job({ input: text(), map: (line, emit) => emit(line, 1), reduce: sum() });`;
    let words: readonly string[] = [];
    const result = await onHadoop(bench, bench.file("job.ts", job), {
      inputs: [bench.file("in.txt", "a\n")],
      partitions: 7,
      printCommand: (given) => void (words = given),
    });
    assert.equal(result.status, "CANCELLED");
    assert.equal(words[0], join(lab.home, "bin/hadoop"));
    assert.ok(words.includes("mapreduce.job.reduces=7"));
    assert.deepEqual(bench.left(), []);
  });
});
