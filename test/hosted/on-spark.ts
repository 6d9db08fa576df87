import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import type { HostedRunOptions, RunResult } from "#src/engine/options.js";
import { runOnEngine } from "#src/hosted/hosted-run.js";
import { sparkEngine } from "#src/hosted/spark/spark-engine.js";
import { runJob } from "#src/runner/run.js";
import { hostedJar } from "../kit/jars.ts";
import { Bench } from "../runner/support.ts";
import { small, sparkHome, type SparkVersion } from "./spark-lab.ts";

/** What a job can have, in one: an application of Spark takes long to start. */
export const everything = `
  import { job, sum, text, tsv } from "sheaf";
  export default job({
    input: text(),
    collections: {
      // The last partition is never used.
      words: { reduce: sum(), partitions: 4, partition: (word, all) => word.length % (all - 1) },
      sessions: {
        groupBy: 1,
        partitions: 2,
        reduce: (user, times) => [...times].join(" "),
      },
      sorted: { order: "total", partitions: 3 },
      lines: { output: tsv() },
      bytes: { reduce: (key, parts) => [...parts].map((part) => part.length + ":" + part[1]).join() },
    },
    map(line, emit, ctx) {
      ctx.count("of " + (line.length % 200));
      const words = line.split(" ");
      for (const word of words.slice(0, 20)) {
        emit.words(word.slice(0, 50), 1);
        emit.sorted(word.slice(0, 50), line.length);
      }
      emit.sessions([words.at(-1).slice(0, 3), line.length], line.length);
      emit.lines(line.length, words[0].slice(0, 50));
      const bytes = line.length > 1000 ? Buffer.alloc(5_000_000, line) : new Uint8Array([0, 10, 13, 255]);
      emit.bytes(line.length % 3, bytes);
    },
  });`;

/** Runs of one job on a Spark. */
export class OnSpark {
  readonly bench: Bench;
  readonly file: string;
  readonly #version: SparkVersion;
  readonly #master: string;
  readonly #conf: Readonly<Record<string, string>>;

  /** @param conf besides the settings that keep it small */
  constructor(
    t: TestContext,
    version: SparkVersion,
    master: string,
    job: string,
    conf: Readonly<Record<string, string>> = {},
  ) {
    hostedJar();
    this.#conf = { ...small, ...conf };
    this.bench = new Bench(t);
    this.#version = version;
    this.#master = master;
    this.file = this.bench.file("job.ts", job);
  }

  async run(options: Partial<HostedRunOptions>): Promise<RunResult> {
    const all: HostedRunOptions = {
      on: "spark",
      master: this.#master,
      conf: this.#conf,
      output: this.bench.output,
      stateDirectory: this.bench.state,
      onEvent: (event) => void this.bench.events.push(event),
      ...options,
    };
    const env = { ...process.env, SPARK_HOME: sparkHome(this.#version) };
    return runOnEngine(this.file, all, sparkEngine(all, env));
  }

  /**
   * Runs it on Spark and in this thread: the same files and counters.
   * @param params here, where they are to be others
   */
  async same(options: Partial<HostedRunOptions>, params = options.params ?? {}): Promise<RunResult> {
    const result = await this.run(options);
    result.throwIfFailed();
    const here = join(this.bench.root, "here");
    const wanted = await runJob(this.file, {
      ...options,
      params,
      on: "inline",
      output: here,
      stateDirectory: null,
    });
    wanted.throwIfFailed();
    assert.deepEqual(filesOf(this.bench.output), filesOf(here));
    assert.deepEqual(result.counters, wanted.counters);
    const told = ({ stats }: RunResult): number[] => [stats.recordsIn, stats.emitted, stats.groups];
    assert.deepEqual(told(result), told(wanted));
    assert.deepEqual(readdirSync(join(this.bench.output, "..")), ["out"]);
    return result;
  }
}

/** Every file of an output, by name. */
export function filesOf(output: string): Record<string, string> {
  const names = readdirSync(output, { recursive: true, encoding: "utf8" }).sort();
  const isFile = (name: string): boolean => /part-[^/]*$|_SUCCESS$/.test(name);
  return Object.fromEntries(
    names.filter(isFile).map((name) => [name, readFileSync(join(output, name), "latin1")]),
  );
}

export function inputsOf({ bench }: OnSpark): string[] {
  const lines = (from: number, to: number): string =>
    Array.from(
      { length: to - from },
      (_, i) => `w${(from + i) % 17} zwölf ${"x".repeat((from + i) % 7)} u${i % 5}\n`,
    ).join("");
  return [
    bench.file("in/a.txt", lines(0, 3_000)),
    bench.file("in/b.txt.gz", gzipSync(lines(100, 900))),
    bench.file("in/c.txt", `a\tb\r\n${"long ".repeat(1_000_000)}u1\nlast u2`),
  ];
}

/** Task programs of a test's jobs. */
export function programsOf({ bench }: OnSpark): string[] {
  const { stdout } = spawnSync("ps", ["-eo", "args"], { encoding: "utf8" });
  return stdout.split("\n").filter((line) => line.includes(bench.root));
}
