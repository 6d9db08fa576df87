import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import type { HostedRunOptions, RunOptions } from "#src/engine/options.js";
import type { RunResult } from "#src/engine/run-result.js";
import { runOnEngine } from "#src/hosted/hosted-run.js";
import { sparkEngine } from "#src/hosted/spark/spark-engine.js";
import { runnerFitFor } from "#src/pipeline/detect.js";
import { runJob } from "#src/runner/run.js";
import { runnerAsked } from "#src/runners/runners.js";
import { hostedJar } from "../kit/jars.ts";
import { until, waitFor } from "../kit/wait.ts";
import { Bench } from "../runner/support.ts";
import { small, sparkEnv, type SparkVersion } from "./spark-lab.ts";

/** Until tasks of an application wait, which may have to have an executor first. */
const patienceMs = 900_000;

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

/**
 * Tasks of the phase that is asked for say that they run, and which executor has started them, and wait until
 * they may go on. With `once` only the first one does, and it waits until it is ended.
 */
export const held = `
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

/** Two steps that run at one time, and a step that reads one of them, as long as `holds` lets it. */
export const threeSteps = `
  import { existsSync, writeFileSync } from "node:fs";
  import { join } from "node:path";
  import { from, job, pipeline, sum, text } from "sheaf";
  const look = new Int32Array(new SharedArrayBuffer(4));
  let isHeld = false;
  function hold(phase, { place, holds }) {
    if (holds !== phase || isHeld) return;
    isHeld = true;
    writeFileSync(join(place, "program-" + process.pid), String(process.ppid));
    while (!existsSync(join(place, "go"))) Atomics.wait(look, 0, 0, 20);
  }
  const words = job({
    input: text(),
    map(line, emit, ctx) {
      ctx.count("lines");
      if (line.startsWith("w16")) console.log("words saw w16");
      for (const word of line.split(" ")) emit(word.slice(0, 20), 1);
    },
    reduce: sum(),
  });
  const lengths = job({
    input: text(),
    map(line, emit, ctx) {
      if (line.startsWith("w16")) console.log("lengths saw w16");
      emit(line.length, new Uint8Array([0, 10, 255]));
    },
    reduce: (length, all) => [...all].length,
  });
  const ranked = job({
    input: from(words),
    params: { place: "", holds: "", fails: "" },
    map([word, times], emit, ctx) {
      hold("map", ctx.params);
      if (ctx.params.fails !== "" && word === "w16") throw new RangeError("never w16");
      emit([-times, word], 1);
    },
    reduce([times], all, ctx) {
      hold("reduce", ctx.params);
      return [...all].length;
    },
  });
  export default pipeline({ words, lengths, ranked });`;

/** When a line is "worse", its map throws, and has said when in a file. */
export const throwing = `
  import { writeFileSync } from "node:fs";
  import { job, sum, text } from "sheaf";
  interface Order { readonly amount?: { readonly cents: number } }
  const price = (order: Order): number => order.amount!.cents;
  export default job({
    input: text(),
    params: { log: "" },
    map(line, emit, ctx) {
      console.log("saw", line);
      if (line === "worse") {
        writeFileSync(ctx.params.log, String(Date.now()));
        price({});
      }
      emit(line, 1);
    },
    reduce: sum(),
  });`;

/** Fails unless a run of `throwing` tells what was thrown, in which attempt, where, and at which record. */
export function assertThrown({ status, error }: RunResult, attempt: number): void {
  assert.equal(status, "FAILED");
  assert.equal(error?.code, "USER_CODE");
  assert.equal(error.task, "map-00000");
  assert.match(error.report, /TypeError: Cannot read properties of undefined \(reading 'cents'\)/);
  assert.match(error.report, new RegExp(`^map-00000 failed \\(attempt ${attempt}\\): `));
  assert.match(error.report, /job\.ts:5:\d+/);
  assert.match(error.report, /in\.txt:4 \(byte offset\)/);
  assert.match(error.report, /record\s+worse/);
}

/** How long ago the last attempt of `throwing` threw, milliseconds. */
export function sinceThrown(log: string): number {
  return Date.now() - Number(readFileSync(log, "utf8"));
}

/** Runs of one job on a Spark. */
export class OnSpark {
  readonly bench: Bench;
  readonly file: string;
  /** The output of `inline`. */
  readonly here: string;
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
    this.here = join(this.bench.root, "here");
  }

  #all(options: Partial<HostedRunOptions>): HostedRunOptions {
    return {
      on: "spark",
      master: this.#master,
      conf: this.#conf,
      output: this.bench.output,
      stateDirectory: this.bench.state,
      onEvent: (event) => void this.bench.events.push(event),
      ...options,
    };
  }

  /** Runs its file as users do. */
  async runAsUsers(options: Partial<HostedRunOptions>): Promise<RunResult> {
    const former = { ...process.env };
    const own = sparkEnv(this.#version);
    Object.assign(process.env, own);
    try {
      return await asAsked(this.file, this.#all(options));
    } finally {
      for (const name of Object.keys(own)) delete process.env[name];
      Object.assign(process.env, former);
    }
  }

  /**
   * The same, with the files and counters of one thread; all steps were one application, or one each.
   * @param params here, where they are to be others
   */
  async samePipeline(
    options: Partial<HostedRunOptions>,
    applications: number,
    params = options.params ?? {},
  ): Promise<RunResult> {
    const result = await this.runAsUsers(options);
    result.throwIfFailed();
    const { deployMode: _there, conf: _conf, ...rest } = options;
    const wanted = await asAsked(this.file, {
      ...rest,
      params,
      on: "inline",
      output: this.here,
      stateDirectory: null,
    });
    wanted.throwIfFailed();
    assert.deepEqual(filesOf(this.bench.output), filesOf(this.here));
    assert.deepEqual(result.counters, wanted.counters);
    assert.deepEqual(readdirSync(join(this.bench.output, "..")), ["out"]);
    const ids = this.bench.of("hosted").map(({ id }) => id);
    assert.equal(ids.length, result.steps.filter(({ kind }) => kind === "job").length);
    assert.equal(new Set(ids).size, applications, ids.join());
    assert.deepEqual(programsOf(this), []);
    return result;
  }

  async run(options: Partial<HostedRunOptions>): Promise<RunResult> {
    const all = this.#all(options);
    const env = { ...process.env, ...sparkEnv(this.#version) };
    return runOnEngine(this.file, all, sparkEngine(all, env));
  }

  /**
   * Runs it on Spark and in this thread: the same files and counters.
   * @param params here, where they are to be others
   */
  async same(options: Partial<HostedRunOptions>, params = options.params ?? {}): Promise<RunResult> {
    const result = await this.run(options);
    result.throwIfFailed();
    const wanted = await this.inline({ ...options, params });
    assert.deepEqual(filesOf(this.bench.output), filesOf(this.here));
    assert.deepEqual(result.counters, wanted.counters);
    const told = ({ stats }: RunResult): number[] => [stats.recordsIn, stats.emitted, stats.groups];
    assert.deepEqual(told(result), told(wanted));
    assert.deepEqual(readdirSync(join(this.bench.output, "..")), ["out"]);
    return result;
  }

  /** Runs it in this thread. Its output is `here`. */
  async inline({ deployMode: _there, ...options }: Partial<HostedRunOptions>): Promise<RunResult> {
    const result = await runJob(this.file, {
      ...options,
      on: "inline",
      output: this.here,
      stateDirectory: null,
    });
    result.throwIfFailed();
    return result;
  }
}

/** Runs a file as users do. */
export async function asAsked(file: string, options: RunOptions): Promise<RunResult> {
  const runner = await runnerFitFor(file, options, await runnerAsked(options));
  return runner.run(file, options);
}

/** Every file of an output, by name. */
export function filesOf(output: string): Record<string, string> {
  const names = readdirSync(output, { recursive: true, encoding: "utf8" }).sort();
  const isFile = (name: string): boolean => /part-[^/]*$|_SUCCESS$/.test(name);
  return Object.fromEntries(
    names.filter(isFile).map((name) => [name, readFileSync(join(output, name), "latin1")]),
  );
}

export function lines(count: number, from = 0): string {
  const numbers = Array.from({ length: count }, (_, i) => i);
  return numbers.map((i) => `w${(from + i) % 17} zwölf ${"x".repeat((from + i) % 7)} u${i % 5}\n`).join("");
}

export function inputsOf({ bench }: OnSpark): string[] {
  return [
    bench.file("in/a.txt", lines(3_000)),
    bench.file("in/b.txt.gz", gzipSync(lines(800, 100))),
    bench.file("in/c.txt", `a\tb\r\n${"long ".repeat(1_000_000)}u1\nlast u2`),
  ];
}

/** Task programs of a test's jobs, where they use the home of the job as it is. */
export function programsOf({ bench }: OnSpark): string[] {
  const { stdout } = spawnSync("ps", ["-eo", "args"], { encoding: "utf8" });
  return stdout.split("\n").filter((line) => line.includes(bench.root));
}

/** A task of a `held` job that waits, or has waited. */
export interface HeldProgram {
  readonly pid: number;
  readonly executor: number;
}

export function heldPrograms({ bench }: OnSpark): HeldProgram[] {
  const names = readdirSync(bench.root).filter((name) => name.startsWith("program-"));
  return names.flatMap((name) => {
    const executor = Number(readFileSync(join(bench.root, name), "utf8"));
    return executor > 0 ? [{ pid: Number(name.slice("program-".length)), executor }] : [];
  });
}

/** Resolves when so many tasks of a `held` job wait. */
export function tasksHeld(spark: OnSpark, wanted: number): Promise<HeldProgram[]> {
  const look = (): HeldProgram[] | undefined => {
    const found = heldPrograms(spark);
    return found.length >= wanted ? found : undefined;
  };
  return waitFor(`${wanted} tasks`, look, patienceMs);
}

/** Resolves when no task program runs any more, wherever it was started. */
export async function programsEnded(spark: OnSpark): Promise<void> {
  const held = heldPrograms(spark).map(({ pid }) => `/proc/${pid}`);
  await until("the task programs to end", () => programsOf(spark).length === 0 && !held.some(existsSync));
}
