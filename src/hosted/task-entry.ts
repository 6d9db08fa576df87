import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { boundHttpParsers } from "../base/bounded-memory.ts";
import { SheafError } from "../base/errors.ts";
import { process } from "../base/own-globals.ts";
import { formatTask } from "../scheduler/ids.ts";
import { workerEnvironment } from "../security/worker-environment.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { storeEnvironment, type StoreAccess } from "../storage/stores.ts";
import type { TaskFailure, TaskSpec, TaskSuccess } from "../task/task-spec.ts";
import { failureOfThrown, taskFailure } from "../worker/failure.ts";
import { runAttempt } from "./attempt.ts";
import { takeChannel, tellFailure, tellStatus } from "./channel.ts";
import { readMapTask, reportedSuccess, sendMap, writeTask } from "./map-side.ts";
import { inputsOf, receive, writeReduce } from "./reduce-side.ts";
import { hadoopConfDirectory, type HostedSpec, ownMachine, readSpec } from "./spec.ts";
import { JobWatch, type Traced } from "./watch.ts";

/*
 * One task of a job that Hadoop or Spark runs, as a process of its own: `run.sh map` or `run.sh reduce`. What
 * it is to do comes as frames on standard input, and what it has made goes out as frames (frames.ts).
 */

const exitFailed = 3;
/** As for tasks in this thread, see worker/worker-inline.ts. */
const lingerMs = 50;
/** As it was before user code came. */
const exit: (code: number) => never = process.exit.bind(process);

class HostedTask {
  readonly #phase: "map" | "reduce";
  readonly #spec: HostedSpec;
  readonly #storage: StoreAccess;
  readonly #scratch: string;
  /** Process id of the engine's process. */
  readonly #parent: number;
  readonly #engine: EngineSays;
  readonly #channel = takeChannel();
  /** As it is called in reports; "" until that is known. */
  task = "";

  constructor(phase: "map" | "reduce", jobDirectory: string, scratch: string, parent: number) {
    this.#parent = parent;
    this.#phase = phase;
    this.#scratch = scratch;
    this.#spec = readSpec(jobDirectory);
    checkMachine(this.#spec);
    this.#engine = engineSays(process.env);
    this.#storage = { env: storesSee(process.env, jobDirectory), fetch: null };
    cleanEnvironment(scratch);
  }

  async run(): Promise<void> {
    await (this.#phase === "map" ? this.#map() : this.#reduce());
    this.#channel.output.flush();
    // What user code has started and not awaited may throw still, or emit what then is missing.
    if (process.getActiveResourcesInfo().length > 0) await new Promise((over) => setTimeout(over, lingerMs));
  }

  async #map(): Promise<void> {
    const { input, output } = this.#channel;
    const spec = this.#spec;
    const { index, split } = readMapTask(input, spec);
    if (split === null) {
      if (spec.reduces.length > 0) sendMap(output, spec, index, null);
      return;
    }
    this.#isTask(index);
    const directory = this.#attemptDirectory();
    const success = await this.#attempt({ kind: "map", index, attempt: 1, split, directory });
    if (spec.reduces.length > 0) sendMap(output, spec, index, success);
    else writeTask(output, { task: this.task, success: reportedSuccess(this.task, success) }, success);
  }

  async #reduce(): Promise<void> {
    const work = receive(this.#channel.input, this.#spec, this.#scratch);
    const { index } = work;
    this.#isTask(index);
    const place = this.#spec.reduces[index]!;
    const directory = this.#attemptDirectory();
    const spec: TaskSpec = { kind: "reduce", index, attempt: 1, ...place, inputs: inputsOf(work), directory };
    writeReduce(this.#channel.output, work, await this.#attempt(spec));
  }

  #isTask(task: number): void {
    this.task = formatTask({ job: "", phase: this.#phase, task });
    tellStatus(`sheaf ${this.task}`);
  }

  #attemptDirectory(): string {
    const directory = join(this.#scratch, "attempt");
    mkdirSync(directory);
    return directory;
  }

  async #attempt(task: TaskSpec): Promise<TaskSuccess> {
    const spec = this.#spec;
    const scratch = this.#scratch;
    const { noProgressMs, noProgressSetting } = spec;
    // What a first attempt cannot tell, since its process ends there, the next ones do.
    const isTraced = task.kind === "map" && this.#engine.isAgain;
    const traced: Traced | null = isTraced
      ? { trace: { id: task.attempt, skip: [] }, pieces: task.split.pieces }
      : null;
    const limits = { noProgressMs, noProgressSetting, statusMs: this.#engine.statusMs };
    const about = { task: this.task, phase: this.#phase, scratch, parent: this.#parent, traced, ...limits };
    const result = await runAttempt(task, {
      spec,
      scratch,
      storage: this.#storage,
      watch: new JobWatch(about),
      traced,
      over: (failure) => failed(this.task, failure),
    });
    if (result.kind === "success") return result;
    failed(this.task, result);
    return exit(exitFailed);
  }
}

/** Native packages travel with the job, and are of the machine that it came from. */
function checkMachine({ machine }: HostedSpec): void {
  const here = machineText(ownMachine());
  const there = machineText(machine);
  if (here === there) return;
  throw new SheafError("VERSION_MISMATCH", `this node is ${here}, and the job was packed for ${there}`, {
    hint: "Submit the job from a machine like the nodes of the cluster: what is native in it is taken from there.",
  });
}

function machineText({ platform, arch, isGlibc }: HostedSpec["machine"]): string {
  return `${platform} ${arch}${platform === "linux" && !isGlibc ? " without glibc (musl)" : ""}`;
}

/** What the engine's variables say of the task. */
interface EngineSays {
  /** Another attempt was made before. */
  readonly isAgain: boolean;
  /** So often it has to hear that the task lives, ms. */
  readonly statusMs: number;
}

const statusMsMax = 30_000;

function engineSays(env: NodeJS.ProcessEnv): EngineSays {
  // Of Hadoop Streaming: "attempt_1_0001_m_000003_2", and 0 where there is no limit. Of Spark: NodePipe.java.
  const attempt = env["SHEAF_ENGINE_ATTEMPT"] ?? /_(\d+)$/.exec(env["mapreduce_task_attempt_id"] ?? "")?.[1];
  const limitMs = Number(env["mapreduce_task_timeout"] ?? 0);
  return {
    isAgain: Number(attempt ?? 0) > 0,
    statusMs: limitMs > 0 ? Math.min(statusMsMax, limitMs / 4) : statusMsMax,
  };
}

/** What storages look for: the engine's variables, and the configuration that came with the job. */
function storesSee(env: NodeJS.ProcessEnv, jobDirectory: string): Record<string, string> {
  const conf = join(jobDirectory, hadoopConfDirectory);
  return { ...storeEnvironment(env), ...(existsSync(conf) && { HADOOP_CONF_DIR: conf }) };
}

/** User code gets what it gets from workers everywhere, not the thousand variables of an engine. */
function cleanEnvironment(scratch: string): void {
  const clean = workerEnvironment(process.env);
  for (const name of Object.keys(process.env)) if (!(name in clean)) delete process.env[name];
  for (const name of ["TMPDIR", "TMP", "TEMP"]) delete process.env[name];
  process.env["TMPDIR"] = scratch;
}

/** In the engine's directory for this task, which is on a disk that is meant for data. */
function makeScratch(): string {
  let problem: unknown;
  for (const parent of [process.cwd(), tmpdir()]) {
    try {
      return mkdtempSync(join(parent, "sheaf-task-"));
    } catch (error) {
      problem = error;
    }
  }
  throw asSheafError(problem, { path: tmpdir(), doing: "create" });
}

/** Says so once, and makes this process end as one that has failed, whoever ends it. */
function failed(task: string, failure: TaskFailure): void {
  process.exitCode = exitFailed;
  if (state !== "running") return;
  state = "failed";
  tellFailure(task, failure);
}

let state: "running" | "failed" | "done" = "running";
let scratch: string | null = null;
let hosted: HostedTask | null = null;

process.once("exit", () => {
  if (state === "running") {
    const message = "the task's process ended before the task was done";
    failed(hosted?.task ?? "", taskFailure("WORKER_LOST", message, { blame: "system" }));
  }
  if (scratch !== null) rmSync(scratch, { recursive: true, force: true });
});

try {
  const [phase, jobDirectory, parent] = process.argv.slice(2);
  if ((phase !== "map" && phase !== "reduce") || jobDirectory === undefined) {
    throw new SheafError("USAGE", `no such kind of task: ${phase}`, {
      hint: "Engines start this by run.sh map and run.sh reduce.",
    });
  }
  boundHttpParsers();
  scratch = makeScratch();
  hosted = new HostedTask(phase, resolve(jobDirectory), scratch, Number(parent));
  await hosted.run();
  state = "done";
} catch (error) {
  failed(hosted?.task ?? "", failureOfThrown(error, "task", "INTERNAL", "system"));
}
// Whatever user code has made of the exit code.
exit((state as string) === "done" ? 0 : exitFailed);
