import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { suite, test, type TestContext } from "node:test";
import type { HostedRunOptions } from "#src/engine/options.js";
import type { RunResult } from "#src/engine/run-result.js";
import { setStoreAccess } from "#src/storage/stores.js";
import { hostedJar, javaMissing, onlyWithEngines } from "../kit/jars.ts";
import { waitFor } from "../kit/wait.ts";
import { smallContainers } from "./hadoop-lab.ts";
import { asAsked, filesOf, lines, OnSpark } from "./on-spark.ts";
import { sparkHome, sparkMissing, sparkVersions } from "./spark-lab.ts";
import { type Machine, type Machines, startMachines } from "./yarn-machines.ts";

const skip =
  onlyWithEngines("A MACHINE LOST") ??
  javaMissing("A MACHINE LOST", "cluster", "streaming", "hosted") ??
  false;

/** An application master gives a machine up so soon, and not after three minutes for each phase. */
const conf = { ...smallContainers, "yarn.client.nodemanager-connect.max-wait-ms": "5000" };

/** Tasks of both phases say that they run, and wait until those of their phase may go on. */
const gated = `
  import { existsSync, writeFileSync } from "node:fs";
  import { join } from "node:path";
  import { job, sum, text, tsv } from "sheaf";
  const look = new Int32Array(new SharedArrayBuffer(4));
  let isOpen = false;
  function gate(phase, { place }) {
    if (isOpen || place === "") return;
    isOpen = true;
    writeFileSync(join(place, phase + "-" + process.pid), "");
    while (!existsSync(join(place, "go-" + phase))) Atomics.wait(look, 0, 0, 20);
  }
  export default job({
    input: text(),
    params: { place: "" },
    collections: {
      words: {
        partitions: 4,
        output: tsv(),
        reduce(word, ones, ctx) {
          gate("reduce", ctx.params);
          ctx.count("words");
          let sum = 0;
          for (const one of ones) sum += one;
          return sum;
        },
      },
      lines: { output: tsv() },
    },
    map(line, emit, ctx) {
      gate("map", ctx.params);
      ctx.count("lines");
      for (const word of line.split(" ")) emit.words(word, 1);
      emit.lines(line, ctx.offset);
    },
  });`;

suite("a machine of YARN's is lost with what its maps have written", { skip, timeout: 3_600_000 }, () => {
  /** Two machines for a test. The environment is that of their clients, until it is over. */
  async function twoMachines(t: TestContext): Promise<Machines> {
    hostedJar();
    const lab = await startMachines(2);
    const former = { ...process.env };
    Object.assign(process.env, lab.lab.env);
    setStoreAccess({ env: process.env, fetch: null });
    t.after(async () => {
      for (const name of Object.keys(lab.lab.env)) delete process.env[name];
      Object.assign(process.env, former);
      setStoreAccess({ env: process.env, fetch: null });
      await lab.close();
    });
    return lab;
  }

  function begun({ bench }: OnSpark, phase: string): string[] {
    return readdirSync(bench.root).filter((name) => name.startsWith(`${phase}-`));
  }

  /**
   * Loses a machine when so many tasks of each phase have run at one time: both machines have some.
   * @returns what the run comes to
   */
  async function losing(
    on: OnSpark,
    running: Promise<RunResult>,
    atOnce: number,
    which: () => Machine,
  ): Promise<RunResult> {
    let isOver = false;
    const over = running.finally(() => void (isOver = true));
    const go = (phase: string): void => writeFileSync(join(on.bench.root, `go-${phase}`), "");
    const wait = (phase: string): Promise<unknown> =>
      waitFor(`${atOnce} tasks`, () => isOver || begun(on, phase).length >= atOnce || undefined, 900_000);
    await wait("map");
    go("map");
    await wait("reduce");
    if (!isOver) await which().lose();
    go("reduce");
    return await over;
  }

  /** Whatever lies there, but for checksums of Hadoop's. */
  function namesBelow(output: string): string[] {
    const names = readdirSync(output, { recursive: true, encoding: "utf8" }).sort();
    return names.filter((name) => !basename(name).startsWith("."));
  }

  const inputsOf = ({ bench }: OnSpark): string[] =>
    [1, 2, 3, 4].map((n) => bench.file(`in/${n}.txt`, lines(500, n * 100)));

  for (const [what, isMasters] of [
    ["one without the application master", false],
    ["that of the application master", true],
  ] as const) {
    test(`Hadoop, ${what}: the bytes and counters of one thread`, async (t) => {
      const { lab, machines } = await twoMachines(t);
      const on = new OnSpark(t, "3.5.8", "", gated);
      const [output, inputs] = ["hdfs:///results/out", inputsOf(on)];
      const options: Partial<HostedRunOptions> = { inputs, mappers: 4, attempts: 2 };
      const running = asAsked(on.file, {
        ...options,
        on: "hadoop",
        conf,
        output,
        speculation: false,
        params: { place: on.bench.root },
        stateDirectory: on.bench.state,
        onEvent: (event) => void on.bench.events.push(event),
      });
      const result = await losing(on, running, 4, () =>
        machines.find((one) => one.runs("MRAppMaster") === isMasters)!,
      );
      for (const event of on.bench.events) if (event.kind === "warning") t.diagnostic(event.message);
      result.throwIfFailed();
      const wanted = await on.inline({ ...options, params: { place: "" } });
      assert.deepEqual(result.counters, wanted.counters);
      lab.hadoop("fs", "-get", output, on.bench.output);
      assert.deepEqual(filesOf(on.bench.output), filesOf(on.here));
      assert.deepEqual(namesBelow(on.bench.output), namesBelow(on.here));
      // Maps whose outputs were gone have run again.
      assert.ok(begun(on, "map").length > 4);
      assert.deepEqual(lab.hadoop("fs", "-ls", "-C", "/results").trim(), "/results/out");
    });
  }

  for (const version of sparkVersions) {
    test(
      `Spark ${version}: the bytes and counters of one thread`,
      { skip: sparkMissing(version) ?? false },
      async (t) => {
        const { machines } = await twoMachines(t);
        const on = new OnSpark(t, version, "yarn", gated, {
          "spark.yarn.jars": `local:${sparkHome(version)}/jars/*`,
          "spark.executor.instances": "2",
          "spark.yarn.am.memory": "512m",
        });
        const options = { inputs: inputsOf(on), mappers: 4 };
        const running = on.runAsUsers({ ...options, params: { place: on.bench.root } });
        const result = await losing(on, running, 2, () =>
          machines.find((one) => !one.runs("ExecutorLauncher"))!,
        );
        result.throwIfFailed();
        const wanted = await on.inline({ ...options, params: { place: "" } });
        assert.deepEqual(result.counters, wanted.counters);
        assert.deepEqual(filesOf(on.bench.output), filesOf(on.here));
        assert.deepEqual(namesBelow(on.bench.output), namesBelow(on.here));
        assert.ok(begun(on, "map").length > 4);
      },
    );
  }
});
