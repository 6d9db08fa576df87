import { limits } from "../base/limits.ts";
import { rmSync } from "node:fs";
import { hostname, tmpdir, userInfo } from "node:os";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { systemClock } from "../base/clock.ts";
import type { Clock } from "../base/clock.ts";
import { SheafError, isSheafError } from "../base/errors.ts";
import { bundleJob } from "../bundle/bundle-job.ts";
import type { BundledJob } from "../bundle/bundle-job.ts";
import type { Job } from "../job/define.ts";
import { checkKept, checkOutput } from "../storage/atomic-output.ts";
import { asSheafError, asShortage, errnoOf } from "../storage/fs-error.ts";
import type { InputFile } from "../storage/list-input.ts";
import type { JobSettings, Split, TaskFailure, TaskSuccess } from "../task/task-spec.ts";
import { BadRecordBudget, FileAgreement } from "../engine/job-checks.ts";
import { auxPaths, pathsByInput, possiblePaths } from "../engine/inputs.ts";
import { chooseBounds, planJob } from "../engine/plan-job.ts";
import { commitOutput, keepCollected } from "../engine/commit.ts";
import { EventLog } from "../engine/events.ts";
import { taskFailure } from "../worker/failure.ts";
import { JobDirectory, makeJobId, openState, pruneJobs } from "../engine/job-directory.ts";
import type { JobRecord } from "../engine/job-directory.ts";
import type { JobOutline } from "../worker/messages.ts";
import type { CommittedPart, FailedTask, LocalRunOptions } from "../engine/options.ts";
import type { JobPlan } from "../engine/plan-job.ts";
import { WorkerPool } from "../worker/pool.ts";
import { paramsOf, partitionsOf } from "../engine/resolve-options.ts";
import type { ResolvedOptions } from "../engine/resolve-options.ts";
import { spoolStdin, spoolStream } from "./spool-stdin.ts";
import { TaskDriver } from "./task-driver.ts";
import type { Outputs } from "../engine/commit.ts";
import { ShuffleTally } from "../engine/shuffle-tally.ts";
import type { DriverResult } from "./driver-options.ts";
import { workersWorth } from "./workers-worth.ts";
import { makeTempDirectory, makeWorkDirectory } from "./work-directory.ts";
import type { WorkDirectory } from "./work-directory.ts";
import type { StartWorker } from "../worker/worker.ts";

/** What is to run: a job file, or a Job object on this thread. */
export type JobSource =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "object"; readonly job: Job };

/** How a run went, before it is made a RunResult. */
export interface RunOutcome {
  readonly status: "SUCCEEDED" | "FAILED" | "CANCELLED";
  readonly cause: FailedTask | null;
  /** Set when it failed outside of tasks. */
  readonly error: SheafError | null;
  readonly driven: DriverResult | null;
}

/**
 * One run on this machine, from the job file to the committed output. Each step leaves in the object what
 * later steps and
 * the result need; `finish` cleans up whatever steps were reached.
 */
export class LocalRun {
  readonly clock: Clock = systemClock;
  readonly events: EventLog;
  readonly resolved: ResolvedOptions;
  jobId = "";
  name: string;
  bundle: BundledJob | null = null;
  directory: JobDirectory | null = null;
  plan: JobPlan | null = null;
  settings: JobSettings | null = null;
  parts: CommittedPart[] = [];
  collected: { collection: string; path: string }[] | null = null;
  work: WorkDirectory | null = null;
  collections: readonly string[] = [];
  readonly pool: WorkerPool;
  readonly #source: JobSource;
  readonly #options: LocalRunOptions;
  readonly #startWall: number;
  #driver: TaskDriver | null = null;
  #outline: JobOutline | null = null;
  #bundleTemp: string | null = null;
  #shuffled: ShuffleTally | null = null;
  #toldHotKeys = false;
  /** Where the history is kept; null when it is not. */
  #state: string | null = null;

  constructor(
    source: JobSource,
    options: LocalRunOptions,
    resolved: ResolvedOptions,
    startWorker: StartWorker,
  ) {
    this.#source = source;
    this.#options = options;
    this.resolved = resolved;
    this.events = new EventLog(this.clock, options.onEvent);
    this.#startWall = this.clock.wallMs();
    this.name =
      options.name ?? (source.kind === "file" ? basename(source.path).replace(/\.\w+$/, "") : "job");
    this.pool = new WorkerPool({
      startWorker,
      isolation: resolved.isolation,
      heapBytes: this.resolved.heapBytes,
      noProgressMs: this.resolved.noProgressMs,
      clock: this.clock,
      listener: {
        attemptEnded: (slot, id, result) => this.#driver?.attemptEnded(slot, id, result),
        log: (id, stream, text) => this.#log(id, stream, text),
        stray: (failure) => {
          if (this.#driver?.strayFailure(failure) === true) return;
          this.#warn(`user code threw after its task was over: ${failure.message}`);
        },
      },
    });
  }

  /** All steps. Never rejects. */
  async run(): Promise<RunOutcome> {
    try {
      // First of all, so that cleanUp() ends the worker that was started ahead, whatever happens.
      if (this.#source.kind === "file") this.#prewarm();
      this.#options.signal?.throwIfAborted();
      this.#state = openState(this.resolved.stateDirectory, (message) => this.#warn(message));
      const failure = await this.events.phase("load", () => this.#load());
      if (failure !== null) return this.#failed({ task: "", attempt: 0, failure, capsule: null });
      await this.events.phase("plan", () => this.#plan());
      const driven = await this.#drive();
      return { status: driven.status, cause: driven.cause, error: null, driven };
    } catch (error) {
      if (this.#options.signal?.aborted === true)
        return { status: "CANCELLED", cause: null, error: null, driven: null };
      const known = isSheafError(error)
        ? error
        : (asShortage(error) ??
          new SheafError("INTERNAL", `sheaf failed: ${String(error)}`, { cause: error }));
      return { status: "FAILED", cause: null, error: known, driven: null };
    }
  }

  /**
   * Starts the worker that loads the job first; and, when files are so large that there will be work for
   * others, those too, which would else begin a tenth of a second after it.
   */
  #prewarm(): void {
    const { inputs, workers } = this.resolved;
    const sure = Math.min(workers, Math.max(1, workersWorth(inputs.flatMap(possiblePaths))));
    for (let slot = 0; slot < sure; slot++) this.pool.prewarm(slot);
  }

  /** Ends the workers; removes the files of the run but what `records()` reads. */
  async cleanUp(keep: boolean): Promise<void> {
    await this.pool.close();
    await this.work?.remove(keep);
    if (this.#bundleTemp !== null) rmSync(this.#bundleTemp, { recursive: true, force: true });
  }

  #failed(cause: FailedTask): RunOutcome {
    return { status: "FAILED", cause, error: null, driven: null };
  }

  async #load(): Promise<TaskFailure | null> {
    const { output, overwrite, inputs } = this.resolved;
    const source = this.#source;
    const keep = [
      ...inputs.filter((input) => input !== "-"),
      ...(source.kind === "file" ? [source.path] : []),
    ];
    const checked = output === null ? Promise.resolve() : checkOutput(output, { overwrite, keep });
    const bundled = source.kind === "file" ? this.#bundleOf(source.path) : null;
    // Whichever fails first is told; neither may be left unheard.
    bundled?.catch(() => undefined);
    await checked;
    this.bundle = await bundled;
    for (const warning of this.bundle?.warnings ?? []) this.#warn(warning);
    const url = this.bundle === null ? "" : pathToFileURL(this.bundle.path).href;
    const answer = await this.pool.load(url, this.resolved.attempts);
    if ("failure" in answer) return answer.failure;
    this.#outline = answer.outline;
    this.name = this.#options.name ?? answer.outline.name ?? this.name;
    this.collections = answer.outline.collections.map((collection) => collection.name);
    this.#begin();
    return null;
  }

  /** Bundles are kept with the history; without one, or when it cannot be written, for this run only. */
  async #bundleOf(path: string): Promise<BundledJob> {
    const { external } = this.resolved;
    if (this.#state !== null) {
      try {
        return await bundleJob(path, { outDirectory: join(this.#state, "bundles"), external });
      } catch (error) {
        if (isSheafError(error) || errnoOf(error) === undefined) throw error;
        // Told when the job directory is made.
      }
    }
    this.#bundleTemp = await makeTempDirectory(tmpdir());
    try {
      return await bundleJob(path, { outDirectory: this.#bundleTemp, cache: false, external });
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      throw asSheafError(error, { path: this.#bundleTemp, doing: "write" });
    }
  }

  #begin(): void {
    this.jobId = makeJobId(this.name, this.#startWall, Math.random);
    const file = this.#source.kind === "file" ? this.#source.path : null;
    const { output, isolation } = this.resolved;
    const code = this.bundle?.hash ?? null;
    if (this.#state !== null) {
      this.directory = new JobDirectory(this.#state, this.#record(file, code), (message) =>
        this.#warn(message),
      );
      this.events.keepIn(this.directory);
      if (this.bundle !== null) this.directory.keepBundle(this.bundle.path);
    }
    const directory = this.directory?.path ?? null;
    const { jobId, name } = this;
    this.events.emit({ kind: "job-started", jobId, name, file, code, directory, output, isolation });
  }

  #record(file: string | null, code: string | null): JobRecord {
    return {
      jobId: this.jobId,
      name: this.name,
      status: "RUNNING",
      submitter: submitter(),
      host: hostname(),
      pid: process.pid,
      file,
      code,
      inputs: this.resolved.inputs,
      output: this.resolved.output,
      startTime: new Date(this.#startWall).toISOString(),
      endTime: null,
      elapsedMs: null,
      currentPhase: "load",
      counters: {},
      mapTasks: 0,
      reduceTasks: 0,
      recordsIn: 0,
      recordsOut: 0,
      bytesIn: 0,
      bytesOut: 0,
      badRecords: 0,
      exception: null,
      capsules: [],
      settings: {
        ...this.resolved,
        inputs: undefined,
        output: undefined,
        params: this.#options.params ?? {},
      },
    };
  }

  async #plan(): Promise<void> {
    const outline = this.#outline!;
    const { resolved } = this;
    const asked = partitionsOf(this.#options, outline);
    const params = paramsOf(this.#options, outline);
    const auxFiles = auxPaths(outline.aux, this.#source.kind === "file" ? this.#source.path : null);
    this.work = await makeWorkDirectory(resolved.output, this.#options.tempDirectory);
    const paths = pathsByInput(outline, resolved.inputs);
    const stdin = paths.flat().includes("-")
      ? await spoolStdin(process.stdin, this.work.attempts, this.#options.signal)
      : null;
    const inputs = paths.map((some) => some.map((path) => (path === "-" && stdin !== null ? stdin : path)));
    const { splitBytes, workers, mappers, growing } = resolved;
    const directory = this.work.attempts;
    let streams = 0;
    const spool = (file: InputFile): Promise<InputFile> =>
      spoolStream(file, join(directory, `stream-${streams++}`), this.#options.signal);
    const wishes = { splitBytes, workers, mappers, growing, partitions: asked };
    const plan = await planJob(outline, { inputs, ...wishes, spool });
    for (const warning of plan.warnings) this.#warn(warning);
    // Patterns and directories are known file by file only now.
    if (resolved.output !== null && resolved.overwrite) await checkKept(resolved.output, plan.paths);
    this.plan = plan;
    this.settings = {
      jobId: this.jobId,
      name: this.name,
      memoryBytes: resolved.memoryBytes,
      partitions: plan.partitions,
      bounds: plan.partitions.map(() => null),
      sample: resolved.sample,
      seed: outline.seed,
      params,
      keepBad: resolved.badBudget !== null,
      collect: resolved.collect,
      output: resolved.output === null ? "none" : "write",
      partBytes: resolved.partBytes,
      auxFiles,
    };
    this.pool.settings(this.settings);
    const mapTasks = plan.tasks.map.length;
    const reduceTasks = plan.tasks.reduce.length;
    const partitions = Object.fromEntries(
      this.collections.map((name, index) => [name, plan.partitions[index]!]),
    );
    const { files, bytes } = plan;
    const workersMax = this.#slots();
    this.events.emit({ kind: "planned", files, bytes, mapTasks, reduceTasks, partitions, workersMax });
    this.directory?.update({ mapTasks, reduceTasks, currentPhase: "map" });
    this.directory?.config({ settings: this.settings, workersMax, tasks: plan.tasks });
  }

  /** Whether slow map tasks are cut while they run: not where the caller has said what tasks there are. */
  #handsOver(): boolean {
    const { splitBytes, mappers, isolation, workers } = this.resolved;
    return splitBytes === null && mappers === null && isolation !== "inline" && workers > 1;
  }

  /** Only as many workers as there is work. */
  #slots(): number {
    const { sample, map, reduce } = this.plan!.tasks;
    return Math.max(1, Math.min(this.resolved.workers, Math.max(sample.length, map.length, reduce.length)));
  }

  async #drive(): Promise<DriverResult> {
    const { resolved } = this;
    const budget = new BadRecordBudget(resolved.badBudget);
    const files = new FileAgreement(this.collections);
    this.#driver = new TaskDriver({
      jobId: this.jobId,
      tasks: this.plan!.tasks,
      pool: this.pool,
      slots: this.#handsOver() ? this.resolved.workers : this.#slots(),
      slotsAtFirst: this.#slots(),
      attempts: resolved.attempts,
      noProgressMs: resolved.noProgressMs,
      workDirectory: this.work!.attempts,
      keepBad: resolved.badBudget !== null,
      failedTasksShare: resolved.failedTasksShare,
      handsOver: this.#handsOver(),
      faults: this.#options.fail ?? [],
      clock: this.clock,
      signal: this.#options.signal,
      emit: (event) => this.events.emit(event),
      rested: (maps) => this.#rested(maps),
      sampled: (results) => this.#useSample(results),
      taskFinished: (phase, result, all) => {
        if (phase === "map") this.#mapped(result, all);
        return budget.add(phase, result, all) ?? files.add(result.parts);
      },
      poisoned: (records) => budget.poisoned(records),
      commit: (outputs) =>
        this.events.phase("commit", () => this.#commit(outputs, budget.check(true) ?? files.check())),
    });
    return this.#driver.run();
  }

  /** Tells of hot keys before the reduces that they will slow down begin. */
  #mapped(result: TaskSuccess, all: boolean): void {
    this.#shuffled ??= new ShuffleTally(this.plan!.partitions);
    this.#shuffled.add(result);
    if (all && !this.#toldHotKeys)
      for (const text of this.#shuffled.warnings(this.collections)) this.#warn(text);
    this.#toldHotKeys ||= all;
  }

  #rested(maps: readonly Split[]): void {
    const plan = this.plan!;
    this.plan = { ...plan, tasks: { ...plan.tasks, map: maps } };
    this.directory?.update({ mapTasks: maps.length });
  }

  #useSample(results: readonly TaskSuccess[]): void {
    const settings = this.settings!;
    const bounds = this.#outline!.collections.map(({ order }, index) => {
      const partitions = settings.partitions[index]!;
      if (order !== "total" || partitions < 2) return null;
      return chooseBounds(
        results.flatMap((result) => result.keys[index] ?? []),
        partitions,
      );
    });
    this.settings = { ...settings, bounds };
    this.pool.settings(this.settings);
  }

  async #commit(outputs: Outputs, refusal: TaskFailure | null): Promise<void> {
    if (refusal !== null) {
      const { code, message, hint } = refusal;
      throw new SheafError(code, message, hint === null ? {} : { hint });
    }
    if (this.#outline!.hasExpect) await this.#expect(outputs);
    if (this.resolved.collect) {
      const results = [...outputs.map, ...outputs.reduce];
      this.collected = await keepCollected(results, this.collections, this.work!.collected);
    }
    const { output, overwrite } = this.resolved;
    if (output === null) return;
    this.parts = await commitOutput(
      {
        name: this.name,
        code: this.bundle?.hash ?? null,
        collections: this.collections,
        staging: this.work!.output,
        output,
        overwrite,
      },
      outputs,
    );
  }

  async #expect(outputs: Outputs): Promise<void> {
    const refusal = await this.pool.expect(outputs.counters);
    if (refusal === null) return;
    const failure =
      typeof refusal === "string"
        ? taskFailure("EXPECT_FAILED", `the job's expect gate refused the result: ${refusal}`, {
            phase: "expect",
          })
        : refusal;
    throw new SheafError("EXPECT_FAILED", failure.message, {
      hint:
        failure.hint ??
        "Nothing was written; earlier output is as it was. The counters are in the job directory.",
    });
  }

  #log(id: number | null, stream: "log" | "stdout" | "stderr", text: string): void {
    const ref = this.#driver?.attemptOf(id) ?? null;
    const task = ref === null ? "" : `${ref.phase}-${String(ref.task).padStart(5, "0")}`;
    this.events.emit({ kind: "log", task, attempt: ref?.attempt ?? 0, stream, text });
  }

  #warn(message: string): void {
    this.events.emit({ kind: "warning", message });
  }

  /** Old jobs go when new ones come; nobody waits for it. */
  prune(): void {
    if (this.#state !== null) void pruneJobs(this.#state, limits.jobsKept);
  }
}

function submitter(): string {
  try {
    return userInfo().username;
  } catch {
    return process.env["USER"] ?? "unknown";
  }
}
