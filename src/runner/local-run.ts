import { hostname } from "node:os";
import { basename } from "node:path";
import { pathToFileURL } from "node:url";
import { systemClock } from "../base/clock.ts";
import type { Clock } from "../base/clock.ts";
import { SheafError, isSheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { BundledJob } from "../bundle/bundle-job.ts";
import { EventLog, PhaseClock } from "../engine/event-log.ts";
import { explainJob, keptIn } from "../engine/explain.ts";
import { possiblePaths } from "../engine/inputs.ts";
import { bundleForRun, hiddenPipeline, type RunBundle } from "../engine/job-bundle.ts";
import { JobDirectory, makeJobId, newRecord, openState, submitter } from "../engine/job-directory.ts";
import type { JobRecord } from "../engine/job-directory.ts";
import { checkWholeCode } from "../engine/once.ts";
import type { HostedRunOptions, LocalRunOptions } from "../engine/options.ts";
import { pruneJobs } from "../engine/prune-jobs.ts";
import { afterOf, labelsOf } from "../engine/resolve-options.ts";
import type { ResolvedOptions } from "../engine/resolve-options.ts";
import { storesOf } from "../engine/user-stores.ts";
import { formatTask } from "../scheduler/ids.ts";
import { checkOutput, type OutputOptions } from "../storage/atomic-output.ts";
import { asShortage } from "../storage/fs-error.ts";
import { isStrange } from "../storage/stores.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import { chaosWarning } from "../worker/chaos.ts";
import { WorkerPool } from "../worker/pool.ts";
import type { StartWorker } from "../worker/worker.ts";
import { checkOnce, type EarlierRun, earlierRun, keyOf } from "./earlier-run.ts";
import { findPredecessors, followJobs } from "./follow-jobs.ts";
import { keepMaps } from "./kept-maps.ts";
import { LocalTasks, workersOf } from "./local-tasks.ts";
import { planRun, type RunToPlan } from "./plan-run.ts";
import type { JobSource, RunKind } from "./run-kind.ts";
import type { DrivenRun, LoadedRun, PlannedRun, RunEnd } from "./run-stages.ts";
import { makeWorkDirectory } from "./work-directory.ts";
import type { WorkDirectory } from "./work-directory.ts";
import { workersWorth } from "./workers-worth.ts";

/**
 * One run on this machine, from the job file to the committed output. Each step leaves in the object what the
 * result needs; `cleanUp` cleans up whatever steps were reached.
 */
export class LocalRun {
  readonly clock: Clock = systemClock;
  readonly events: EventLog;
  readonly resolved: ResolvedOptions;
  readonly pool: WorkerPool;
  loaded: LoadedRun | null = null;
  planned: PlannedRun | null = null;
  driven: DrivenRun | null = null;
  /** What its result follows from; null: not known, or nobody can tell. */
  onceKey: string | null = null;
  /** With `once`: the run that need not be repeated. */
  earlier: EarlierRun | null = null;
  /** Where the bundle lies; null before there is one, and for a Job object. */
  bundlePath: string | null = null;
  readonly #source: JobSource;
  readonly #kind: RunKind;
  readonly #options: LocalRunOptions | HostedRunOptions;
  readonly #startWall: number;
  readonly #phases: PhaseClock;
  #tasks: LocalTasks | null = null;
  #work: WorkDirectory | null = null;
  #bundling: Promise<RunBundle> | null = null;
  /** Where the history is kept; null when it is not. */
  #state: string | null = null;
  /** With `once` an output that exists may be just what is wanted. */
  #outputExists: SheafError | null = null;

  constructor(
    source: JobSource,
    options: LocalRunOptions | HostedRunOptions,
    resolved: ResolvedOptions,
    startWorker: StartWorker,
    kind: RunKind = {},
  ) {
    this.#source = source;
    this.#kind = kind;
    this.#options = options;
    this.resolved = resolved;
    this.events = new EventLog(this.clock, options.onEvent);
    this.#phases = new PhaseClock(this.clock, (event) => this.events.emit(event));
    this.#startWall = this.clock.wallMs();
    const { isolation, heapBytes, noProgressMs } = resolved;
    const { clock } = this;
    this.pool = new WorkerPool({
      startWorker,
      isolation,
      heapBytes,
      noProgressMs,
      clock,
      listener: {
        attemptEnded: (slot, id, result) => this.#tasks?.ended(slot, id, result),
        log: (id, stream, text) => this.#log(id, stream, text),
        told: (_slot, { id, ...told }) => this.#tasks?.told(id, told),
        stray: (failure) => this.#stray(failure),
      },
    });
  }

  /** The job's name as far as it is known. */
  get name(): string {
    if (this.loaded !== null) return this.loaded.name;
    const source = this.#source;
    return (
      this.#options.name ?? (source.kind === "file" ? basename(source.path).replace(/\.\w+$/, "") : "job")
    );
  }

  /** All steps. Never rejects. */
  async run(): Promise<RunEnd> {
    try {
      // First of all, so that cleanUp() ends the worker that was started ahead, whatever happens.
      if (this.#source.kind === "file") this.#prewarm();
      this.#options.signal?.throwIfAborted();
      await this.#kind.elsewhere?.prepare();
      this.#state = openState(this.resolved.stateDirectory, (message) => this.#warn(message));
      const before = await findPredecessors(afterOf(this.#options), this.#state);
      this.#phases.enter("load", 0);
      const loaded = await this.#load();
      if ("kind" in loaded) return failed(loaded);
      this.loaded = loaded;
      this.#tellStarted(loaded);
      await followJobs(before, this.#options.signal, (what) => {
        loaded.directory?.update({ currentPhase: "queue" });
        this.events.emit({ kind: "waiting", for: what });
      });
      this.#phases.enter("plan", 0);
      this.planned = await planRun(this.#toPlan(loaded));
      this.#tellPlanned(loaded, this.planned);
      this.#phases.leave();
      await this.#lookBack(loaded, this.planned);
      if (this.earlier !== null) return { status: "SUCCEEDED" };
      const wrong = await this.#tryAux(loaded, this.planned);
      if (wrong !== null) return failed(wrong);
      return await this.#drive(loaded, this.planned);
    } catch (error) {
      if (this.#options.signal?.aborted === true) return { status: "CANCELLED" };
      const known = isSheafError(error)
        ? error
        : (asShortage(error) ??
          new SheafError("INTERNAL", `sheaf failed: ${String(error)}`, { cause: error }));
      return { status: "FAILED", error: known };
    }
  }

  /** Ends the workers; removes the files of the run but what `records()` reads. */
  async cleanUp(keep: boolean): Promise<void> {
    await this.pool.close();
    await this.#work?.remove(keep);
    const bundled = await this.#bundling?.catch(() => null);
    await bundled?.dispose();
  }

  /** The job has ended: how long it stays. Old ones go when new ones come; nobody waits for it. */
  keep(directory: JobDirectory | null): void {
    this.#keepUntil(directory);
    if (this.#state !== null) pruneJobs(this.#state, limits.jobsKept).catch(() => undefined);
  }

  #keepUntil(directory: JobDirectory | null): void {
    const { keepMs } = this.resolved;
    if (keepMs !== null) directory?.keepUntil(this.clock.wallMs() + keepMs);
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

  async #load(): Promise<LoadedRun | TaskFailure> {
    const { output, overwrite, inputs, attempts, materialize } = this.resolved;
    const file = this.#file;
    const keep = [...inputs.filter((input) => input !== "-"), ...(file === null ? [] : [file])];
    // Of a scheme that nobody knows yet the job itself may name the storage.
    const isLate = output !== null && isStrange(output);
    const checked = isLate ? null : this.#checkOutput(output, { overwrite, keep });
    this.#bundling =
      file === null ? null : bundleForRun(file, this.#state, this.resolved.external, this.#options.step);
    // Whichever fails first is told; neither may be left unheard.
    this.#bundling?.catch(() => undefined);
    await checked;
    if (materialize !== null) await checkOutput(materialize, { overwrite, keep });
    const bundle = (await this.#bundling)?.bundle ?? null;
    this.bundlePath = bundle?.path ?? null;
    for (const warning of bundle?.warnings ?? []) this.#warn(warning);
    checkOnce(this.#options, this.resolved, bundle);
    if (this.resolved.incremental) checkWholeCode("incremental", bundle, this.resolved.external);
    const answer = await this.pool.load(bundle === null ? "" : pathToFileURL(bundle.path).href, attempts);
    if ("failure" in answer) return answer.failure;
    const { outline } = answer;
    if (outline.steps !== undefined) throw hiddenPipeline(file!);
    this.pool.stores(await storesOf(outline, file, this.#state));
    if (isLate) await this.#checkOutput(output, { overwrite, keep });
    const name = this.#options.name ?? outline.name ?? this.name;
    const jobId = makeJobId(name, this.#startWall, Math.random);
    const collections = outline.collections.map((collection) => collection.name);
    const directory =
      this.#state === null
        ? null
        : new JobDirectory(this.#state, this.#record(jobId, name, bundle), (message) => this.#warn(message));
    return { jobId, name, bundle, outline, collections, directory };
  }

  async #checkOutput(output: string | null, options: OutputOptions): Promise<void> {
    try {
      if (output !== null) await checkOutput(output, options);
    } catch (error) {
      if (this.#options.once !== true || !isSheafError(error) || error.code !== "OUTPUT_EXISTS") throw error;
      this.#outputExists = error;
    }
  }

  /** Whether the same was run before, where that was asked. @throws SheafError OUTPUT_EXISTS */
  async #lookBack(loaded: LoadedRun, planned: PlannedRun): Promise<void> {
    const { once, force, signal } = this.#options;
    const wallMs = (): number => this.clock.wallMs();
    this.onceKey = await keyOf(this.#options, this.resolved, loaded, planned, wallMs);
    if (once === true && force !== true)
      this.earlier = await earlierRun(this.onceKey, this.resolved.output!, this.#state, signal);
    if (this.earlier === null && this.#outputExists !== null) throw this.#outputExists;
  }

  get #file(): string | null {
    return this.#source.kind === "file" ? this.#source.path : null;
  }

  #record(jobId: string, name: string, bundle: BundledJob | null): JobRecord {
    const { inputs, output, ...resolved } = this.resolved;
    const { once, force } = this.#options;
    return newRecord({
      jobId,
      name,
      submitter: submitter(),
      host: hostname(),
      file: this.#file,
      code: bundle?.hash ?? null,
      ...labelsOf(this.#options),
      inputs,
      output,
      startTime: new Date(this.#startWall).toISOString(),
      currentPhase: "load",
      settings: {
        ...resolved,
        params: this.#options.params ?? {},
        once: once === true,
        force: force === true,
      },
    });
  }

  #tellStarted({ jobId, name, bundle, directory }: LoadedRun): void {
    const { output, isolation } = this.resolved;
    const { chaos } = this.resolved;
    if (directory !== null) {
      this.events.keepIn(directory);
      if (bundle !== null) directory.keepBundle(bundle.path, this.#options.keepBundle);
      this.#keepUntil(directory);
    }
    this.events.emit({
      kind: "job-started",
      jobId,
      name,
      file: this.#file,
      code: bundle?.hash ?? null,
      directory: directory?.path ?? null,
      output,
      isolation,
    });
    if (chaos !== null) this.#warn(chaosWarning(chaos));
  }

  #toPlan(loaded: LoadedRun): RunToPlan {
    const { resolved, pool, clock } = this;
    const [file, options, kind] = [this.#file, this.#options, this.#kind];
    const makeWork = async (): Promise<WorkDirectory> =>
      (this.#work = await makeWorkDirectory(resolved.output, options.tempDirectory));
    return { loaded, file, options, resolved, kind, makeWork, pool, clock, warn: (text) => this.#warn(text) };
  }

  /** Loads side data ahead of all tasks, so that whatever is wrong with it is told before they are run. */
  async #tryAux({ outline }: LoadedRun, { settings }: PlannedRun): Promise<TaskFailure | null> {
    if (outline.aux.length === 0) return null;
    return this.pool.aux(settings.auxFiles ?? {}, this.resolved.auxBytes);
  }

  #tellPlanned(loaded: LoadedRun, planned: PlannedRun): void {
    const { collections, directory } = loaded;
    const { plan, settings, incremental } = planned;
    const { files, bytes, tasks } = plan;
    if (this.resolved.explain) for (const told of explainJob(plan, incremental)) this.events.emit(told);
    const [mapTasks, reduceTasks] = [tasks.map.length, tasks.reduce.length];
    const partitions = Object.fromEntries(collections.map((name, index) => [name, plan.partitions[index]!]));
    const workersMax = workersOf(plan, this.resolved);
    this.events.emit({
      kind: "planned",
      files,
      bytes,
      mapTasks,
      reduceTasks,
      partitions,
      workersMax,
      ...(incremental !== null && { incremental: keptIn(plan, incremental) }),
    });
    directory?.update({ mapTasks, reduceTasks, currentPhase: "map" });
    const inputs = loaded.outline.inputs?.map(({ name }) => name);
    directory?.config({ settings, workersMax, inputs, tasks });
  }

  async #drive(loaded: LoadedRun, planned: PlannedRun): Promise<RunEnd> {
    const { clock, pool, resolved, events } = this;
    const { signal, fail: faults = [] } = this.#options;
    const phases = this.#phases;
    const { elsewhere = null, probe } = this.#kind;
    const parts = { clock, pool, resolved, events, phases };
    this.#tasks = new LocalTasks({ loaded, planned, ...parts, faults, signal, elsewhere });
    const { end, driven } = await this.#tasks.run();
    this.driven = driven;
    if (end.status === "SUCCEEDED" && probe === undefined) await keepMaps(loaded, planned, resolved, driven);
    return end;
  }

  /** User code threw when its task was over. */
  #stray(failure: TaskFailure): void {
    const tell = (failsJob: boolean): void => {
      if (!failsJob) this.#warn(`user code threw after its task was over: ${failure.message}`);
    };
    if (this.#tasks === null) tell(false);
    else this.#tasks.stray(failure, tell);
  }

  #log(id: number | null, stream: "log" | "stdout" | "stderr", text: string): void {
    const ref = this.#tasks?.attemptOf(id) ?? null;
    const task = ref === null ? "" : formatTask(ref);
    this.events.emit({ kind: "log", task, attempt: ref?.attempt ?? 0, stream, text });
  }

  #warn(message: string): void {
    this.events.emit({ kind: "warning", message });
  }
}

function failed(failure: TaskFailure): RunEnd {
  return { status: "FAILED", cause: { task: "", attempt: 0, failure, capsule: null } };
}
