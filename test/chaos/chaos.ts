import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { systemClock } from "#src/base/clock.js";
import { seededRandom } from "#src/base/random.js";
import { MiB } from "#src/base/size.js";
import type { JobSummary, JobView } from "#src/protocol/job-view.js";
import { packageRoot } from "../cli/support.js";
import type { RunningSheaf } from "../cli/support.js";
import { lettersOf } from "../cluster/letters.js";
import { assertComplete, treeOf } from "../cluster/output-tree.js";
import type { OutputTree } from "../cluster/output-tree.js";
import { eventually } from "../cluster/real-cluster.js";
import type { Scene, Started } from "../cluster/scene.js";
import { Wires } from "../cluster/wires.js";
import { damageKeptBlobs } from "./fault-kinds.js";
import type { FaultWorld } from "./fault-kinds.js";
import { hostileFile, hostileJobs } from "./hostile-jobs.js";
import type { HostileJob } from "./hostile-jobs.js";
import { Injector } from "./injector.js";
import { checkAttempts, checkJournal, checkLogs, checkNothingLeft, lookAtMemory } from "./invariants.js";
import type { MemoryPeaks } from "./invariants.js";
import { SmallDisk } from "./small-disk.js";

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

/** A hostile job that runs beside a good one. */
interface Hostile {
  readonly job: HostileJob;
  /** As jobs are named after their files. */
  readonly name: string;
  readonly output: string;
  readonly running: RunningSheaf;
}

const agents = 3;
/** Five of them are what a client may be silent for: storms take its turns from it, too. */
const heartbeatMs = 1_500;
const leaseMs = 6_000;
/** Longer than all faults of a job together take to be undone. */
const jobMsMax = 180_000;

/**
 * A coordinator and three agents run good jobs one after another, each beside a hostile one, while faults
 * come; after each pair the invariants are checked.
 * @throws AssertionError naming what broke; the directory is then kept and named
 */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  let disk: SmallDisk | null = null;
  const prepare = (state: string): void => {
    const made = SmallDisk.mount(state);
    if (typeof made === "string") options.tell(`no full disks: ${made}`);
    else disk = made;
  };
  const { scene, wires } = await Wires.open({ agents, heartbeatMs, leaseMs, prepare });
  const chaos = new Chaos(scene, wires, disk, options);
  try {
    await chaos.run();
    await scene.cluster.end();
    (disk as SmallDisk | null)?.unmount();
    rmSync(scene.cluster.root, { recursive: true, force: true, maxRetries: 3 });
    return chaos.report();
  } catch (error) {
    options.tell(`BROKEN after ${JSON.stringify(chaos.report())}`);
    options.tell(
      `kept: ${scene.cluster.root}${disk === null ? "" : " (unmount its coordinator/ before it is removed)"}`,
    );
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
  /** Jobs of earlier rounds; and hostile ones, whose logs may hold anything. */
  readonly #seen = new Set<string>();
  readonly #hostile = new Set<string>();
  #attempts = 0;
  #attemptsAgain = 0;
  #broken: Error | null = null;

  constructor(scene: Scene, wires: Wires, disk: SmallDisk | null, options: ChaosOptions) {
    this.#scene = scene;
    this.#options = options;
    const random = seededRandom(options.seed);
    const broken = (error: Error): void => void (this.#broken ??= error);
    const copied = new Set<number>();
    this.#world = { cluster: scene.cluster, wires, agents, leaseMs, random, disk, copied, broken };
    this.#injector = new Injector(this.#world, (line) => this.#tell(line));
  }

  async run(): Promise<void> {
    const kinds = await this.#kinds();
    const endMs = systemClock.nowMs() + this.#options.ms;
    const hostile = shuffled(hostileJobs, this.#world.random);
    for (let n = 0; systemClock.nowMs() < endMs; n++)
      await this.#one(kinds[n % kinds.length]!, hostile[n % hostile.length]!, n);
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
      ["side data", this.#sideData(), text, "-p", "3"],
    ];
    const kinds: JobKind[] = [];
    for (const [name, file, ...rest] of jobs) {
      const args = [resolve(packageRoot, "examples", file), ...rest, ...split];
      const expected = await this.#scene.oracle(args);
      const manifest = JSON.parse(this.#scene.readText("outputs", this.#scene.lastOutput, "_SUCCESS")) as {
        counters: Record<string, number>;
      };
      kinds.push({ name, args, expected, counters: manifest.counters });
    }
    this.#tell(`${kinds.length} kinds of jobs over ${Math.round(this.#options.inputBytes / MiB)} MiB`);
    return kinds;
  }

  /** Its bundle is not all that agents keep of it. */
  #sideData(): string {
    this.#scene.file("weights.json", JSON.stringify(Array.from({ length: 5_000 }, (_, n) => n * 7)));
    return this.#scene.file(
      "side-data.ts",
      `
        import { job, sum, text } from "sheaf";
        export default job({
          input: text(),
          aux: { weights: { file: "weights.json" } },
          map(line, emit, ctx) {
            const weights = ctx.aux["weights"] as number[];
            for (const word of line.split(" ")) emit(word, weights[word.length]!);
            ctx.count("lines");
          },
          reduce: sum(),
        });
      `,
    );
  }

  async #one(kind: JobKind, hostile: HostileJob, n: number): Promise<void> {
    const { random, cluster } = this.#world;
    const damaged = random.below(3) === 0 ? damageKeptBlobs(this.#world) : 0;
    if (damaged > 0) this.#tell(`S18: a bit changed in each of ${damaged} blobs of the coordinator`);
    const beside = this.#startHostile(hostile, n);
    // What would be a failure of the job, or of nobody, must not end it.
    const more = ["--no-progress-timeout", "10s", ...(random.below(2) === 0 ? ["--no-shared"] : [])];
    const started = await this.#scene.start([...kind.args, ...more], { timeoutMs: jobMsMax });
    this.#tell(`job ${n}: ${kind.name}${more.includes("--no-shared") ? ", collected" : ""}`);
    const watch = setInterval(() => this.#guard(() => lookAtMemory(cluster, agents, this.#memory)), 200);
    // A client gives up a coordinator that is not there for long before it has a job there.
    await this.#submitted(beside, started);
    this.#injector.begin();
    let result: Awaited<Started["running"]["done"]>;
    let said: Awaited<Started["running"]["done"]>;
    try {
      [result, said] = await Promise.all([started.running.done, beside.running.done]);
    } finally {
      clearInterval(watch);
      await this.#injector.calm();
    }
    if (this.#broken !== null) throw this.#broken;
    const id = await this.#newJobs(beside, `${result.stdout}\n${result.stderr}`);
    await this.#checkHostile(beside, said.code, `${said.stdout}\n${said.stderr}`);
    await this.#check(kind, started, id, result.code, `${result.stdout}\n${result.stderr}`);
  }

  #startHostile(job: HostileJob, n: number): Hostile {
    const name = `hostile-${n}`;
    const file = this.#scene.file(`${name}.ts`, hostileFile(job));
    const lines = this.#scene.file("lines.txt", "one\ntwo\nthree\n");
    const output = this.#scene.path("outputs", name);
    const limits = ["--no-progress-timeout", "5s", "--attempts", "2", "--heap", "64MB", "-p", "1"];
    const args = ["run", file, lines, "-o", output, "--split-size", "5", ...limits];
    this.#tell(`hostile job ${n}: ${job.name}`);
    return { job, name, output, running: this.#world.cluster.start(args, { timeoutMs: jobMsMax }) };
  }

  /** It has failed for what it did, or for what the faults of this time did to it. */
  async #checkHostile({ job, name, output }: Hostile, code: number | null, said: string): Promise<void> {
    assert.equal(code, 1, `${job.name}: ${said}`);
    const found = (await this.#allJobs()).find((one) => one.name === name);
    let told = /\[([A-Z_]+)\]/.exec(said)?.[1] ?? "";
    if (found !== undefined) {
      const isEnded = async (): Promise<boolean> => (await this.#scene.job(found.job)).state === "FAILED";
      await eventually(
        isEnded,
        jobMsMax,
        () => `${found.job} (${job.name}) has not ended as FAILED: ${said}`,
      );
      told = (await this.#scene.job(found.job)).error?.code ?? "";
    }
    const ending = `hostile, ${job.name}: ${told}`;
    this.#jobs[ending] = (this.#jobs[ending] ?? 0) + 1;
    assert.ok([...job.codes, "WORKER_LOST"].includes(told), `${job.name} has failed as ${told}: ${said}`);
    this.#scene.assertNothingBeside(output, false);
  }

  #guard(look: () => void): void {
    try {
      look();
    } catch (error) {
      this.#broken ??= error as Error;
    }
  }

  async #submitted(beside: Hostile, { running }: Started): Promise<void> {
    let left = 2;
    for (const one of [beside.running, running]) void one.done.finally(() => left--).catch(() => undefined);
    const areThere = async (): Promise<boolean> => {
      const added = (await this.#allJobs()).filter(({ job }) => !this.#seen.has(job));
      return added.length + (2 - left) >= 2;
    };
    await eventually(areThere, jobMsMax, () => "a job was not submitted");
  }

  /** Of the good job of this round. */
  async #newJobs({ name: hostile }: Hostile, said: string): Promise<string> {
    const added = (await this.#allJobs()).filter(({ job }) => !this.#seen.has(job));
    for (const { job, name } of added) {
      this.#seen.add(job);
      if (name === hostile) this.#hostile.add(job);
    }
    const good = added.filter(({ name }) => name !== hostile);
    assert.equal(good.length, 1, `not one job for the submission: ${said}`);
    assert.ok(added.length <= 2, "more jobs than were submitted");
    return good[0]!.job;
  }

  async #allJobs(): Promise<readonly JobSummary[]> {
    return (await this.#scene.cluster.get<{ jobs: JobSummary[] }>("/jobs?limit=10000")).jobs;
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
    assert.equal(view.state, "SUCCEEDED", `a good job has failed: ${view.error?.report ?? said}`);
    this.#checkOutput(kind, output, view, code, said);
    checkAttempts(attempts, view);
    await checkNothingLeft(this.#scene, agents);
    checkLogs(this.#scene.cluster, this.#hostile);
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
}

/** All of them, in an order of the seed's. */
export function shuffled<T>(values: readonly T[], random: FaultWorld["random"]): T[] {
  const left = [...values];
  return values.map(() => left.splice(random.below(left.length), 1)[0]!);
}
