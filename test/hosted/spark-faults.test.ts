import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import { startSheaf } from "../cli/support.ts";
import { compileJava, hostedJar } from "../kit/jars.ts";
import { waitFor } from "../kit/wait.ts";
import { Bench } from "../runner/support.ts";
import {
  assertThrown,
  everything,
  held,
  inputsOf,
  lines,
  OnSpark,
  programsEnded,
  programsOf,
  sinceThrown,
  tasksHeld,
  threeSteps,
  throwing,
} from "./on-spark.ts";
import { sparkHome, sparkMissing, sparkVersions, type StandaloneLab, startStandalone } from "./spark-lab.ts";

/** By `npm run test:engines -- all`: minutes. */
const isAsked = process.env["SHEAF_TEST_ENGINES"] === "all";

for (const version of sparkVersions) {
  const skip = isAsked ? (sparkMissing(version) ?? false) : "only with npm run test:engines -- all";
  const conf = { "spark.sheaf.sharedFiles": "true" };

  describe(`a standalone cluster of Spark ${version}`, { skip, timeout: 3_600_000 }, () => {
    let lab: StandaloneLab;
    before(async () => void (lab = await startStandalone(version, 2)));
    after(() => lab.close());

    it("gives the bytes and the counters of one thread", async (t) => {
      const spark = new OnSpark(t, version, lab.master, everything, conf);
      await spark.same({ inputs: inputsOf(spark), mappers: 4 });
      assert.deepEqual(programsOf(spark), []);
    });

    it("takes the first attempt to be done where Spark speculates", async (t) => {
      const spark = new OnSpark(t, version, lab.master, held, {
        ...conf,
        "spark.speculation": "true",
        "spark.speculation.interval": "200ms",
        "spark.speculation.multiplier": "1.5",
        "spark.speculation.quantile": "0.25",
      });
      // The first map never ends by itself: without the attempt beside it, neither would the job.
      const params = { place: spark.bench.root, holds: "map", once: "yes" };
      await spark.same({ inputs: inputsOf(spark), mappers: 4, params }, { holds: "" });
      assert.ok(existsSync(join(spark.bench.root, "once")));
      assert.deepEqual(programsOf(spark), []);
    });

    it("ends when it is cancelled, with nothing left", async (t) => {
      const spark = new OnSpark(t, version, lab.master, held, conf);
      const params = { place: spark.bench.root, holds: "map", once: "" };
      const cancel = new AbortController();
      const running = spark.run({ inputs: inputsOf(spark), mappers: 4, params, signal: cancel.signal });
      await tasksHeld(spark, 2);
      cancel.abort();
      assert.equal((await running).status, "CANCELLED");
      assert.deepEqual(readdirSync(join(spark.bench.output, "..")), []);
      await programsEnded(spark);
    });

    it("tells the line, the record and its place when a map throws", async (t) => {
      const spark = new OnSpark(t, version, lab.master, throwing, conf);
      const inputs = spark.bench.file("in.txt", "bad\nworse\n");
      const log = join(spark.bench.root, "log");
      assertThrown(await spark.run({ inputs, attempts: 2, params: { log } }), 2);
      t.diagnostic(`told ${sinceThrown(log)} ms after the last attempt threw`);
      assert.deepEqual(readdirSync(join(spark.bench.output, "..")), []);
      await programsEnded(spark);
    });

    it("is exact when a task program is killed", async (t) => {
      const spark = new OnSpark(t, version, lab.master, held, conf);
      const params = { place: spark.bench.root, holds: "map", once: "" };
      const running = spark.same({ inputs: inputsOf(spark), mappers: 4, params }, { holds: "" });
      const [first] = await tasksHeld(spark, 2);
      process.kill(first!.pid, "SIGKILL");
      writeFileSync(join(spark.bench.root, "go"), "");
      await running;
      const warned = spark.bench.of("warning").map(({ message }) => message);
      assert.match(warned.join("\n"), /map-0000\d failed and is tried again: .*was ended by signal 9/);
      await programsEnded(spark);
    });

    it("is exact when an executor is killed while it reduces", async (t) => {
      const spark = new OnSpark(t, version, lab.master, held, conf);
      const params = { place: spark.bench.root, holds: "reduce", once: "" };
      const running = spark.same({ inputs: inputsOf(spark), mappers: 4, params }, { holds: "" });
      const [first] = await executorsHeld(spark, 2);
      process.kill(first!, "SIGKILL");
      writeFileSync(join(spark.bench.root, "go"), "");
      await running;
      await programsEnded(spark);
    });

    it("has one application for a pipeline, also when an executor is killed in its second step", async (t) => {
      const spark = new OnSpark(t, version, lab.master, threeSteps, conf);
      const inputs = spark.bench.file("in.txt", lines(400));
      const params = { place: spark.bench.root, holds: "reduce" };
      const options = { inputs: [`words=${inputs}`, `lengths=${inputs}`], mappers: 2, partitions: 2 };
      // Here nothing holds: it would be taken for a task program, and waited for.
      const running = spark.samePipeline({ ...options, params }, 1, { holds: "" });
      const [first] = await executorsHeld(spark, 1);
      process.kill(first!, "SIGKILL");
      writeFileSync(join(spark.bench.root, "go"), "");
      await running;
      await programsEnded(spark);
    });

    it("tells what the second step of a pipeline throws, and goes on from there", async (t) => {
      const spark = new OnSpark(t, version, lab.master, threeSteps, conf);
      const inputs = spark.bench.file("in.txt", lines(400));
      const options = { inputs: [`words=${inputs}`, `lengths=${inputs}`], attempts: 2 };
      const { status, error, jobId } = await spark.runAsUsers({ ...options, params: { fails: "yes" } });
      assert.equal(status, "FAILED");
      assert.equal(error?.code, "USER_CODE");
      assert.match(error.report, /step ranked: [\s\S]*RangeError: never w16[\s\S]*job\.ts:35/);
      assert.match(error.report, new RegExp(`sheaf resume ${jobId}`));
      assert.equal(new Set(spark.bench.of("hosted").map(({ id }) => id)).size, 1);
      await programsEnded(spark);
    });

    it("ends the application with a pipeline that is cancelled", async (t) => {
      const spark = new OnSpark(t, version, lab.master, threeSteps, conf);
      const inputs = spark.bench.file("in.txt", lines(400));
      const options = { inputs: [`words=${inputs}`, `lengths=${inputs}`], mappers: 2 };
      const params = { place: spark.bench.root, holds: "map" };
      const cancel = new AbortController();
      const running = spark.runAsUsers({ ...options, params, signal: cancel.signal });
      await tasksHeld(spark, 1);
      cancel.abort();
      assert.equal((await running).status, "CANCELLED");
      await programsEnded(spark);
    });

    it("is exact when a worker is lost after the maps, with what they have written", async (t) => {
      const spark = new OnSpark(t, version, lab.master, held, conf);
      const params = { place: spark.bench.root, holds: "reduce", once: "" };
      const running = spark.same({ inputs: inputsOf(spark), mappers: 4, params }, { holds: "" });
      await executorsHeld(spark, 2);
      lab.workers[0]!.kill("SIGKILL");
      writeFileSync(join(spark.bench.root, "go"), "");
      await running;
      await programsEnded(spark);
    });
  });

  describe(`the commit of an output on Spark ${version}`, { skip, timeout: 1_800_000 }, () => {
    /** Its commit fails so many times, at this place; the file has a letter for each. */
    function committing(t: TestContext, fails: string, times: number): { spark: OnSpark; log: string } {
      const bench = new Bench(t);
      const log = bench.file("commits", "");
      const classes = compileJava("hosted/CommitLab.java", [join(sparkHome(version), "jars")]);
      const jar = join(bench.root, "commit-lab.jar");
      execFileSync("jar", ["--create", "--file", jar, "-C", classes, "."]);
      const spark = new OnSpark(t, version, "local[2,4]", held, {
        "spark.jars": jar,
        "spark.hadoop.mapred.output.committer.class": "CommitLab",
        "spark.hadoop.lab.fails": fails,
        "spark.hadoop.lab.times": String(times),
        "spark.hadoop.lab.log": log,
      });
      return { spark, log };
    }

    for (const [fails, times] of [
      ["before", 3],
      ["after", 1],
    ] as const) {
      it(`is made by another attempt when that of a task fails ${times === 1 ? "once" : `${times} times`} (${fails} it is done)`, async (t) => {
        const { spark, log } = committing(t, fails, times);
        await spark.same({ inputs: inputsOf(spark), mappers: 4, attempts: 4 });
        assert.equal(readFileSync(log, "utf8"), "x".repeat(times));
        const warned = spark.bench.of("warning").map(({ message }) => message);
        assert.equal(warned.filter((one) => one.includes("no space left for the commit")).length, times);
        assert.deepEqual(programsOf(spark), []);
      });
    }

    for (const [fails, times] of [
      ["before", 4],
      ["job", 1],
    ] as const) {
      it(`leaves nothing when it fails in each attempt (${fails})`, async (t) => {
        const { spark, log } = committing(t, fails, times);
        const { status, error } = await spark.run({ inputs: inputsOf(spark), mappers: 4, attempts: 4 });
        assert.equal(status, "FAILED");
        assert.match(error?.report ?? "", new RegExp(`no space left for the commit of ${fails}`));
        assert.equal(readFileSync(log, "utf8"), "x".repeat(times));
        if (fails !== "job") assert.match(error!.report, /^reduce-00001 failed \(attempt 4\)/);
        assert.deepEqual(readdirSync(join(spark.bench.output, "..")), []);
        assert.deepEqual(programsOf(spark), []);
      });
    }
  });

  describe(`a command whose job runs on Spark ${version}`, { skip, timeout: 1_800_000 }, () => {
    for (const signal of ["SIGINT", "SIGKILL"] as const) {
      it(`leaves no task program behind when ${signal} ends it`, async (t) => {
        hostedJar();
        const spark = new OnSpark(t, version, "local[2]", held);
        const { bench, file } = spark;
        const words = ["run", file, inputsOf(spark)[0]!, "-o", bench.output, "--on", "spark"];
        words.push(
          "--master",
          "local[2]",
          "--mappers",
          "2",
          "--set",
          `place=${bench.root}`,
          "--set",
          "holds=map",
        );
        const env = { SPARK_HOME: sparkHome(version), SHEAF_STATE: bench.state };
        const { child, done } = startSheaf(words, { env, timeoutMs: 900_000 });
        await tasksHeld(spark, 2);
        child.kill(signal);
        const ended = await done;
        assert.notEqual(ended.code, 0);
        await programsEnded(spark);
        // What is removed when nothing is left to do so, is not.
        if (signal === "SIGINT") assert.deepEqual(readdirSync(join(bench.output, "..")), []);
      });
    }
  });
}

/** Process ids of executors whose tasks wait, as soon as there are so many. */
function executorsHeld(spark: OnSpark, wanted: number): Promise<number[]> {
  return waitFor(
    `${wanted} executors`,
    async () => {
      const all = [...new Set((await tasksHeld(spark, wanted)).map(({ executor }) => executor))];
      return all.length >= wanted ? all : undefined;
    },
    900_000,
  );
}
