import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { waitFor } from "../kit/wait.ts";
import { everything, inputsOf, OnSpark, programsOf } from "./on-spark.ts";
import { sparkMissing, sparkVersions, type StandaloneLab, startStandalone } from "./spark-lab.ts";

/**
 * Tasks of the phase that is asked for say that they run, and which executor has started them, and wait until
 * they may go on. With `once` only the first one does, and it waits until it is ended.
 */
const held = `
  import { existsSync, writeFileSync } from "node:fs";
  import { join } from "node:path";
  import { job, text } from "sheaf";
  const seen = new Set();
  const look = new Int32Array(new SharedArrayBuffer(4));
  function hold(phase, { place, holds, once }) {
    if (holds !== phase || seen.has(phase)) return;
    seen.add(phase);
    const name = once === "yes" ? "once" : "program-" + process.pid;
    try {
      writeFileSync(join(place, name), String(process.ppid), { flag: "wx" });
    } catch {
      return;
    }
    while (!existsSync(join(place, "go"))) Atomics.wait(look, 0, 0, 20);
  }
  export default job({
    input: text(),
    params: { place: "", holds: "", once: "" },
    partitions: 4,
    map(line, emit, ctx) {
      hold("map", ctx.params);
      ctx.count("lines");
      for (const word of line.split(" ")) emit(word.slice(0, 20), 1);
    },
    reduce(word, ones, ctx) {
      hold("reduce", ctx.params);
      ctx.count("words");
      let sum = 0;
      for (const one of ones) sum += one;
      return sum;
    },
  });`;

const patience = 240_000;
/** By `npm run test:engines -- all`: minutes. */
const isAsked = process.env["SHEAF_TEST_ENGINES"] === "all";

for (const version of sparkVersions) {
  const skip = isAsked ? (sparkMissing(version) ?? false) : "only with npm run test:engines -- all";
  const conf = { "spark.sheaf.sharedFiles": "true" };

  describe(`a standalone cluster of Spark ${version}`, { skip, timeout: 1_200_000 }, () => {
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
      await executors(spark, 1);
      cancel.abort();
      assert.equal((await running).status, "CANCELLED");
      assert.deepEqual(readdirSync(join(spark.bench.output, "..")), []);
      await waitFor("the programs to end", () => (programsOf(spark).length === 0 ? true : undefined));
    });

    it("is exact when an executor is killed while it reduces", async (t) => {
      const spark = new OnSpark(t, version, lab.master, held, conf);
      const params = { place: spark.bench.root, holds: "reduce", once: "" };
      const running = spark.same({ inputs: inputsOf(spark), mappers: 4, params }, { holds: "" });
      const [first] = await executors(spark, 2);
      process.kill(first!, "SIGKILL");
      writeFileSync(join(spark.bench.root, "go"), "");
      await running;
      await waitFor("the programs to end", () => (programsOf(spark).length === 0 ? true : undefined));
    });

    it("is exact when a worker is lost after the maps, with what they have written", async (t) => {
      const spark = new OnSpark(t, version, lab.master, held, conf);
      const params = { place: spark.bench.root, holds: "reduce", once: "" };
      const running = spark.same({ inputs: inputsOf(spark), mappers: 4, params }, { holds: "" });
      await executors(spark, 2);
      lab.workers[0]!.kill("SIGKILL");
      writeFileSync(join(spark.bench.root, "go"), "");
      await running;
      await waitFor("the programs to end", () => (programsOf(spark).length === 0 ? true : undefined));
    });
  });
}

/** Process ids of the executors whose tasks wait, as soon as there are so many. */
function executors({ bench }: OnSpark, wanted: number): Promise<number[]> {
  return waitFor(
    `${wanted} tasks`,
    () => {
      const names = readdirSync(bench.root).filter((name) => name.startsWith("program-"));
      const pids = names.map((name) => Number(readFileSync(join(bench.root, name), "utf8")));
      const all = [...new Set(pids.filter((pid) => pid > 0))];
      return all.length >= wanted ? all : undefined;
    },
    patience,
  );
}
