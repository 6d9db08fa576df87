import { mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { asSheafError, errnoOf } from "../storage/fs-error.ts";
import type { Command } from "../scheduler/commands.ts";
import type { SchedulerEvent } from "../scheduler/events.ts";
import { formatAttempt, formatTask } from "../scheduler/ids.ts";
import type { AttemptRef, Phase } from "../scheduler/ids.ts";
import { Scheduler } from "../scheduler/scheduler.ts";
import { viewOutputs } from "../scheduler/view.ts";
import type { MapOutput, Split, TaskFailure, TaskResult, TaskSpec, TaskSuccess } from "../task/task-spec.ts";
import type { RunEventBody } from "./events.ts";
import { failureOfThrown, taskFailure } from "./failure.ts";
import type { InjectedFault } from "./fault-injection.ts";
import type { FailedTask } from "./options.ts";
import { beatOf } from "./pool.ts";
import type { WorkerPool } from "./pool.ts";
import { ProgressTally } from "./progress.ts";

/** The tasks of a job: what each reads, by phase and index. */
export interface TaskTable {
  readonly sample: readonly Split[];
  readonly map: readonly Split[];
  readonly reduce: readonly { readonly collection: number; readonly partition: number }[];
}

export interface DriverOptions {
  readonly jobId: string;
  readonly tasks: TaskTable;
  readonly pool: WorkerPool;
  readonly slots: number;
  readonly attempts: number;
  readonly noProgressMs: number;
  /** Directory, existing and the job's own, in which every attempt gets one. */
  readonly workDirectory: string;
  readonly faults: readonly InjectedFault[];
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
  emit(event: RunEventBody): void;
  /** All sample tasks are done; called before the first map starts. */
  sampled(results: readonly TaskSuccess[]): void;
  /** A task of the phase is finished; a failure ends the job by it. */
  taskFinished(phase: Phase, result: TaskSuccess, allOfPhase: boolean): TaskFailure | null;
  /** Makes the output final. Rejects when that cannot be done: then nothing of it must be left. */
  commit(outcome: Outputs): Promise<void>;
}

/** Results of the successful attempts, one per task, in task order. */
export interface Outputs {
  readonly sample: readonly TaskSuccess[];
  readonly map: readonly TaskSuccess[];
  readonly reduce: readonly TaskSuccess[];
  readonly counters: Readonly<Record<string, number>>;
}

export interface DriverResult {
  readonly status: "SUCCEEDED" | "FAILED" | "CANCELLED";
  /** The first real cause; null when it succeeded. */
  readonly cause: FailedTask | null;
  readonly outputs: Outputs;
  readonly failedAttempts: readonly FailedTask[];
  /** What the attempts that failed were to do, by attempt name: what a capsule is made of. */
  readonly failedSpecs: ReadonlyMap<string, TaskSpec>;
}

interface RunningAttempt {
  readonly id: number;
  readonly ref: AttemptRef;
  readonly slot: number;
  readonly spec: TaskSpec;
  readonly directory: string;
  /** Times its beat was seen to change. */
  moves: number;
  lastBeat: number;
}

const node = { node: "local", incarnation: 1 } as const;
const tickMs = 250;
const lossesMin = 4;

/**
 * Carries out on this machine what the scheduler decides: the only place where its commands meet workers, files and the
 * clock. Every decision about attempts is the scheduler's.
 */
export class TaskDriver {
  readonly #options: DriverOptions;
  readonly #scheduler = new Scheduler({ leaseMs: Number.POSITIVE_INFINITY });
  readonly #running = new Map<number, RunningAttempt>();
  readonly #failed: FailedTask[] = [];
  readonly #failedSpecs = new Map<string, TaskSpec>();
  readonly #asks: number[] = [];
  readonly #cleanups = new Set<Promise<void>>();
  readonly progress: ProgressTally;
  #events: { readonly event: SchedulerEvent; readonly decided: (() => void) | undefined }[] = [];
  #stepping = false;
  #nextId = 1;
  /** A failure of the job as a whole, found by the runner. */
  #abortCause: FailedTask | null = null;
  #phase: { name: Phase; startedMs: number } | null = null;
  #ended!: (end: Extract<Command, { kind: "jobEnded" }>) => void;

  constructor(options: DriverOptions) {
    this.#options = options;
    this.progress = new ProgressTally(options.tasks);
  }

  /** Runs all tasks and the commit. Never rejects for a failing job. */
  async run(): Promise<DriverResult> {
    const { jobId, tasks, slots, signal } = this.#options;
    const end = new Promise<Extract<Command, { kind: "jobEnded" }>>((resolve) => (this.#ended = resolve));
    const cancel = (): void => this.#dispatch({ kind: "jobCancelled", job: jobId, reason: "cancelled by its caller" });
    const timer = setInterval(() => this.#tick(), tickMs).unref();
    signal?.addEventListener("abort", cancel);
    try {
      this.#dispatch({ kind: "nodeJoined", slots, ...node });
      this.#dispatch({
        kind: "jobSubmitted",
        job: {
          id: jobId,
          sample: tasks.sample.map(() => ({})),
          map: tasks.map.map(() => ({})),
          reduce: tasks.reduce.map(() => ({})),
          policy: {
            attemptsMax: this.#options.attempts,
            // On one machine a task that keeps losing its worker is what kills it.
            lossesMax: Math.max(lossesMin, this.#options.attempts),
            noProgressMs: this.#options.noProgressMs,
            barAfterFailures: Number.POSITIVE_INFINITY,
            speculation: false,
            stallMs: Number.POSITIVE_INFINITY,
          },
        },
      });
      for (let slot = 0; slot < slots; slot++) this.#ask(slot);
      if (signal?.aborted === true) cancel();
      const ended = await end;
      await Promise.all(this.#cleanups);
      return this.#result(ended);
    } finally {
      clearInterval(timer);
      signal?.removeEventListener("abort", cancel);
    }
  }

  /** What the pool tells; see PoolListener. */
  attemptEnded(slot: number, id: number, result: TaskResult): void {
    const attempt = this.#running.get(id);
    if (attempt === undefined || attempt.slot !== slot) return;
    this.#running.delete(id);
    this.progress.stopped(attempt.ref);
    if (result.kind === "success") this.#succeeded(attempt, result);
    else this.#failedAttempt(attempt, result);
    this.#ask(slot);
  }

  /** The running attempt's task and number; null when it runs no more. */
  attemptOf(id: number | null): AttemptRef | null {
    return id === null ? null : (this.#running.get(id)?.ref ?? null);
  }

  #succeeded(attempt: RunningAttempt, result: TaskSuccess): void {
    const { ref } = attempt;
    const { counters } = result;
    this.#dispatch({ kind: "attemptFinished", attempt: ref, output: result, counters, ...node }, () => {
      if (this.#stateOf(ref)?.kind === "SUCCEEDED") this.#accepted(ref, result);
    });
  }

  #accepted(ref: AttemptRef, result: TaskSuccess): void {
    this.progress.finished(ref, result);
    this.#options.emit({
      kind: "attempt-finished",
      task: formatTask(ref),
      attempt: ref.attempt,
      stats: result.stats,
    });
    const all = this.progress.isDone(ref.phase);
    const refusal = this.#options.taskFinished(ref.phase, result, all);
    if (refusal !== null) this.#abort(refusal);
  }

  #failedAttempt(attempt: RunningAttempt, failure: TaskFailure): void {
    const { ref } = attempt;
    this.#remember(attempt, failure);
    this.#removeLater(attempt);
    const { blame, code, message } = failure;
    const unreadable = this.#unreadableMap(attempt.spec, failure);
    const event: SchedulerEvent =
      unreadable === null
        ? { kind: "attemptFailed", attempt: ref, blame, code, message, detail: failure, ...node }
        : {
            kind: "fetchFailed",
            attempt: ref,
            mapTask: unreadable.task,
            mapAttempt: unreadable.attempt,
            message,
            ...node,
          };
    this.#dispatch(event, () => this.#tellFailure(ref, failure));
  }

  /** The map attempt whose output a reduce could not read: the map runs again, the reduce's attempt is not used up. */
  #unreadableMap(spec: TaskSpec, failure: TaskFailure): MapOutput | null {
    if (spec.kind !== "reduce" || failure.path === null) return null;
    if (failure.code !== "BLOCK_CORRUPT" && failure.code !== "INPUT_MISSING") return null;
    return spec.inputs.find((input) => input.path === failure.path) ?? null;
  }

  #remember(attempt: RunningAttempt, failure: TaskFailure): void {
    const { ref } = attempt;
    this.#failed.push({ task: formatTask(ref), attempt: ref.attempt, failure, capsule: null });
    this.#failedSpecs.set(formatAttempt(ref), attempt.spec);
  }

  #tellFailure(ref: AttemptRef, failure: TaskFailure): void {
    const willRetry = this.#scheduler.state.jobs.get(ref.job)?.status.kind === "RUNNING";
    this.#options.emit({
      kind: "attempt-failed",
      task: formatTask(ref),
      attempt: ref.attempt,
      outcome: this.#stateOf(ref)?.kind === "FAILED" ? "failed" : "lost",
      failure,
      willRetry,
    });
  }

  #abort(failure: TaskFailure): void {
    this.#abortCause ??= { task: "", attempt: 0, failure, capsule: null };
    this.#dispatch({ kind: "jobCancelled", job: this.#options.jobId, reason: failure.message });
  }

  #ask(slot: number): void {
    const ask = (this.#asks[slot] ?? 0) + 1;
    this.#asks[slot] = ask;
    this.#dispatch({ kind: "workerReady", slot, ask, ...node });
  }

  #tick(): void {
    for (const attempt of this.#running.values()) {
      const look = this.#options.pool.look(attempt.slot);
      if (look === null) continue;
      const beat = beatOf(look.board);
      if (beat !== attempt.lastBeat) {
        attempt.lastBeat = beat;
        attempt.moves++;
      }
      this.progress.look(attempt.ref, look.board);
      if (attempt.moves > 0) {
        this.#dispatch({ kind: "attemptProgress", attempt: attempt.ref, beat: attempt.moves, ...node });
      }
    }
    this.#dispatch({ kind: "tick" });
    const { phases, badRecords } = this.progress.snapshot();
    this.#options.emit({ kind: "progress", phases, workers: this.#options.pool.running, badRecords });
  }

  /**
   * Events raised while commands are carried out wait their turn. `decided` is called when the scheduler has taken the
   * event in and nothing of what it ordered has been done.
   */
  #dispatch(event: SchedulerEvent, decided?: () => void): void {
    this.#events.push({ event, decided });
    if (this.#stepping) return;
    this.#stepping = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        const commands = this.#scheduler.step(next.event, this.#options.clock.nowMs());
        next.decided?.();
        for (const command of commands) this.#perform(command);
      }
    } finally {
      this.#stepping = false;
    }
  }

  #perform(command: Command): void {
    switch (command.kind) {
      case "startAttempt":
        return this.#start(command.attempt, command.slot);
      case "killAttempt":
        return this.#kill(command.attempt, command.reason);
      case "discardOutput":
        this.#later(this.#remove(this.#directoryOf(command.attempt)));
        return;
      case "sampleReady":
        this.#options.sampled(this.#results("sample"));
        return;
      case "commitJob":
        void this.#commit();
        return;
      case "jobEnded":
        this.#leavePhase();
        this.#ended(command);
        return;
      case "grantCommit":
      case "denyCommit":
      case "fenceNode":
      case "nodeBarred":
      case "nodeAdmitted":
        return;
    }
  }

  #start(ref: AttemptRef, slot: number): void {
    this.#enterPhase(ref.phase);
    const id = this.#nextId++;
    const directory = this.#directoryOf(ref);
    const attempt = { id, ref, slot, directory, spec: this.#specOf(ref, directory), moves: 0, lastBeat: 0 };
    this.#running.set(id, attempt);
    this.progress.started(ref);
    this.#options.emit({ kind: "attempt-started", task: formatTask(ref), attempt: ref.attempt, worker: slot });
    try {
      mkdirSync(directory);
      this.#options.pool.run(slot, id, attempt.spec, this.#options.faults);
    } catch (error) {
      const failure =
        errnoOf(error) === undefined
          ? failureOfThrown(error, ref.phase, "INTERNAL", "system")
          : failureOfThrown(asSheafError(error, { path: directory, doing: "create" }), ref.phase, "DISK_FULL", "system");
      queueMicrotask(() => this.attemptEnded(slot, id, failure));
    }
  }

  #kill(ref: AttemptRef, reason: string): void {
    const attempt = [...this.#running.values()].find(
      (one) => one.ref.phase === ref.phase && one.ref.task === ref.task && one.ref.attempt === ref.attempt,
    );
    if (attempt === undefined) return;
    this.#running.delete(attempt.id);
    this.progress.stopped(ref);
    const tail = this.#options.pool.look(attempt.slot)?.tail ?? [];
    const state = this.#stateOf(ref);
    if (state?.kind === "FAILED" || state?.kind === "LOST") {
      const known = state.kind === "FAILED" ? state.failure : { code: "WORKER_LOST" as const, message: state.reason };
      const failure = taskFailure(known.code, known.message, {
        phase: ref.phase,
        log: [...tail],
        hint:
          known.code === "NO_PROGRESS"
            ? "Look for an endless loop, or an await that never ends; for long records call ctx.progress() or raise " +
              "--no-progress-timeout."
            : null,
      });
      this.#remember(attempt, failure);
      this.#tellFailure(ref, failure);
    } else {
      this.#options.emit({ kind: "attempt-cancelled", task: formatTask(ref), attempt: ref.attempt, reason });
    }
    this.#later(
      this.#options.pool.kill(attempt.slot).then(async () => {
        await this.#remove(attempt.directory);
        this.#ask(attempt.slot);
      }),
    );
  }

  async #commit(): Promise<void> {
    const job = this.#options.jobId;
    this.#leavePhase();
    try {
      await this.#options.commit(this.#outputs(Object.fromEntries(this.#scheduler.state.jobs.get(job)!.counters)));
      this.#dispatch({ kind: "jobCommitted", job });
    } catch (error) {
      const detail = failureOfThrown(error, "commit", "OUTPUT_UNWRITABLE", "system");
      const { code, message, blame } = detail;
      this.#dispatch({ kind: "jobCommitFailed", job, blame, code, message, detail });
    }
  }

  #specOf(ref: AttemptRef, directory: string): TaskSpec {
    const { tasks } = this.#options;
    const common = { index: ref.task, attempt: ref.attempt };
    switch (ref.phase) {
      case "sample":
        return { kind: "sample", split: tasks.sample[ref.task]!, ...common };
      case "map":
        return { kind: "map", split: tasks.map[ref.task]!, directory, ...common };
      case "reduce": {
        const inputs = this.#results("map").flatMap((result) => (result.output === null ? [] : [result.output]));
        return { kind: "reduce", ...tasks.reduce[ref.task]!, inputs, directory, ...common };
      }
    }
  }

  #directoryOf(ref: AttemptRef): string {
    return join(this.#options.workDirectory, formatAttempt(ref));
  }

  #stateOf(ref: AttemptRef) {
    return this.#scheduler.state.jobs.get(ref.job)?.phases[ref.phase].tasks[ref.task]?.attempts[ref.attempt - 1]?.state;
  }

  #results(phase: Phase): TaskSuccess[] {
    return [...viewOutputs(this.#scheduler, this.#options.jobId, phase)].map(({ output }) => output as TaskSuccess);
  }

  #outputs(counters: Readonly<Record<string, number>>): Outputs {
    return { sample: this.#results("sample"), map: this.#results("map"), reduce: this.#results("reduce"), counters };
  }

  #result(end: Extract<Command, { kind: "jobEnded" }>): DriverResult {
    const outputs = this.#outputs(end.counters);
    const common = { outputs, failedAttempts: this.#failed, failedSpecs: this.#failedSpecs };
    if (this.#abortCause !== null) return { status: "FAILED", cause: this.#abortCause, ...common };
    return { status: end.status, cause: end.status === "FAILED" ? this.#causeOf(end) : null, ...common };
  }

  #causeOf(end: Extract<Command, { kind: "jobEnded" }>): FailedTask {
    const { cause } = end;
    const ref = cause?.attempt ?? null;
    const known = this.#failed.find((one) => ref !== null && one.task === formatTask(ref) && one.attempt === ref.attempt);
    if (known !== undefined) return { ...known, failure: this.#repeatedLoss(known) };
    const detail = cause?.detail as TaskFailure | null | undefined;
    const failure = detail ?? taskFailure(cause?.code ?? "INTERNAL", cause?.message ?? "no cause was given");
    return { task: ref === null ? "" : formatTask(ref), attempt: ref?.attempt ?? 0, failure, capsule: null };
  }

  /** A worker may be killed by anyone; one task whose workers all are, is what kills them. */
  #repeatedLoss({ task, failure }: FailedTask): TaskFailure {
    const times = this.#failed.filter((one) => one.task === task && one.failure.code === "WORKER_LOST").length;
    if (failure.code !== "WORKER_LOST" || times < 2) return failure;
    const message = `user code exited: ${times} workers were lost while they ran this task; the last: ${failure.message}`;
    return { ...failure, code: "USER_EXITED", blame: "user", message };
  }

  #enterPhase(name: Phase): void {
    if (this.#phase?.name === name) return;
    this.#leavePhase();
    this.#phase = { name, startedMs: this.#options.clock.nowMs() };
    this.#options.emit({ kind: "phase-started", phase: name, tasks: this.#options.tasks[name].length });
  }

  #leavePhase(): void {
    if (this.#phase === null) return;
    const elapsedMs = this.#options.clock.nowMs() - this.#phase.startedMs;
    this.#options.emit({ kind: "phase-finished", phase: this.#phase.name, elapsedMs });
    this.#phase = null;
  }

  #removeLater(attempt: RunningAttempt): void {
    this.#later(this.#remove(attempt.directory));
  }

  async #remove(directory: string): Promise<void> {
    await rm(directory, { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined);
  }

  #later(work: Promise<void>): void {
    this.#cleanups.add(work);
    void work.finally(() => this.#cleanups.delete(work));
  }
}
