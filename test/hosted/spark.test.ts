import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setStoreAccess } from "#src/storage/stores.js";
import { BUCKET, s3Missing, type S3Server, startS3 } from "../storage/s3-server.ts";
import {
  assertThrown,
  everything,
  filesOf,
  inputsOf,
  lines,
  OnSpark,
  programsOf,
  threeSteps,
  throwing,
} from "./on-spark.ts";
import { sparkMissing } from "./spark-lab.ts";

/** Attempts that fail leave a file each, since a task cannot tell which attempt it is. */
const flaky = `
  import { appendFileSync, readFileSync } from "node:fs";
  import { job, sum, text } from "sheaf";
  let tried = false;
  export default job({
    input: text(),
    params: { log: "" },
    partitions: 2,
    map(line, emit, ctx) {
      ctx.count("lines");
      if (line === "flaky" && ctx.params.log !== "" && !tried) {
        tried = true;
        appendFileSync(ctx.params.log, "x");
        if (readFileSync(ctx.params.log, "utf8").length <= 2) throw new Error("not yet");
      }
      emit(line.slice(0, 2), 1);
    },
    reduce: sum(),
  });`;

for (const [version, master] of [
  ["3.5.8", "local[2,4]"],
  ["3.5.8", "local-cluster[2,1,512]"],
  ["4.3.0", "local[2,4]"],
  ["4.3.0", "local-cluster[2,1,512]"],
] as const) {
  const skip = sparkMissing(version) ?? false;
  describe(`Spark ${version}, ${master}`, { skip, timeout: 600_000 }, () => {
    it("gives the bytes and the counters of one thread", async (t) => {
      const spark = new OnSpark(t, version, master, everything);
      const result = await spark.same({ inputs: inputsOf(spark), mappers: 4 });
      assert.ok(Object.keys(result.counters).length > 10);
      assert.equal(spark.bench.of("hosted").length, 1);
    });

    it("runs all steps of a pipeline as one application", async (t) => {
      const spark = new OnSpark(t, version, master, threeSteps);
      const inputs = spark.bench.file("in.txt", lines(400));
      await spark.samePipeline({ inputs: [`words=${inputs}`, `lengths=${inputs}`], mappers: 2 }, 1);
      // What is printed is the step's that has printed it.
      const logs = spark.bench.of("log").map(({ step, text }) => `${step}: ${text}`);
      const saw = logs.filter((line) => line.endsWith(" saw w16"));
      if (master === "local[2,4]") assert.equal(saw.length, 2 * 23);
      assert.deepEqual(
        saw.filter((line) => !/^(\w+): \1 saw/.test(line)),
        [],
      );
    });

    if (master !== "local[2,4]") return;
    it("tells of a task that fails twice, and ends as if it had not", async (t) => {
      const spark = new OnSpark(t, version, master, flaky);
      const inputs = spark.bench.file("in.txt", "a\nb\nflaky\nb\n");
      const log = spark.bench.file("log", "");
      const result = await spark.run({ inputs, params: { log }, attempts: 4 });
      result.throwIfFailed();
      assert.deepEqual([...spark.bench.lines()].sort(), ["a\t1", "b\t2", "fl\t1"]);
      assert.equal(result.counters["lines"], 4);
      const warned = spark.bench.of("warning").map(({ message }) => message);
      assert.equal(
        warned.filter((one) => /map-00000 failed and is tried again: .*not yet/.test(one)).length,
        2,
      );
    });

    it("ends a map that hangs, and tells with the second attempt at which record", async (t) => {
      const hangs = throwing.replace("price({});", "for (;;);");
      const spark = new OnSpark(t, version, "local[2]", hangs);
      const inputs = spark.bench.file("in.txt", "bad\nworse\n");
      const params = { log: join(spark.bench.root, "log") };
      const { status, error } = await spark.run({ inputs, params, attempts: 2, noProgressMs: 2_000 });
      assert.equal(status, "FAILED");
      assert.equal(error?.code, "NO_PROGRESS");
      assert.match(
        error.report,
        /^map-00000 failed \(attempt 2\): map-00000 finished no record for \d{4} ms/,
      );
      assert.match(error.report, /in\.txt:4 \(byte offset\)/);
      assert.match(error.hint ?? "", /raise --no-progress-timeout/);
      assert.deepEqual(readdirSync(join(spark.bench.output, "..")), []);
      assert.deepEqual(programsOf(spark), []);
    });

    if (version !== "3.5.8") return;
    it("ends with the place in the source, the record and its place, when a map throws", async (t) => {
      const spark = new OnSpark(t, version, "local[2,1]", throwing);
      const inputs = spark.bench.file("in.txt", "bad\nworse\n");
      assertThrown(await spark.run({ inputs, params: { log: join(spark.bench.root, "log") } }), 1);
      assert.ok(spark.bench.of("log").some(({ text }) => text.includes("saw bad")));
      assert.equal(existsSync(spark.bench.output), false);
      assert.deepEqual(readdirSync(join(spark.bench.output, "..")), []);
      assert.deepEqual(programsOf(spark), []);
    });

    it("makes the empty output of an empty input", async (t) => {
      const spark = new OnSpark(t, version, master, everything);
      await spark.same({ inputs: spark.bench.file("in.txt", "") });
    });
  });
}

describe(
  "addresses of s3a:// on Spark",
  { skip: sparkMissing("4.3.0") ?? s3Missing() ?? false, timeout: 900_000 },
  () => {
    let s3: S3Server;
    const former = { ...process.env };
    before(async () => {
      s3 = await startS3();
      Object.assign(process.env, s3.env());
      setStoreAccess({ env: process.env, fetch: null });
    });
    after(async () => {
      for (const name of Object.keys(s3.env())) delete process.env[name];
      Object.assign(process.env, former);
      setStoreAccess({ env: process.env, fetch: null });
      await s3.close();
    });

    // Tasks read by sheaf's own client: of Hadoop's (hadoop-aws) nothing is there.
    it("are read and written as those of s3://, with the bytes and the counters of one thread", async (t) => {
      const spark = new OnSpark(t, "4.3.0", "local[2,4]", everything);
      const paths = inputsOf(spark);
      for (const path of paths) await s3.put(path.slice(path.indexOf("/in/") + 1), readFileSync(path));
      const result = await spark.run({
        inputs: `s3a://${BUCKET}/in/*`,
        output: `s3a://${BUCKET}/out`,
        mappers: 4,
      });
      result.throwIfFailed();
      const inline = await spark.inline({ inputs: paths, mappers: 4 });
      assert.deepEqual(result.counters, inline.counters);
      const wanted = filesOf(spark.here);
      const keys = await s3.keys("");
      assert.deepEqual(
        keys.filter((key) => !key.startsWith("in/")),
        Object.keys(wanted).map((name) => `out/${name}`),
      );
      for (const [name, content] of Object.entries(wanted).filter(([one]) => one !== "_SUCCESS"))
        assert.equal((await s3.get(`out/${name}`)).toString("latin1"), content, name);
      assert.deepEqual(await s3.uploads(), []);
      assert.deepEqual(programsOf(spark), []);
      const again = await spark.run({
        inputs: join(spark.bench.root, "in/a.txt"),
        output: `s3a://${BUCKET}/out`,
      });
      assert.equal(again.error?.code, "OUTPUT_EXISTS");
    });
  },
);
