import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import type { RunEvent } from "#src/engine/events.js";
import { setStoreAccess } from "#src/storage/stores.js";
import { javaMissing, onlyWithEngines } from "../kit/jars.ts";
import { type HadoopLab, yarnHadoop } from "./hadoop-lab.ts";
import {
  assertThrown,
  everything,
  filesOf,
  held,
  inputsOf,
  lines,
  OnSpark,
  programsEnded,
  sinceThrown,
  tasksHeld,
  threeSteps,
  throwing,
} from "./on-spark.ts";
import { sparkHome, sparkMissing, type SparkVersion, sparkVersions, startStandalone } from "./spark-lab.ts";

const skip =
  onlyWithEngines("SPARK ON YARN") ?? javaMissing("SPARK ON YARN", "cluster", "streaming", "hosted") ?? false;

/** Where tasks have no files of the machine that submits: all of a job comes to them as archives. */
suite("Spark with nothing but HDFS between its machines", { skip, timeout: 3_600_000 }, () => {
  let lab: HadoopLab;
  const former = { ...process.env };
  before(async () => {
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

  /** Small containers: two cores run all of this. Spark's own jars lie on every machine. */
  const yarn = (version: SparkVersion): Record<string, string> => ({
    "spark.yarn.jars": `local:${sparkHome(version)}/jars/*`,
    "spark.executor.instances": "2",
    "spark.yarn.am.memory": "512m",
    "spark.yarn.am.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
  });

  /** What Hadoop has of jobs, but for what the next ones need again. */
  const left = (): string[] => {
    const all = lab.hadoop("fs", "-ls", "-R", "-C", "/user", "/results").trim().split("\n");
    return all.filter(
      (path) => !/^\/user\/[^/]+(?:\/\.sheaf(?:\/cache(?:\/.*)?)?|\/\.sparkStaging)?$/.test(path),
    );
  };
  before(() => void lab.hadoop("fs", "-mkdir", "-p", "/results"));

  for (const version of sparkVersions) {
    const missing = sparkMissing(version) ?? false;
    for (const deployMode of ["client", "cluster"] as const) {
      test(
        `${version} on YARN, ${deployMode}: the bytes and counters of one thread`,
        { skip: missing },
        async (t) => {
          const spark = new OnSpark(t, version, "yarn", everything, yarn(version));
          await spark.same({ inputs: inputsOf(spark), mappers: 3, deployMode });
          assert.match(
            spark.bench
              .of("hosted")
              .map(({ id }) => id)
              .join(),
            /^application_\d+_\d+$/,
          );
          assert.deepEqual(left(), []);
        },
      );

      const applications = deployMode === "client" ? 1 : 3;
      test(
        `${version} on YARN, ${deployMode}: three steps of a pipeline, applications: ${applications}`,
        { skip: missing },
        async (t) => {
          const spark = new OnSpark(t, version, "yarn", threeSteps, yarn(version));
          const inputs = spark.bench.file("in.txt", lines(400));
          const named = [`words=${inputs}`, `lengths=${inputs}`];
          await spark.samePipeline({ inputs: named, mappers: 2, deployMode }, applications);
          assert.deepEqual(left(), []);
        },
      );

      test(`${version} on YARN, ${deployMode}: a map that throws is told`, { skip: missing }, async (t) => {
        const spark = new OnSpark(t, version, "yarn", throwing, yarn(version));
        const inputs = spark.bench.file("in.txt", "bad\nworse\n");
        const log = join(spark.bench.root, "log");
        assertThrown(await spark.run({ inputs, attempts: 2, params: { log }, deployMode }), 2);
        t.diagnostic(`told ${sinceThrown(log)} ms after the last attempt threw`);
        assert.deepEqual(left(), []);
      });

      test(
        `${version} on YARN, ${deployMode}: a cancelled run leaves nothing`,
        { skip: missing },
        async (t) => {
          const spark = new OnSpark(t, version, "yarn", held, yarn(version));
          const params = { place: spark.bench.root, holds: "map", once: "" };
          const cancel = new AbortController();
          const running = spark.run({
            inputs: inputsOf(spark),
            mappers: 3,
            params,
            signal: cancel.signal,
            deployMode,
          });
          await tasksHeld(spark, 1);
          cancel.abort();
          assert.equal((await running).status, "CANCELLED");
          await programsEnded(spark);
          assert.deepEqual(left(), []);
          assert.deepEqual(readdirSync(join(spark.bench.output, "..")), []);
        },
      );
    }

    test(
      `${version} on YARN: an output on HDFS is made there, and a driver there is heard`,
      { skip: missing },
      async (t) => {
        const spark = new OnSpark(t, version, "yarn", held, yarn(version));
        const output = `hdfs:///results/of-${version}`;
        const options = { inputs: inputsOf(spark), mappers: 3, output, deployMode: "cluster" } as const;
        // Reduces go on when it is known here that they have begun.
        const go = join(spark.bench.root, "go");
        const onEvent = (event: RunEvent): void =>
          void (event.kind === "phase-started" && event.phase === "reduce" && writeFileSync(go, ""));
        const params = { place: spark.bench.root, holds: "reduce", once: "" };
        (await spark.run({ ...options, params, onEvent })).throwIfFailed();
        const there = left().filter((path) => !path.startsWith(`/results/of-${version}`));
        assert.deepEqual(there, []);
        const fetched = join(spark.bench.root, "fetched");
        lab.hadoop("fs", "-get", output, fetched);
        await spark.inline(options);
        assert.deepEqual(filesOf(fetched), filesOf(spark.here));
        assert.equal((await spark.run(options)).error?.code, "OUTPUT_EXISTS");
        lab.hadoop("fs", "-rm", "-r", "-f", output);
      },
    );

    test(
      `${version} standalone, without shared files: the same bytes and counters`,
      { skip: missing },
      async (t) => {
        const standalone = await startStandalone(version, 2);
        try {
          const spark = new OnSpark(t, version, standalone.master, everything);
          await spark.same({ inputs: inputsOf(spark), mappers: 4 });
          assert.deepEqual(left(), []);
        } finally {
          await standalone.close();
        }
      },
    );
  }
});
