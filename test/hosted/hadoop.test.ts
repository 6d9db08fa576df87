import assert from "node:assert/strict";
import { chmodSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { checkHadoop } from "#src/cli/command/doctor/engines.js";
import type { HostedRunOptions } from "#src/engine/options.js";
import type { RunResult } from "#src/engine/run-result.js";
import { runHosted } from "#src/hosted/hosted-run.js";
import { sheafHere } from "../cli/support.ts";
import { hostedJar, javaMissing } from "../kit/jars.ts";
import { until } from "../kit/wait.ts";
import { Bench } from "../runner/support.ts";
import { cases } from "./cases.ts";
import { type HadoopLab, localHadoop } from "./hadoop-lab.ts";
import { sameAsInline } from "./same.ts";

const skip = javaMissing("HADOOP", "local", "hosted") ?? false;
if (skip !== false) console.error(skip);

const conf = { "mapreduce.framework.name": "local" };

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
      conf,
      output: bench.output,
      stateDirectory: bench.state,
      onEvent: (event) => void bench.events.push(event),
      ...options,
    });
  }

  for (const one of cases.filter(({ isQuick }) => isQuick === true)) {
    // Names that Hadoop finds hard.
    test(one.name, () => sameAsInline(one, { on: "hadoop", conf }, "a b%20ü"));
  }

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

  test("what programs that user code starts print is no counter and no status of Hadoop's", async (t) => {
    const bench = new Bench(t);
    const file = bench.file(
      "job.ts",
      `import { spawnSync } from "node:child_process";
       import { job, sum, text } from "sheaf";
       // Hadoop fails a task that has more than 120 counters.
       const script = "for n in $(seq 200); do echo reporter:counter:mine,c$n,1 >&2; done; echo reporter:status:x";
       export default job({
         input: text(),
         setup: () => void spawnSync("sh", ["-c", script], { stdio: "inherit" }),
         map: (line, emit) => emit(line, 1),
         reduce: sum(),
       });`,
    );
    const result = await onHadoop(bench, file, { inputs: [bench.file("in.txt", "a\n")], partitions: 1 });
    result.throwIfFailed();
    assert.deepEqual(result.counters, {});
    const said = bench.of("log").map(({ text }) => text);
    for (const line of ["reporter:counter:mine,c200,1", "reporter:status:x"])
      assert.ok(said.includes(line), line);
  });

  test("sheaf doctor says that jobs run here, and on which files", async () => {
    const findings = await checkHadoop(process.env);
    const said = (about: string): string => {
      const found = findings.find((one) => one.about === about);
      return `${found?.status} ${found?.found}`;
    };
    assert.match(said("hadoop"), /^ok Hadoop 3\./);
    assert.match(said("hadoop jobs"), /^warn mapreduce\.framework\.name is local \(.*etc\/hadoop\)$/);
    assert.match(said("hadoop files"), /^ok file:\//);
  });

  test("sheaf stream: programs travel with the job, keys are in one order over all parts", async (t) => {
    const bench = new Bench(t);
    const lines = Array.from({ length: 2_000 }, (_, n) => `k${(n * 7919) % 1_009}\t${n} \xe9\n`);
    const input = bench.file("in.txt", Buffer.from(lines.join(""), "latin1"));
    chmodSync(bench.file("twice.sh", "#!/bin/sh\necho reporter:counter:G,started,1 >&2\nsed p\n"), 0o755);
    bench.file("same.py", "import sys\nfor line in sys.stdin.buffer: sys.stdout.buffer.write(line)\n");
    const words = [
      ["stream", "-q", "-input", input, "-mapper", "twice.sh", "-file", "twice.sh"],
      ["-reducer", "python3 same.py", "-partitioner", "TotalOrderPartitioner", "-numReduceTasks", "3"],
    ].flat();
    const [here, there] = [join(bench.root, "here"), join(bench.root, "there")];
    const inline = await sheafHere([...words, "-output", here, "--inline"], { cwd: bench.root });
    assert.equal(inline.code, 0, inline.stderr);
    const onHadoop = ["--on", "hadoop", "--conf", "mapreduce.framework.name=local"];
    const hosted = await sheafHere([...words, "-output", there, ...onHadoop], { cwd: bench.root });
    assert.equal(hosted.code, 0, hosted.stderr);
    const names = readdirSync(here).sort();
    assert.deepEqual([readdirSync(there).sort(), names.length], [names, 4]);
    for (const name of names)
      assert.ok(readFileSync(join(there, name)).equals(readFileSync(join(here, name))), name);
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
