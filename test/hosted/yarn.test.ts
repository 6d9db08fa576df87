import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test, type TestContext } from "node:test";
import { checkHadoop } from "#src/cli/command/doctor/engines.js";
import type { HostedRunOptions } from "#src/engine/options.js";
import type { RunResult } from "#src/engine/run-result.js";
import { runHosted } from "#src/hosted/hosted-run.js";
import { runJob } from "#src/runner/run.js";
import { setStoreAccess } from "#src/storage/stores.js";
import { startSheaf } from "../cli/support.ts";
import { hostedJar, javaMissing, onlyWithEngines } from "../kit/jars.ts";
import { until, waitFor } from "../kit/wait.ts";
import { Bench } from "../runner/support.ts";
import { type HadoopLab, programsOn, smallContainers as conf, yarnHadoop } from "./hadoop-lab.ts";

const skip = onlyWithEngines("YARN") ?? javaMissing("YARN", "cluster", "streaming", "hosted") ?? false;
if (skip !== false) console.error(skip);

suite("jobs on a real HDFS and YARN", { skip }, () => {
  let lab: HadoopLab;
  const former = { ...process.env };
  before(async () => {
    hostedJar();
    lab = await yarnHadoop();
    Object.assign(process.env, lab.env);
    setStoreAccess({ env: process.env, fetch: null });
  });
  after(async () => {
    for (const name of Object.keys(lab.env)) delete process.env[name];
    Object.assign(process.env, former);
    setStoreAccess({ env: process.env, fetch: null });
    await lab.close();
  });

  function onYarn(bench: Bench, file: string, options: Partial<HostedRunOptions>): Promise<RunResult> {
    return runHosted(file, {
      on: "hadoop",
      conf,
      stateDirectory: bench.state,
      speculation: false,
      onEvent: (event) => void bench.events.push(event),
      ...options,
    });
  }

  /** What Hadoop has there, with all below. */
  function listed(...paths: string[]): string {
    return lab.hadoop("fs", "-ls", "-R", "-C", ...paths);
  }

  const programs = (): string[] => programsOn(lab);

  const counting = (more = ""): string => `
    import { existsSync, writeFileSync } from "node:fs";
    import { job, sum, text, tsv } from "sheaf";
    interface Order { readonly amount?: { readonly cents: number } }
    const price = (order: Order): number => order.amount!.cents;
    export default job({
      input: text(),
      params: { bad: "" },
      collections: { words: { reduce: sum(), partitions: 2, output: tsv() }, lines: { output: tsv() } },
      map(line, emit, ctx) {
        ctx.count("lines");
        ${more}
        for (const word of line.split(" ")) emit.words(word, 1);
        emit.lines(line, line.length);
      },
    });`;

  function inputOf(t: TestContext): { readonly bench: Bench; readonly input: string } {
    const bench = new Bench(t);
    return { bench, input: bench.file("in.txt", "to be or\nnot to be\nthat is\n".repeat(300)) };
  }

  test("attempts that fail or are killed leave no trace in an output on HDFS, which is then replaced", async (t) => {
    const { bench } = inputOf(t);
    const inputs = ["a", "b", "c"].map((name) =>
      bench.file(`in/${name}.txt`, `to be or ${name}\nnot to be\n`.repeat(300)),
    );
    // Marks lie outside of the tasks' own directories. In two attempts of one map the job throws; in the
    // first of another Node is killed, and of the third the JVM that it is a child of.
    const faults = `
        const mark = ${JSON.stringify(bench.root)} + "/" + ctx.path.slice(-5) + ".failed";
        const again = ctx.path.endsWith("a.txt") ? mark + "2" : mark;
        if (line === "not to be" && !existsSync(again)) {
          writeFileSync(existsSync(mark) ? again : mark, "");
          if (ctx.path.endsWith("a.txt")) throw new Error("only twice");
          process.kill(ctx.path.endsWith("b.txt") ? process.pid : process.ppid, "SIGKILL");
        }`;
    const here = join(bench.root, "here");
    const output = "hdfs:///results/counts";
    const all = { inputs, mappers: 3 };
    const result = await onYarn(bench, bench.file("job.ts", counting(faults)), {
      ...all,
      output,
      attempts: 3,
    });
    result.throwIfFailed();
    for (const name of ["a", "b", "c"]) assert.ok(readdirSync(bench.root).includes(`${name}.txt.failed`));
    const local = await runJob(bench.file("job.ts", counting(faults)), {
      ...all,
      output: here,
      stateDirectory: null,
    });
    local.throwIfFailed();
    assert.deepEqual(result.counters, local.counters);
    const warnings = bench.of("warning").map(({ message }) => message);
    const twice = warnings.filter((message) => /map-0000\d failed.*only twice/.test(message));
    assert.equal(twice.length, 2, warnings.join("\n"));
    assert.ok(bench.of("hosted").some(({ id }) => id.startsWith("job_")));

    lab.hadoop("fs", "-get", output, join(bench.root, "there"));
    const names = readdirSync(here, { recursive: true, encoding: "utf8" }).sort();
    for (const name of names.filter((one) => statSync(join(here, one)).isFile())) {
      const there = readFileSync(join(bench.root, "there", name), "latin1");
      assert.equal(there, readFileSync(join(here, name), "latin1"));
    }
    // Beside the output there is what later jobs need again, and nothing else.
    const left = listed("/results", "/user").trim().split("\n");
    const isCached = (path: string): boolean => /\.sheaf\/cache/.test(path);
    const isExpected = (path: string): boolean =>
      isCached(path) || path.startsWith("/results/counts") || /^\/user\/\w+(?:\/\.sheaf)?$/.test(path);
    assert.deepEqual(
      left.filter((path) => !isExpected(path)),
      [],
    );
    const cached = left.filter(isCached);
    assert.equal(cached.length, 3);

    const small = { inputs: inputs.slice(0, 1), output };
    const file = bench.file("job.ts", counting());
    assert.equal((await onYarn(bench, file, small)).error?.code, "OUTPUT_EXISTS");
    const again = await onYarn(bench, file, { ...small, overwrite: true });
    again.throwIfFailed();
    assert.deepEqual(listed("/user").trim().split("\n").filter(isCached), cached);
    assert.equal(again.counters["lines"], 600);
    assert.match(lab.hadoop("fs", "-cat", `${output}/_SUCCESS`), /"lines": 600/);
  });

  test("reduces that fail or are killed are tried again; maps run beside their input, and that is told", async (t) => {
    const bench = new Bench(t);
    const text = (n: number): string => `to be ${n}\nor not to be\n`.repeat(200);
    const paths = [1, 2, 3].map((n) => bench.file(`in/${n}.txt`, text(n)));
    lab.hadoop("fs", "-mkdir", "-p", "/data/near");
    lab.hadoop("fs", "-put", ...paths, "/data/near");
    // Of three faults each reduce program has one at most: it throws, it is killed, its JVM is.
    const file = bench.file(
      "job.ts",
      `import { writeFileSync } from "node:fs";
      import { job, text } from "sheaf";
      let isAsked = false;
      function fault(place) {
        if (isAsked || place === "") return;
        isAsked = true;
        for (const one of ["throws", "node", "jvm"]) {
          try {
            writeFileSync(place + "/" + one, "", { flag: "wx" });
          } catch {
            continue;
          }
          if (one === "throws") throw new Error("only once");
          process.kill(one === "node" ? process.pid : process.ppid, "SIGKILL");
        }
      }
      export default job({
        input: text(),
        params: { place: "" },
        partitions: 3,
        map(line, emit) {
          for (const word of line.split(" ")) emit(word, 1);
        },
        reduce(word, ones, ctx) {
          ctx.count("words");
          const count = [...ones].length;
          fault(ctx.params.place);
          return count;
        },
      });`,
    );
    const output = "hdfs:///results/reduced";
    const all = { mappers: 3, attempts: 4 };
    const result = await onYarn(bench, file, {
      ...all,
      inputs: ["hdfs:///data/near/*"],
      output,
      params: { place: bench.root },
    });
    result.throwIfFailed();
    assert.deepEqual(
      ["throws", "node", "jvm"].filter((name) => !existsSync(join(bench.root, name))),
      [],
    );
    const here = join(bench.root, "here");
    const local = await runJob(file, { ...all, inputs: paths, output: here, stateDirectory: null });
    local.throwIfFailed();
    assert.deepEqual(result.counters, local.counters);
    lab.hadoop("fs", "-get", output, join(bench.root, "there"));
    const parts = (of: string): string[] =>
      readdirSync(of)
        .filter((name) => !name.startsWith("."))
        .sort();
    assert.deepEqual(parts(join(bench.root, "there")), parts(here));
    for (const name of parts(here).filter((one) => one !== "_SUCCESS"))
      assert.deepEqual(readFileSync(join(bench.root, "there", name)), readFileSync(join(here, name)));
    const [placed] = bench.of("maps-placed");
    assert.deepEqual([placed?.maps, placed?.local], [3, 3]);
  });

  test("of a slow attempt and the one that overtakes it one counts", async (t) => {
    const bench = new Bench(t);
    const inputs = [1, 2, 3, 4].map((n) => bench.file(`in/${n}.txt`, `to be ${n}\n`.repeat(100)));
    // The first attempt of one map waits until there is a second, which goes on.
    const waits = `
        const mark = ${JSON.stringify(bench.root)} + "/mark";
        if (ctx.path.endsWith("1.txt") && !existsSync(mark + "2")) {
          const isFirst = !existsSync(mark);
          writeFileSync(isFirst ? mark : mark + "2", "");
          const cell = new Int32Array(new SharedArrayBuffer(4));
          while (!existsSync(mark + "2")) Atomics.wait(cell, 0, 0, 100);
        }`;
    const output = "hdfs:///results/overtaken";
    const soon = {
      "mapreduce.job.speculative.retry-after-no-speculate": "500",
      "mapreduce.job.speculative.retry-after-speculate": "500",
      "mapreduce.job.speculative.minimum-allowed-tasks": "1",
    };
    const result = await onYarn(bench, bench.file("job.ts", counting(waits)), {
      inputs,
      mappers: 4,
      output,
      speculation: true,
      conf: { ...conf, ...soon },
    });
    result.throwIfFailed();
    assert.ok(existsSync(join(bench.root, "mark2")));
    assert.equal(result.counters["lines"], 400);
    assert.equal(lab.hadoop("fs", "-cat", `${output}/lines/part-*`).split("\n").length, 401);
  });

  test("a map that throws is told with its line, record and place; nothing is left", async (t) => {
    const { bench, input } = inputOf(t);
    const file = bench.file("job.ts", counting(`if (line === "that is") price({});`));
    const result = await onYarn(bench, file, {
      inputs: [input],
      mappers: 1,
      output: "hdfs:///results/never",
      attempts: 2,
    });
    assert.equal(result.status, "FAILED");
    const { error } = result;
    assert.equal(error?.code, "USER_CODE");
    assert.match(
      error.report,
      /^map-00000 failed \(attempt 2\): TypeError: Cannot read properties of undefined/,
    );
    assert.match(error.report, /job\.ts:5:\d+/);
    assert.match(error.report, /in\.txt:19 \(byte offset\)/);
    assert.match(error.report, /record\s+that is/);
    assert.doesNotMatch(listed("/results"), /never|\.sheaf/);
  });

  /** Hadoop looks each second, and ends what has said nothing for longer than containers take to start. */
  const impatient = {
    ...conf,
    "mapreduce.task.timeout": "20000",
    "mapreduce.task.timeout.check-interval-ms": "1000",
  };

  test("maps that hang are tried again, by sheaf's word or by Hadoop's; one that is only slow goes on", async (t) => {
    const bench = new Bench(t);
    const paths = ["waits", "stopped", "slow"].map((name) =>
      bench.file(`in/${name}.txt`, `to be ${name}\nnot to be\n`.repeat(100)),
    );
    // The first attempts of two maps hang; of one with all of its threads, which only Hadoop can see. The
    // third map is at one record for longer than Hadoop waits, and says so.
    const hangs = `
        const name = ctx.path.slice(ctx.path.lastIndexOf("/") + 1, -".txt".length);
        const mark = ctx.params.bad + "/" + name;
        if (line === "not to be" && (name === "slow" ? !begun : !existsSync(mark))) {
          begun = true;
          appendFileSync(mark, "x");
          if (name === "stopped") process.kill(process.pid, "SIGSTOP");
          if (name === "waits") return once(createServer().listen(0, "127.0.0.1"), "close");
          const cell = new Int32Array(new SharedArrayBuffer(4));
          const end = Date.now() + 30_000;
          for (; Date.now() < end; Atomics.wait(cell, 0, 0, 500)) ctx.progress();
        }`;
    const file = bench.file(
      "job.ts",
      `import { once } from "node:events";
      import { appendFileSync } from "node:fs";
      import { createServer } from "node:net";
      let begun = false;
      ${counting(hangs).replace("map(line", "async map(line")}`,
    );
    // A container that starts slowly is ended, too.
    const all = { inputs: paths, mappers: 3, params: { bad: bench.root }, attempts: 4 };
    const output = "hdfs:///results/hung";
    const result = await onYarn(bench, file, { ...all, output, conf: impatient });
    const warnings = bench.of("warning").map(({ message }) => message);
    assert.match(warnings.join("\n"), /: map-0000\d finished no record for 2[0-3]\d{3} ms/);
    assert.match(warnings.join("\n"), /Hadoop: the task did not move on, and was ended/);
    result.throwIfFailed();
    assert.equal(readFileSync(join(bench.root, "slow"), "utf8"), "x", warnings.join("\n"));
    const local = { ...all, output: join(bench.root, "here"), stateDirectory: null };
    (await runJob(file, local)).throwIfFailed();
    lab.hadoop("fs", "-get", output, join(bench.root, "there"));
    const names = readdirSync(local.output, { recursive: true, encoding: "utf8" });
    for (const name of names.filter((one) => statSync(join(local.output, one)).isFile()))
      assert.deepEqual(readFileSync(join(bench.root, "there", name)), readFileSync(join(local.output, name)));
    await until("the task programs to end", () => programs().length === 0);
  });

  for (const [how, act, attempts, hangs] of [
    ["loops", "for (;;);", 2, /finished no record for 2[0-3]\d{3} ms/],
    [
      "is stopped",
      'process.kill(process.pid, "SIGSTOP");',
      1,
      /Hadoop: the task did not move on, and was ended/,
    ],
  ] as const) {
    test(`a map that ${how} each time fails the job, and is told`, async (t) => {
      const { bench, input } = inputOf(t);
      const file = bench.file("job.ts", counting(`if (line === "that is") ${act}`));
      const result = await onYarn(bench, file, {
        inputs: [input],
        mappers: 1,
        output: "hdfs:///results/never",
        attempts,
        conf: impatient,
      });
      assert.equal(result.status, "FAILED");
      const { error } = result;
      assert.equal(error?.code, "NO_PROGRESS", error?.report);
      assert.match(error.report, hangs);
      assert.ok(error.report.startsWith(`map-00000 failed (attempt ${attempts}): `), error.report);
      assert.match(error.hint ?? "", /raise --conf mapreduce\.task\.timeout=MS/);
      // Of a program that is stopped whole nobody knows where it was.
      if (how === "loops") assert.match(error.report, /in\.txt:19 \(byte offset\)/);
      assert.doesNotMatch(listed("/results"), /never|\.sheaf/);
      await until("the task programs to end", () => programs().length === 0);
    });
  }

  test("without a jar the output is made from here, and a failure is read from the task's log", async (t) => {
    const { bench, input } = inputOf(t);
    const output = "hdfs:///results/without";
    const file = bench.file("job.ts", counting(`if (ctx.params.bad === line) price({});`));
    const all = { inputs: [input], mappers: 2, jar: false, attempts: 1, output };
    const result = await onYarn(bench, file, { ...all, params: { bad: "" } });
    result.throwIfFailed();
    assert.equal(result.counters["lines"], 900);
    const local = { inputs: [input], mappers: 2, params: { bad: "" }, output: join(bench.root, "here") };
    (await runJob(file, { ...local, stateDirectory: null })).throwIfFailed();
    lab.hadoop("fs", "-get", output, join(bench.root, "there"));
    const names = readdirSync(local.output, { recursive: true, encoding: "utf8" });
    for (const name of names.filter((one) => statSync(join(local.output, one)).isFile()))
      assert.deepEqual(readFileSync(join(bench.root, "there", name)), readFileSync(join(local.output, name)));
    const { error } = await onYarn(bench, file, { ...all, overwrite: true, params: { bad: "that is" } });
    // The history server knows which attempt it was, and where its log is.
    assert.equal(error?.code, "USER_CODE");
    assert.match(error.report, /^map-0000[01] failed \(attempt 1\): TypeError: Cannot read properties/);
    assert.match(error.report, /job\.ts:5:\d+/);
    // Either map may be the first to throw.
    const offset = Number(/in\.txt:(\d+) \(byte offset\)\n *record +that is\n/.exec(error.report)?.[1]);
    assert.equal(offset % "to be or\nnot to be\nthat is\n".length, 19, error.report);
    assert.doesNotMatch(listed("/results"), /\.sheaf/);
  });

  test("sheaf doctor asks for files and nodes", async () => {
    const findings = await checkHadoop(process.env);
    const said = findings.filter(({ about }) => /^hadoop (?:jobs|files|nodes)$/.test(about));
    const texts = said.map(({ status, found }) => `${status} ${found}`).join("\n");
    assert.match(texts, /^ok yarn \(.*\)\nok hdfs:\/\/\S+\/user\/\S+\nok 2 can run tasks$/);
  });

  const endless = (bench: Bench): string =>
    bench.file("job.ts", counting("Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600_000);"));

  test("a run that is cancelled ends the application, and leaves nothing", async (t) => {
    const { bench, input } = inputOf(t);
    const cancel = new AbortController();
    const result = await onYarn(bench, endless(bench), {
      inputs: [input],
      output: "hdfs:///results/cancelled",
      signal: cancel.signal,
      // The job is there from now on, whether or not a task of it runs yet.
      onEvent: ({ kind }) => void (kind === "hosted" && cancel.abort()),
    });
    assert.equal(result.status, "CANCELLED");
    assert.match(lab.hadoop("job", "-list"), /Total jobs:0/);
    assert.doesNotMatch(listed("/results"), /cancelled|\.sheaf/);
  });

  test("Ctrl-C of the command ends the application, and leaves nothing", async (t) => {
    const { bench, input } = inputOf(t);
    const known = listed("/user");
    const output = "hdfs:///results/interrupted";
    const settings = Object.entries(conf).flatMap(([name, value]) => ["--conf", `${name}=${value}`]);
    const words = ["run", endless(bench), input, "-o", output, "--on", "hadoop", ...settings];
    const env = { ...lab.env, SHEAF_STATE: bench.state };
    const { child, done } = startSheaf(words, { env, timeoutMs: 600_000 });
    await waitFor("a task program", () => programs()[0], 300_000);
    child.kill("SIGINT");
    const { code, stderr } = await done;
    assert.equal(code, 3, stderr);
    const [, job] = /\b(job_\d+_\d+)\b/.exec(stderr) ?? [];
    assert.match(lab.hadoop("job", "-status", job ?? stderr), /Job state: KILLED/);
    assert.doesNotMatch(listed("/results"), /interrupted|\.sheaf/);
    // What earlier jobs have left in the cache stays, and nothing comes to it but the cache.
    const isNew = (path: string): boolean => !known.includes(path) && !/\.sheaf(?:\/cache.*)?$/.test(path);
    assert.deepEqual(listed("/user").trim().split("\n").filter(isNew), []);
    await until("the task programs to end", () => programs().length === 0);
  });

  test("a job that somebody else ends is a failure, and leaves nothing", async (t) => {
    const { bench, input } = inputOf(t);
    const result = await onYarn(bench, endless(bench), {
      inputs: [input],
      output: "hdfs:///results/killed",
      onEvent: (event) => void (event.kind === "hosted" && lab.hadoop("job", "-kill", event.id)),
    });
    assert.equal(result.status, "FAILED");
    assert.match(result.error?.report ?? "", /stopped on hadoop, by somebody else/);
    assert.doesNotMatch(listed("/results"), /killed|\.sheaf/);
  });
});
