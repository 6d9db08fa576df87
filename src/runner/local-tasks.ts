import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { limits } from "../base/limits.ts";
import { wantedRecords } from "../engine/chosen-records.ts";
import { commitOutput, commitRecords, expectRefused, keepCollected, placeBeside } from "../engine/commit.ts";
import type { CommitPlan, Outputs } from "../engine/commit.ts";
import type { EventLog, PhaseClock } from "../engine/event-log.ts";
import type { CommittedPart } from "../engine/events.ts";
import { carryOut } from "../engine/executor.ts";
import type { CommandOf, JobSteps } from "../engine/executor.ts";
import { JobRun, commitFailure } from "../engine/job-run.ts";
import { LiveStates, type LiveWishes, type StoppedBy, type ToldStates } from "../engine/live.ts";
import { EventLoop, memoryJournal } from "../engine/loop.ts";
import { sampledBounds } from "../engine/plan-job.ts";
import type { JobPlan } from "../engine/plan-job.ts";
import { localPolicy, onePolicy } from "../engine/policy.ts";
import type { ResolvedOptions } from "../engine/resolve-options.ts";
import type { MadeRecords, MaterializedRecords } from "../engine/run-result.ts";
import { type AttemptRef, formatTask } from "../scheduler/ids.ts";
import type { TaskPlan } from "../scheduler/messages.ts";
import { Scheduler } from "../scheduler/scheduler.ts";
import type { Placed } from "../storage/atomic-output.ts";
import { isStored } from "../storage/stores.ts";
import type { JobSettings, TaskFailure, TaskResult, TaskSuccess } from "../task/task-spec.ts";
import type { InjectedFault } from "../worker/fault-injection.ts";
import type { WorkerPool } from "../worker/pool.ts";
import { LocalExecutor, localNode } from "./local-executor.ts";
import type { LocalExecutorOptions, TaskExecutor } from "./local-executor.ts";
import type { DrivenRun, LoadedRun, PlannedRun, RunEnd } from "./run-stages.ts";

/** Has the tasks of a run done elsewhere. */
export interface Elsewhere {
  /** Before anything else is done. @throws SheafError why nothing can be run there */
  prepare(): Promise<void>;
  /**
   * @param local runs what is done on this machine all the same: samples
   * @throws SheafError USAGE for what cannot be done there, by what is planned
   */
  executor(local: LocalExecutor, about: ElsewhereAbout): TaskExecutor;
}

export interface ElsewhereAbout extends Pick<
  LocalTasksOptions,
  "loaded" | "planned" | "resolved" | "events" | "phases" | "signal"
> {
  readonly options: LocalExecutorOptions;
  /** As the tasks have them now. */
  settings(): JobSettings;
}

export interface LocalTasksOptions {
  readonly loaded: LoadedRun;
  readonly planned: PlannedRun;
  readonly resolved: ResolvedOptions;
  readonly pool: WorkerPool;
  readonly clock: Clock;
  readonly events: EventLog;
  readonly phases: PhaseClock;
  readonly faults: readonly InjectedFault[];
  readonly signal: AbortSignal | undefined;
  /** null: the pool runs them. */
  readonly elsewhere: Elsewhere | null;
}

/** Of no attempt: the worker that looks on while others run tasks. */
export const liveSlot = -1;
const tickMs = 250;

/** Only as many workers as there is work. */
export function workersOf(
  { tasks: { sample, map, reduce } }: JobPlan,
  { workers }: Pick<ResolvedOptions, "workers">,
): number {
  return Math.max(1, Math.min(workers, Math.max(sample.length, map.length, reduce.length)));
}

/** Runs the tasks of one job on this machine, and makes their output final. */
export class LocalTasks {
  readonly #options: LocalTasksOptions;
  readonly #job: string;
  readonly #loop: EventLoop<TaskSuccess>;
  readonly #executor: TaskExecutor;
  readonly #run: JobRun<TaskSuccess>;
  readonly #live: LiveStates | null;
  readonly #ended: Promise<CommandOf<"jobEnded">>;
  #settings: JobSettings;
  #mapTasks: number;
  #parts: readonly CommittedPart[] = [];
  #collected: DrivenRun["collected"] = null;
  #materialized: MaterializedRecords | null = null;

  constructor(options: LocalTasksOptions) {
    const { loaded, planned, resolved, pool, clock, events, phases, faults } = options;
    const { jobId: job, collections, directory } = loaded;
    const { tasks, partitions } = planned.plan;
    const { only } = planned.settings;
    const { noProgressMs, badBudget, workers, chaos } = resolved;
    this.#options = options;
    this.#job = job;
    this.#settings = planned.settings;
    this.#mapTasks = tasks.map.length;
    let over!: (end: CommandOf<"jobEnded">) => void;
    this.#ended = new Promise((resolve) => (over = resolve));
    const steps: JobSteps = {
      sampled: () => this.#useSample(),
      commit: () => void this.#commit().catch((error: unknown) => this.#loop.bug(error)),
      ended: over,
    };
    const loop = new EventLoop<TaskSuccess>({
      scheduler: new Scheduler({ leaseMs: Number.POSITIVE_INFINITY, keepFacts: true }),
      journal: memoryJournal,
      handlers: {
        follow: (fact, report) => {
          if (fact.kind === "attempt") this.#run.follow(fact, report);
        },
        perform: (command) => carryOut(command, this.#executor, steps),
        bug: (error) => this.#run.fail(commitFailure(error)),
      },
      nowMs: () => clock.nowMs(),
    });
    const slotsAtFirst = workersOf(planned.plan, resolved);
    this.#loop = loop;
    const { elsewhere } = options;
    const most = Math.max(workers, tasks.map.length, tasks.reduce.length);
    const here: LocalExecutorOptions = {
      job,
      tasks,
      loop,
      pool,
      clock,
      slots: elsewhere !== null ? most : this.#handsOver ? workers : slotsAtFirst,
      slotsAtFirst,
      noProgressMs,
      workDirectory: planned.work.attempts,
      faults,
      chaos,
      keptOf: (task) => planned.keptOf(planned.plan.kept.get(task)),
      rested: (mapTasks) => {
        this.#mapTasks = mapTasks;
        directory?.update({ mapTasks });
      },
    };
    const local = new LocalExecutor(here);
    const about = { ...options, options: here, settings: () => this.#settings };
    this.#executor = elsewhere?.executor(local, about) ?? local;
    this.#live = planned.live === null ? null : this.#liveStates(planned.live);
    this.#run = new JobRun<TaskSuccess>({
      job,
      loop,
      phases,
      collections,
      tasks,
      partitions,
      badBudget,
      ...(this.#live === null ? {} : { live: this.#live }),
      ...(only !== undefined && { wanted: wantedRecords(only, (task) => tasks.map[task]!) }),
      emit: (event) => events.emit(event),
      specOf: (ref) => this.#executor.specOf(ref),
      listener: this.#executor.listener,
    });
  }

  /** Runs all tasks and the commit. */
  async run(): Promise<{ readonly end: RunEnd; readonly driven: DrivenRun }> {
    const { pool, signal, phases } = this.#options;
    const job = this.#job;
    const loop = this.#loop;
    const cancel = (): void =>
      loop.dispatch({ kind: "jobCancelled", job, reason: "cancelled by its caller" });
    const timer = setInterval(() => {
      this.#executor.tick();
      this.#run.tellProgress(pool.running);
      this.#lookOn();
    }, tickMs).unref();
    signal?.addEventListener("abort", cancel);
    try {
      this.#submit();
      this.#executor.begin(this.#run);
      if (signal?.aborted === true) cancel();
      const end = await this.#ended;
      phases.leave();
      await this.#live?.end(end.status === "SUCCEEDED");
      await this.#executor.settled();
      return this.#result(end);
    } finally {
      clearInterval(timer);
      signal?.removeEventListener("abort", cancel);
    }
  }

  /** What the pool tells; see PoolListener. */
  ended(slot: number, id: number, result: TaskResult): void {
    this.#executor.ended(slot, id, result);
  }

  /** As `ended`. */
  told(id: number, told: ToldStates): void {
    const ref = this.#executor.attemptOf(id);
    if (ref !== null) this.#live?.told(ref, told);
  }

  /** As LocalExecutor. */
  attemptOf(id: number | null): AttemptRef | null {
    return this.#executor.attemptOf(id);
  }

  /** User code threw when its task was over. `decided` is told whether that fails the job. */
  stray(failure: TaskFailure, decided: (failsJob: boolean) => void): void {
    if (failure.code !== "EMIT_LATE") return decided(false);
    this.#run.emittedLate(null, failure, localNode, decided);
    this.#loop.settleQuietly();
  }

  #liveStates(wishes: LiveWishes): LiveStates {
    const { pool, events, clock } = this.#options;
    return new LiveStates({
      ...wishes,
      fold: (request) => pool.fold(request, liveSlot),
      isTrue: (made) => this.#stopSource("until", made),
      failed: (failure) => {
        this.#run.fail(failure);
        this.#loop.settleQuietly();
      },
      emit: (event) => events.emit(event),
      nowMs: () => clock.nowMs(),
      bytesMax: limits.liveWaitingBytesMax,
    });
  }

  /** Time has passed. */
  #lookOn(): void {
    const live = this.#live;
    const forMs = this.#options.planned.live?.forMs ?? null;
    if (live === null) return;
    if (forMs !== null && live.elapsedMs >= forMs) this.#stopSource("time", live.made);
    live.look();
  }

  #stopSource(by: StoppedBy, made: ReadonlyMap<number, number>): void {
    if (this.#run.progress.isDone("map")) return;
    this.#run.stopSource(by, made);
    this.#executor.stopSources();
  }

  /** Whether slow map tasks are cut while they run: not where the caller has said what tasks there are. */
  get #handsOver(): boolean {
    const { splitBytes, mappers, isolation, workers } = this.#options.resolved;
    const { probe, only } = this.#settings;
    const isPart = probe !== undefined || only !== undefined;
    if (this.#options.elsewhere !== null) return false;
    return !isPart && splitBytes === null && mappers === null && isolation !== "inline" && workers > 1;
  }

  #submit(): void {
    const { resolved, planned } = this.#options;
    const { attempts, noProgressMs, failedTasksShare, badBudget } = resolved;
    const { tasks } = planned.plan;
    const options = { attempts, noProgressMs, failedTasksShare, keepBad: badBudget !== null };
    const policy =
      this.#options.elsewhere === null ? localPolicy(options, this.#handsOver) : onePolicy(options);
    const plans = (some: readonly unknown[]): TaskPlan[] => some.map(() => ({}));
    const [sample, map, reduce] = [plans(tasks.sample), plans(tasks.map), plans(tasks.reduce)];
    this.#loop.push({ kind: "jobSubmitted", job: { id: this.#job, sample, map, reduce, policy } });
  }

  #useSample(): void {
    const { loaded, pool } = this.#options;
    const { partitions } = this.#settings;
    const bounds = sampledBounds(loaded.outline, partitions, this.#executor.results("sample"));
    this.#settings = { ...this.#settings, bounds };
    pool.settings(this.#settings);
  }

  async #commit(): Promise<void> {
    this.#options.phases.enter("commit", 0);
    const refusal = this.#run.refusal();
    try {
      const { counters } = this.#loop.scheduler.state.jobs.get(this.#job)!;
      if (refusal === null) await this.#makeFinal(this.#outputs(Object.fromEntries(counters)));
      this.#run.committed(refusal);
    } catch (error) {
      this.#run.committed(commitFailure(error));
    }
    this.#loop.settleQuietly();
  }

  async #makeFinal(outputs: Outputs): Promise<void> {
    const { loaded, planned, resolved, pool, signal } = this.#options;
    const { name, bundle, collections, outline } = loaded;
    const { work } = planned;
    if (this.#settings.probe !== undefined) return;
    if (outline.hasExpect) {
      const refused = await pool.expect(outputs.counters);
      if (refused !== null) throw expectRefused(refused, " The counters are in the job directory.");
    }
    if (resolved.collect) {
      const results = [...outputs.map, ...outputs.reduce];
      this.#collected = await keepCollected(results, collections, work.collected);
    }
    const { output, overwrite, materialize } = resolved;
    const beside = materialize === null ? undefined : () => this.#keepRecords(materialize, outputs);
    if (output === null) {
      await (await beside?.())?.done();
      return;
    }
    const code = bundle?.hash ?? null;
    const { incremental } = planned;
    const state: CommitPlan["state"] = (placed) =>
      incremental!.files(this.#executor.mapsDone(), this.#settings, placed);
    const job = loaded.jobId;
    // Moving files takes no time; uploading them may.
    const step = isStored(output) ? (): void => signal?.throwIfAborted() : undefined;
    const placing = (await this.#executor.placing?.()) ?? null;
    const place = {
      staging: work.output,
      output,
      overwrite,
      ...(step !== undefined && { step }),
      beside,
      ...(placing !== null && { place: placing }),
    };
    const plan = { name, code, job, collections, ...place };
    this.#parts = await commitOutput(
      incremental === null ? plan : { ...plan, state, check: () => incremental.checkOutput() },
      outputs,
    );
  }

  /** A dataset of its own: it has its place just before the output has, and leaves it where that fails. */
  #keepRecords(directory: string, outputs: Outputs): Promise<Placed> {
    const { loaded, resolved } = this.#options;
    const { overwrite } = resolved;
    const about = { name: loaded.name, code: loaded.bundle?.hash ?? null, output: directory, overwrite };
    return placeBeside(directory, async (temp, held) => {
      const parts = await commitRecords({ ...about, staging: join(temp, "out"), held }, outputs);
      const records = parts.reduce((sum, part) => sum + part.records, 0);
      this.#materialized = { directory, records, parts };
    });
  }

  #outputs(counters: Readonly<Record<string, number>>): Outputs {
    const of = (phase: AttemptRef["phase"]): TaskSuccess[] => this.#executor.results(phase);
    return { sample: of("sample"), map: of("map"), reduce: of("reduce"), counters };
  }

  #made(): MadeRecords | null {
    if (!("tasks" in this.#options.loaded.outline.input)) return null;
    const { made } = this.#run;
    const tasks = made.of(this.#mapTasks);
    return { records: tasks.reduce((sum, one) => sum + one, 0), tasks, stoppedBy: made.stoppedBy };
  }

  #result(end: CommandOf<"jobEnded">): { readonly end: RunEnd; readonly driven: DrivenRun } {
    const { failures } = this.#run;
    const driven: DrivenRun = {
      outputs: this.#outputs(end.counters),
      parts: this.#parts,
      collected: this.#collected,
      failedAttempts: failures.all,
      failedTasks: end.failedTasks.map(formatTask),
      failedSpecs: failures.specs,
      failedElsewhere: this.#executor.failedElsewhere ?? null,
      settings: this.#settings,
      mapTasks: this.#mapTasks,
      made: this.#made(),
      materialized: this.#materialized,
    };
    if (end.status !== "FAILED") return { end: { status: end.status }, driven };
    return { end: { status: "FAILED", cause: failures.causeOf(end.cause) }, driven };
  }
}
