import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "#src/base/clock.js";
import { seededRandom } from "#src/base/random.js";
import { MiB } from "#src/base/size.js";
import type { JobView } from "#src/protocol/job-view.js";
import { packageRoot } from "../cli/support.js";
import { lettersOf } from "../cluster/letters.js";
import { assertComplete, treeOf } from "../cluster/output-tree.js";
import type { OutputTree } from "../cluster/output-tree.js";
import { eventually } from "../cluster/real-cluster.js";
import type { Scene, Started } from "../cluster/scene.js";
import { Wires } from "../cluster/wires.js";
import type { FaultWorld } from "./fault-kinds.js";
import { Injector } from "./injector.js";
import { checkAttempts, checkJournal, checkLogs, checkNothingLeft, lookAtMemory } from "./invariants.js";
import type { MemoryPeaks } from "./invariants.js";

export interface ChaosOptions {
  /** Jobs are started for so long; the last one is waited for. */
  readonly ms: number;
  readonly seed: number;
  /** Text the jobs read, bytes. */
  readonly inputBytes: number;
  tell(line: string): void;
}

export interface ChaosReport {
  /** By kind of job and how it ended: "sort SUCCEEDED". */
  readonly jobs: Readonly<Record<string, number>>;
  readonly faults: Readonly<Record<string, number>>;
  readonly attempts: number;
  readonly attemptsAgain: number;
  readonly memory: MemoryPeaks;
}

interface JobKind {
  readonly name: string;
  readonly args: readonly string[];
  readonly expected: OutputTree;
  readonly counters: Readonly<Record<string, number>>;
}

const agents = 3;
const leaseMs = 4_000;
/** Longer than all faults of a job together take to be undone. */
const jobMsMax = 180_000;

/**
 * A coordinator and three agents run jobs one after another while faults come; after each job the invariants
 * are checked.
 * @throws AssertionError naming what broke; the directory is then kept and named
 */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { scene, wires } = await Wires.open({ agents, heartbeatMs: 1_000, leaseMs });
  const chaos = new Chaos(scene, wires, options);
  try {
    await chaos.run();
    await scene.cluster.end();
    rmSync(scene.cluster.root, { recursive: true, force: true, maxRetries: 3 });
    return chaos.report();
  } catch (error) {
    options.tell(`BROKEN after ${JSON.stringify(chaos.report())}`);
    options.tell(`kept: ${scene.cluster.root}`);
    await chaos.stop().catch(() => undefined);
    await scene.cluster.end().catch((more: unknown) => options.tell(String(more)));
    throw error;
  } finally {
    await wires.close();
  }
}

class Chaos {
  readonly #scene: Scene;
  readonly #options: ChaosOptions;
  readonly #world: FaultWorld;
  readonly #injector: Injector;
  readonly #jobs: Record<string, number> = {};
  readonly #memory: MemoryPeaks = { coordinator: 0, agent: 0, worker: 0 };
  readonly #begunMs = systemClock.nowMs();
  #attempts = 0;
  #attemptsAgain = 0;

  constructor(scene: Scene, wires: Wires, options: ChaosOptions) {
    this.#scene = scene;
    this.#options = options;
    const random = seededRandom(options.seed);
    this.#world = { cluster: scene.cluster, wires, agents, leaseMs, random };
    this.#injector = new Injector(this.#world, (line) => this.#tell(line));
  }

  async run(): Promise<void> {
    const kinds = await this.#kinds();
    const endMs = systemClock.nowMs() + this.#options.ms;
    for (let n = 0; systemClock.nowMs() < endMs; n++) await this.#one(kinds[n % kinds.length]!, n);
  }

  report(): ChaosReport {
    return {
      jobs: this.#jobs,
      faults: Object.fromEntries(this.#injector.counts),
      attempts: this.#attempts,
      attemptsAgain: this.#attemptsAgain,
      memory: this.#memory,
    };
  }

  /** Undoes what was injected. */
  async stop(): Promise<void> {
    await this.#injector.calm();
  }

  #tell(line: string): void {
    const seconds = ((systemClock.nowMs() - this.#begunMs) / 1_000).toFixed(1);
    this.#options.tell(`${seconds.padStart(7)} s  ${line}`);
  }

  async #kinds(): Promise<JobKind[]> {
    const size = `${this.#options.inputBytes}`;
    const text = await this.#scene.generated("text", size);
    const letters = this.#scene.path("letters.jsonl");
    writeFileSync(letters, lettersOf(readFileSync(text, "utf8")));
    const split = ["--split-size", String(Math.max(64 * 1024, Math.round(this.#options.inputBytes / 24)))];
    const jobs: readonly [name: string, file: string, ...args: string[]][] = [
      ["word count", "wordcount.ts", text, "-p", "5"],
      ["inverted index", "inverted-index.ts", text, "-p", "5"],
      ["sort", "sort.ts", text, "-p", "6"],
      ["collections", "collections.ts", letters],
    ];
    const kinds: JobKind[] = [];
    for (const [name, file, ...rest] of jobs) {
      const args = [join(packageRoot, "examples", file), ...rest, ...split];
      const expected = await this.#scene.oracle(args);
      const manifest = JSON.parse(this.#scene.readText("outputs", this.#scene.lastOutput, "_SUCCESS")) as {
        counters: Record<string, number>;
      };
      kinds.push({ name, args, expected, counters: manifest.counters });
    }
    this.#tell(`${kinds.length} kinds of jobs over ${Math.round(this.#options.inputBytes / MiB)} MiB`);
    return kinds;
  }

  async #one(kind: JobKind, n: number): Promise<void> {
    const { random, cluster } = this.#world;
    // What would be a failure of the job, or of nobody, must not end it.
    const more = ["--no-progress-timeout", "10s", ...(random.below(2) === 0 ? ["--no-shared"] : [])];
    const started = await this.#scene.start([...kind.args, ...more], { timeoutMs: jobMsMax });
    this.#tell(`job ${n}: ${kind.name}${more.includes("--no-shared") ? ", collected" : ""}`);
    const watch = setInterval(() => this.#guard(() => lookAtMemory(cluster, agents, this.#memory)), 200);
    this.#injector.begin();
    let result: Awaited<Started["running"]["done"]>;
    try {
      result = await started.running.done;
    } finally {
      clearInterval(watch);
      await this.#injector.calm();
    }
    if (this.#broken !== null) throw this.#broken;
    const id = await this.#idOf(n);
    await this.#check(kind, started, id, result.code, `${result.stdout}\n${result.stderr}`);
  }

  #broken: Error | null = null;

  #guard(look: () => void): void {
    try {
      look();
    } catch (error) {
      this.#broken ??= error as Error;
    }
  }

  /** Jobs are told newest first. */
  async #idOf(n: number): Promise<string> {
    const { jobs } = await this.#scene.cluster.get<{ jobs: { job: string }[] }>("/jobs?limit=10000");
    assert.equal(jobs.length, n + 1, "not one job for each submission");
    return jobs[0]!.job;
  }

  async #check(
    kind: JobKind,
    started: Started,
    id: string,
    code: number | null,
    said: string,
  ): Promise<void> {
    const { output } = started;
    const isEnded = async (): Promise<boolean> =>
      ["SUCCEEDED", "FAILED", "CANCELLED"].includes((await this.#scene.job(id)).state);
    await eventually(isEnded, jobMsMax, () => `the client has ended (${code}), ${id} has not: ${said}`);
    const view = await this.#scene.job(id);
    const attempts = await this.#scene.attempts(id);
    this.#tell(
      `${id} ${view.state} after ${Math.round(view.elapsedMs ?? 0)} ms, ${attempts.length} attempts`,
    );
    const ending = `${kind.name} ${view.state}`;
    this.#jobs[ending] = (this.#jobs[ending] ?? 0) + 1;
    this.#attempts += attempts.length;
    this.#attemptsAgain += attempts.length - view.mapTasks - view.reduceTasks;
    if (view.state === "SUCCEEDED") this.#checkOutput(kind, output, view, code, said);
    else this.#checkFailure(output, view, code, said);
    checkAttempts(attempts, view);
    await checkNothingLeft(this.#scene, agents);
    checkLogs(this.#scene.cluster);
    if (this.#world.random.below(2) === 0) await checkJournal(this.#scene, id);
    rmSync(output, { recursive: true, force: true });
  }

  #checkOutput(kind: JobKind, output: string, view: JobView, code: number | null, said: string): void {
    assert.equal(code, 0, `the job has succeeded, its client has not: ${said}`);
    assertComplete(output);
    assert.deepEqual(treeOf(output), kind.expected, "the output is another one than without faults");
    assert.deepEqual(view.counters, kind.counters, "the counters are others than without faults");
    this.#scene.assertNothingBeside(output, true);
  }

  /** So many losses may be too many for a job; then it must say why, and leave nothing. */
  #checkFailure(output: string, view: JobView, code: number | null, said: string): void {
    this.#tell(`${view.state}: ${view.error?.report ?? said}`);
    assert.equal(code, 1, said);
    assert.equal(view.state, "FAILED");
    assert.ok(view.error !== null && view.error.code !== "INTERNAL" && view.error.message !== "");
    this.#scene.assertNothingBeside(output, false);
  }
}
