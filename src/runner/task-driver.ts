import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "../scheduler/commands.ts";
import type { SchedulerEvent } from "../scheduler/events.ts";
import { formatAttempt, formatTask } from "../scheduler/ids.ts";
import type { AttemptRef, Phase } from "../scheduler/ids.ts";
import { Scheduler } from "../scheduler/scheduler.ts";
import { viewOutputs } from "../scheduler/view.ts";
import { asSheafError, errnoOf } from "../storage/fs-error.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import { PROGRESS_BYTES } from "../task/task-spec.ts";
import type { MapOutput, TaskFailure, TaskResult, TaskSpec, TaskSuccess } from "../task/task-spec.ts";
import type { Outputs } from "../engine/commit.ts";
import type { DriverOptions, DriverResult } from "./driver-options.ts";
import { endedFailure, failureOfThrown } from "../worker/failure.ts";
import { FailureLog } from "../engine/failure-log.ts";
import { MapSplits } from "./map-splits.ts";
import { placeOf } from "./running-attempt.ts";
import type { RunningAttempt } from "./running-attempt.ts";
import { handOverAfterMs, localPolicy } from "./local-policy.ts";
import type { FailedTask } from "../engine/options.ts";
import { PhaseClock } from "../engine/events.ts";
import { PoisonWatch } from "../worker/poison.ts";
import { beatOf, workerStartMsMax } from "../worker/pool.ts";
import { ProgressTally } from "../engine/progress.ts";
import { withoutEngineFrames } from "../engine/error-report.ts";
import { ReduceInputs } from "./reduce-inputs.ts";

const noBoard = new Float64Array(PROGRESS_BYTES / 8);
const lost = "WORKER_LOST" as const;
const node = { node: "local", incarnation: 1 } as const;
const tickMs = 250;

/**
 * Carries out on this machine what the scheduler decides: the only place where its commands meet workers,
 * files and the
 * clock. Every decision about attempts is the scheduler's.
 */
export class TaskDriver {
  readonly #options: DriverOptions;
  readonly #scheduler = new Scheduler({ leaseMs: Number.POSITIVE_INFINITY });
  readonly #running = new Map<number, RunningAttempt>();
  readonly #failures = new FailureLog();
  readonly #asks: number[] = [];
  readonly #cleanups = new Set<Promise<void>>();
  readonly #poison: PoisonWatch;
  readonly #phases: PhaseClock;
  readonly #reduceInputs = new ReduceInputs(() => this.#results("map"));
  readonly progress: ProgressTally;
  /** What the map tasks read: those that hand over their rest less than was planned, others that rest. */
  readonly #maps: MapSplits;
  #events: { readonly event: SchedulerEvent; readonly decided: (() => void) | undefined }[] = [];
  #stepping = false;
  #nextId = 1;
  /** A failure of the job as a whole, found by the runner. */
  #abortCause: FailedTask | null = null;
  #ended!: (end: Extract<Command, { kind: "jobEnded" }>) => void;

  constructor(options: DriverOptions) {
    this.#options = options;
    this.#poison = new PoisonWatch(options.keepBad);
    this.#phases = new PhaseClock(options.clock, (event) => options.emit(event));
    this.progress = new ProgressTally(options.tasks);
    this.#maps = new MapSplits(options.tasks.map);
  }

  /** Runs all tasks and the commit. Never rejects for a failing job. */
  async run(): Promise<DriverResult> {
    const { jobId, tasks, slots, slotsAtFirst, signal } = this.#options;
    const end = new Promise<Extract<Command, { kind: "jobEnded" }>>((resolve) => (this.#ended = resolve));
    const cancel = (): void =>
      this.#dispatch({ kind: "jobCancelled", job: jobId, reason: "cancelled by its caller" });
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
          policy: localPolicy(this.#options),
        },
      });
      this.#askUpTo(Math.min(slots, slotsAtFirst));
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
    const { counters, rest = [] } = result;
    const more = rest.length;
    this.#dispatch({ kind: "attemptFinished", attempt: ref, output: result, counters, more, ...node }, () => {
      if (this.#stateOf(ref)?.kind !== "SUCCEEDED") return;
      if (this.#maps.takeRest(ref.task, rest)) {
        this.progress.grown("map", more);
        this.#options.rested(this.#maps.all);
      }
      this.#accepted(ref, result);
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

  #failedAttempt(attempt: RunningAttempt, reported: TaskFailure): void {
    const { ref, spec } = attempt;
    const ended = this.#poison.ended(spec, attempt.trace !== null, placeOf(attempt), reported);
    const { setAside } = ended;
    const failure = withoutEngineFrames(ended.failure);
    this.#failures.add(ref, attempt.spec, failure, "worker");
    this.#removeLater(attempt);
    const { message } = failure;
    // An attempt that was ended by a record which is set aside from now on is lost: no attempt of the job is
    // used up.
    const { blame, code } = setAside ? ({ blame: "system", code: "WORKER_LOST" } as const) : failure;
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
    // An emit nobody waited for ends whatever task it meets on its worker; to run that one again is no help.
    if (failure.phase === "uncaught") this.strayFailure(failure);
    const over = setAside ? this.#options.poisoned(this.#poison.count) : null;
    if (over !== null) this.#abort(over);
  }

  /**
   * The map attempt whose output a reduce could not read: the map runs again, the reduce's attempt is not
   * used up.
   */
  #unreadableMap(spec: TaskSpec, failure: TaskFailure): MapOutput | null {
    if (spec.kind !== "reduce" || failure.path === null) return null;
    if (failure.code !== "BLOCK_CORRUPT" && failure.code !== "INPUT_MISSING") return null;
    return spec.inputs.find((input) => input.path === failure.path) ?? null;
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

  /**
   * User code threw when the task it belongs to was over. A late emit fails the job while it runs: a result
   * that was taken is not complete. False when there is nothing to be done about it.
   */
  strayFailure(failure: TaskFailure): boolean {
    if (failure.code !== "EMIT_LATE") return false;
    if (this.#scheduler.state.jobs.get(this.#options.jobId)?.status.kind !== "RUNNING") return false;
    this.#abort(failure);
    return true;
  }

  #abort(failure: TaskFailure): void {
    this.#abortCause ??= { task: "", attempt: 0, failure, capsule: null };
    this.#dispatch({ kind: "jobCancelled", job: this.#options.jobId, reason: failure.message });
  }

  /** Offers the slots below this one that were not offered yet. */
  #askUpTo(slots: number): void {
    for (let slot = this.#asks.length; slot < slots; slot++) this.#ask(slot);
  }

  #ask(slot: number): void {
    const ask = (this.#asks[slot] ?? 0) + 1;
    this.#asks[slot] = ask;
    this.#dispatch({ kind: "workerReady", slot, ask, ...node });
  }

  #tick(): void {
    const nowMs = this.#options.clock.nowMs();
    for (const attempt of this.#running.values()) {
      // Slots without tasks are offered when a map is slow: what is quick ends on the workers it has.
      if (attempt.ref.phase === "map" && nowMs - attempt.startedMs >= handOverAfterMs)
        this.#askUpTo(this.#options.slots);
      this.#observe(attempt);
      this.progress.look(attempt.ref, attempt.board);
      if (attempt.moves > 0) {
        this.#dispatch({ kind: "attemptProgress", attempt: attempt.ref, beat: attempt.moves, ...node });
      }
    }
    this.#dispatch({ kind: "tick" });
    const { phases, badRecords } = this.progress.snapshot();
    this.#options.emit({ kind: "progress", phases, workers: this.#options.pool.running, badRecords });
  }

  #observe(attempt: RunningAttempt): void {
    const nowMs = this.#options.clock.nowMs();
    const place = placeOf(attempt);
    const beat = beatOf(attempt.board) + (place === null ? 0 : place.piece + place.offset);
    // What a worker needs to start on a busy machine is not its task's time.
    const starting = beat === 0 && nowMs - attempt.startedMs < workerStartMsMax;
    if (starting || beat !== attempt.lastBeat) {
      attempt.lastBeat = beat;
      attempt.movedMs = nowMs;
      attempt.moves++;
    }
    const stillMs = nowMs - attempt.movedMs;
    if (!this.#options.keepBad || attempt.spec.kind !== "map" || stillMs < this.#options.noProgressMs) return;
    const message = `${formatTask(attempt.ref)} finished no record for ${Math.round(stillMs)} ms`;
    this.#running.delete(attempt.id);
    this.progress.stopped(attempt.ref);
    this.#failedAttempt(
      attempt,
      endedFailure("NO_PROGRESS", message, attempt.ref.phase, this.#options.pool.tail(attempt.slot)),
    );
    this.#endWorker(attempt);
  }

  /**
   * Events raised while commands are carried out wait their turn. `decided` is called when the scheduler has
   * taken the
   * event in and nothing of what it ordered has been done.
   */
  #dispatch(event: SchedulerEvent, decided?: () => void): void {
    this.#events.push({ event, decided });
    if (this.#stepping) return;
    this.#stepping = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        const commands = this.#scheduler.step(next.event, this.#options.clock.nowMs());
        this.#reduceInputs.taken(next.event);
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
      case "handOver":
        return this.#handOver(command.attempt, command.parts);
      case "discardOutput":
        this.#later(removeDirectory(this.#directoryOf(command.attempt)));
        return;
      case "sampleReady":
        this.#options.sampled(this.#results("sample"));
        return;
      case "commitJob":
        void this.#commit();
        return;
      case "jobEnded":
        this.#phases.leave();
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
    this.#phases.enter(ref.phase, this.#options.tasks[ref.phase].length);
    const id = this.#nextId++;
    const directory = this.#directoryOf(ref);
    const spec = this.#specOf(ref, directory);
    const trace = this.#poison.traceOf(spec, id);
    const startedMs = this.#options.clock.nowMs();
    const still = { board: noBoard, moves: 0, startedMs, movedMs: startedMs, lastBeat: 0 };
    const attempt: RunningAttempt = { id, ref, slot, directory, spec, trace, ...still };
    this.#running.set(id, attempt);
    this.progress.started(ref);
    this.#options.emit({
      kind: "attempt-started",
      task: formatTask(ref),
      attempt: ref.attempt,
      worker: slot,
    });
    try {
      mkdirSync(directory);
      attempt.board = this.#options.pool.run(slot, id, spec, { trace, faults: this.#options.faults });
    } catch (error) {
      const failure =
        errnoOf(error) === undefined
          ? failureOfThrown(error, ref.phase, "INTERNAL", "system")
          : failureOfThrown(
              asSheafError(error, { path: directory, doing: "create" }),
              ref.phase,
              "DISK_FULL",
              "system",
            );
      queueMicrotask(() => this.attemptEnded(slot, id, failure));
    }
  }

  #runningOf(ref: AttemptRef): RunningAttempt | undefined {
    return [...this.#running.values()].find(
      (one) => one.ref.phase === ref.phase && one.ref.task === ref.task && one.ref.attempt === ref.attempt,
    );
  }

  #handOver(ref: AttemptRef, parts: number): void {
    const attempt = this.#runningOf(ref);
    if (attempt?.trace === null) this.#options.pool.handOver(attempt.slot, attempt.id, parts);
  }

  #kill(ref: AttemptRef, reason: string): void {
    const attempt = this.#runningOf(ref);
    if (attempt === undefined) return;
    this.#running.delete(attempt.id);
    this.progress.stopped(ref);
    const state = this.#stateOf(ref);
    if (state?.kind === "FAILED" || state?.kind === "LOST") {
      const { code, message } =
        state.kind === "FAILED" ? state.failure : { code: lost, message: state.reason };
      const hang = endedFailure(code, message, ref.phase, this.#options.pool.tail(attempt.slot));
      const { failure } = this.#poison.ended(attempt.spec, attempt.trace !== null, placeOf(attempt), hang);
      this.#failures.add(ref, attempt.spec, failure, "worker");
      this.#tellFailure(ref, failure);
    } else {
      this.#options.emit({ kind: "attempt-cancelled", task: formatTask(ref), attempt: ref.attempt, reason });
    }
    this.#endWorker(attempt);
  }

  #endWorker(attempt: RunningAttempt): void {
    const ended = this.#options.pool.kill(attempt.slot).then(async () => {
      await removeDirectory(attempt.directory);
      this.#ask(attempt.slot);
    });
    this.#later(ended);
  }

  async #commit(): Promise<void> {
    const job = this.#options.jobId;
    this.#phases.leave();
    try {
      await this.#options.commit(
        this.#outputs(Object.fromEntries(this.#scheduler.state.jobs.get(job)!.counters)),
      );
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
        return { kind: "map", split: this.#maps.of(ref.task), directory, ...common };
      case "reduce": {
        const place = tasks.reduce[ref.task]!;
        return { kind: "reduce", ...place, inputs: this.#reduceInputs.of(place), directory, ...common };
      }
    }
  }

  #directoryOf(ref: AttemptRef): string {
    return join(this.#options.workDirectory, formatAttempt(ref));
  }

  #stateOf(ref: AttemptRef) {
    return this.#scheduler.state.jobs.get(ref.job)?.phases[ref.phase].tasks[ref.task]?.attempts[
      ref.attempt - 1
    ]?.state;
  }

  #results(phase: Phase): TaskSuccess[] {
    return [...viewOutputs(this.#scheduler, this.#options.jobId, phase)].map(
      ({ output }) => output as TaskSuccess,
    );
  }

  #outputs(counters: Readonly<Record<string, number>>): Outputs {
    return {
      sample: this.#results("sample"),
      map: this.#results("map"),
      reduce: this.#results("reduce"),
      counters,
    };
  }

  #result(end: Extract<Command, { kind: "jobEnded" }>): DriverResult {
    const outputs = this.#outputs(end.counters);
    const failedTasks = end.failedTasks.map(formatTask);
    const { all: failedAttempts, specs: failedSpecs } = this.#failures;
    const common = { outputs, failedAttempts, failedTasks, failedSpecs };
    if (this.#abortCause !== null) return { status: "FAILED", cause: this.#abortCause, ...common };
    return {
      status: end.status,
      cause: end.status === "FAILED" ? this.#failures.causeOf(end.cause) : null,
      ...common,
    };
  }

  #removeLater(attempt: RunningAttempt): void {
    this.#later(removeDirectory(attempt.directory));
  }

  #later(work: Promise<void>): void {
    this.#cleanups.add(work);
    void work.finally(() => this.#cleanups.delete(work));
  }
}
