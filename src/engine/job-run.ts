import type { AttemptFact } from "../scheduler/facts.ts";
import { type AttemptRef, formatAttempt, formatTask, type NodeRef, type Phase } from "../scheduler/ids.ts";
import type { AttemptState } from "../scheduler/state.ts";
import type { AttemptRecord } from "../scheduler/view.ts";
import type { TaskFailure, TaskResult, TaskSpec, TaskSuccess } from "../task/task-spec.ts";
import { failureOfThrown, taskFailure } from "../worker/failure.ts";
import { PoisonWatch } from "../worker/poison.ts";
import type { PoisonRecord, RecordPlace } from "../worker/trace.ts";
import { withoutEngineFrames } from "./error-report.ts";
import type { PhaseClock } from "./event-log.ts";
import type { RunEventBody } from "./events.ts";
import { causeFields, FailureLog } from "./failure-log.ts";
import { BadRecordBudget, FileAgreement } from "./job-checks.ts";
import { type LiveStates, MadeTally, type StoppedBy } from "./live.ts";
import type { EventLoop } from "./loop.ts";
import { ProgressTally } from "./progress.ts";
import type { BadBudget } from "./resolve-options.ts";
import { ShuffleTally } from "./shuffle-tally.ts";
import type { Addition, KeptSums } from "./shuffle-tally.ts";

/** What is kept of a success, at least, as long as its job runs. */
export type KeptSuccess = Pick<TaskSuccess, "stats" | "parts" | "made" | "adopted">;

export interface JobRunSetting<Output extends KeptSuccess> {
  readonly job: string;
  readonly loop: EventLoop<Output>;
  readonly phases: PhaseClock;
  /** Names of the collections, by index. */
  readonly collections: readonly string[];
  readonly tasks: Readonly<Record<Phase, { readonly length: number }>>;
  /** Of each collection. */
  readonly partitions: readonly number[];
  readonly badBudget: BadBudget | null;
  /** With JobSettings.only: of inputs that are not mapped as a whole. Default: all records are mapped. */
  readonly wanted?: { readonly records: number; readonly has: (mapTask: number) => boolean };
  /** What an earlier life of the process has found out; see `PoisonWatch` and `ShuffleTally`. */
  readonly known?: {
    readonly poison: readonly (readonly [number, readonly PoisonRecord[]])[];
    readonly sums: KeptSums | null;
    readonly added: Iterable<Addition>;
  };
  /** Left out: nobody looks on, and no source is to be stopped. */
  readonly live?: LiveStates;
  emit(event: RunEventBody): void;
  /** What an attempt is to do. */
  specOf(ref: AttemptRef): TaskSpec;
  readonly listener?: JobRunListener<Output>;
}

/** What a runner does besides when something becomes of an attempt: in memory and in the journal only. */
export interface JobRunListener<Output> {
  started?(fact: AttemptFact<Output, TaskFailure>): void;
  /** `report` is null for one that the scheduler tells of again. */
  finished?(fact: AttemptFact<Output, TaskFailure>, output: Output, report: TaskSuccess | null): void;
  failed?(fact: AttemptFact): void;
  /** A reduce could not read the output of a map. */
  fetchFailed?(): void;
  /** It was told to end. */
  killed?(fact: AttemptFact): void;
  /** The output of a map that had finished is gone. */
  outputLost?(fact: AttemptFact): void;
  /** A map has added to the sums of the shuffle. */
  summed?(task: number, addition: Addition): void;
  /** More is known of the records that end their workers. */
  suspected?(poison: PoisonWatch["suspects"]): void;
}

/** How an attempt failed, as whoever ran it tells. */
export interface FailedReport {
  readonly failure: TaskFailure;
  /** It told at which record it was ... */
  readonly traced: boolean;
  /** ... and was at this one when it ended; null: at none. */
  readonly place: RecordPlace | null;
  /** The map attempt whose output it could not read. */
  readonly unreadable?: { readonly task: number; readonly attempt: number } | undefined;
}

/**
 * The tasks of one job while they run, wherever that is: makes scheduler events of what is reported, and
 * progress, counts, budgets, run events and the first real cause of what the scheduler makes of them.
 */
export class JobRun<Output extends KeptSuccess = KeptSuccess> {
  readonly failures = new FailureLog();
  readonly poison: PoisonWatch;
  readonly progress: ProgressTally;
  readonly shuffled: ShuffleTally;
  readonly made = new MadeTally();
  /** Names of the attempts that run. */
  readonly running = new Set<string>();
  readonly #options: JobRunSetting<Output>;
  readonly #budget: BadRecordBudget;
  readonly #files: FileAgreement;
  /** Of the records that are wanted, those that finished maps have been given. */
  #mapped = 0;
  /** Tasks that have finished once: what they count is counted. */
  readonly #counted = { sample: new Set<number>(), map: new Set<number>(), reduce: new Set<number>() };
  /** Maps whose sums were added: once each, whatever becomes of their outputs. */
  readonly #summed = new Set<number>();

  constructor(options: JobRunSetting<Output>) {
    const { badBudget, known, tasks, partitions, collections } = options;
    this.#options = options;
    this.poison = new PoisonWatch(badBudget !== null, known?.poison);
    this.progress = new ProgressTally(tasks);
    this.shuffled = new ShuffleTally(partitions, known?.sums);
    for (const addition of known?.added ?? []) this.shuffled.add(addition);
    this.#budget = new BadRecordBudget(badBudget);
    this.#files = new FileAgreement(collections);
  }

  /** An attempt has finished. */
  finished(
    ref: AttemptRef,
    success: TaskSuccess,
    kept: { readonly output: Output; readonly fingerprint?: string },
    node: NodeRef,
    decided: (() => void) | null = null,
  ): void {
    const { counters, rest = [] } = success;
    this.#options.loop.push(
      { kind: "attemptFinished", attempt: ref, counters, more: rest.length, ...kept, ...node },
      decided,
      success,
    );
  }

  /** An attempt has failed, or was lost with its worker. What is told of one that is void changes nothing. */
  failed(ref: AttemptRef, { failure: told, traced, place, unreadable }: FailedReport, node: NodeRef): void {
    const { loop, job, specOf, listener } = this.#options;
    if (!this.#speaksFor(ref, node)) return;
    if (unreadable !== undefined && ref.phase === "reduce") {
      const { task: mapTask, attempt: mapAttempt } = unreadable;
      const { message } = told;
      listener?.fetchFailed?.();
      loop.push({ kind: "fetchFailed", attempt: ref, mapTask, mapAttempt, message, ...node }, null, told);
      return;
    }
    const ended = this.poison.ended(specOf(ref), traced, place, told);
    if (this.poison.skipOf(ref.task) !== null) listener?.suspected?.(this.poison.suspects);
    const { setAside } = ended;
    const failure = withoutEngineFrames(ended.failure);
    const cause = causeFields(failure);
    loop.push({ kind: "attemptFailed", attempt: ref, ...cause, setAside, ...node }, null, failure);
    // Such an emit ends whatever attempt its worker has: the result that is not complete is another one's.
    if (failure.code === "EMIT_LATE" && failure.phase === "uncaught")
      loop.push({ kind: "lateEmit", job, attempt: null, ...cause, ...node });
    const over = setAside ? this.#budget.poisoned(this.poison.count) : null;
    if (over !== null) this.fail(over);
  }

  /**
   * User code emitted when the attempt it belongs to had been reported.
   * @param attempt null: it is not known which
   * @param decided is told whether that fails the job
   */
  emittedLate(
    attempt: AttemptRef | null,
    failure: TaskFailure,
    node: NodeRef,
    decided: (failsJob: boolean) => void,
  ): void {
    const { job, loop } = this.#options;
    loop.push({ kind: "lateEmit", job, attempt, ...causeFields(failure), ...node }, (commands) =>
      decided(commands.some((command) => command.kind === "jobEnded")),
    );
  }

  /** The job fails by something that no attempt has reported. */
  fail(failure: TaskFailure): void {
    const { job, loop } = this.#options;
    loop.push({ kind: "jobFailed", job, ...causeFields(failure) });
  }

  /** Why what the tasks have made must not be committed; null: it may be. */
  refusal(): TaskFailure | null {
    return this.#budget.check(true) ?? this.#files.check() ?? this.#notFound();
  }

  /** A failure when records that were asked for by their offsets were not all there. */
  #notFound(): TaskFailure | null {
    const { wanted } = this.#options;
    if (wanted === undefined || this.#mapped === wanted.records) return null;
    const found = `${this.#mapped} of the ${wanted.records} records`;
    const message = `${found} that were asked for are at their offsets`;
    return taskFailure("INPUT_CHANGED", message, {
      phase: "read",
      blame: "data",
      hint: "The job's reader cuts the file into other records than it did. Run the whole job.",
    });
  }

  /** The commit was made, or (a failure) was not. */
  committed(failure: TaskFailure | null): void {
    const { job, loop } = this.#options;
    if (failure === null) return loop.push({ kind: "jobCommitted", job });
    loop.push({ kind: "jobCommitFailed", job, ...causeFields(failure) });
  }

  /** The source is to make no more records. `made`: by task, what was counted when that was decided. */
  stopSource(by: StoppedBy, made: ReadonlyMap<number, number>): void {
    if (this.made.stoppedBy !== null) return;
    this.made.stop(by, made);
    const records = [...made.values()].reduce((sum, one) => sum + one, 0);
    this.#options.emit({ kind: "source-stopped", by, records });
  }

  /** Tells how far the job is. */
  tellProgress(workers: number): void {
    const { phases, badRecords } = this.progress.snapshot();
    this.#options.emit({ kind: "progress", phases, workers, badRecords });
  }

  /** An attempt has changed, which is not lasting yet. `report`: what was reported of it just now. */
  follow(fact: AttemptFact<Output, TaskFailure>, report: TaskResult | null): void {
    const name = formatAttempt(fact);
    const { state } = fact;
    if (state.kind === "RUNNING") {
      if (!this.running.has(name)) this.#started(fact, name);
      return;
    }
    const ended = this.running.delete(name);
    this.progress.stopped(fact);
    if (fact.phase === "map" && state.kind !== "SUCCEEDED") this.#options.live?.dropped(fact);
    if (ended) this.#ended(fact, report);
    if (fact.outputLost !== null) this.#options.listener?.outputLost?.(fact);
  }

  /** Takes in what happened in an earlier life of the process; tells nobody. */
  restore(attempts: Iterable<AttemptRecord<Output, TaskFailure>>): void {
    for (const { attempt, state, outputLost } of attempts) {
      switch (state.kind) {
        case "RUNNING":
          this.running.add(formatAttempt(attempt));
          this.progress.started(attempt);
          break;
        case "SUCCEEDED":
          if (attempt.phase === "map") this.#summed.add(attempt.task);
          if (outputLost === null) this.#recount(attempt, state.output);
          break;
        case "FAILED":
        case "LOST":
          this.failures.add(attempt, this.#options.specOf(attempt), failureOf(state));
          break;
        case "KILLED":
          break;
      }
    }
  }

  #started(fact: AttemptFact<Output, TaskFailure>, name: string): void {
    const { loop, phases, tasks, emit, listener } = this.#options;
    this.running.add(name);
    this.progress.started(fact);
    if (fact.phase === "map") this.#options.live?.began();
    listener?.started?.(fact);
    const { phase, attempt, slot: worker } = fact;
    loop.after(() => {
      phases.enter(phase, tasks[phase].length);
      emit({ kind: "attempt-started", task: formatTask(fact), attempt, worker });
    });
  }

  #ended(fact: AttemptFact<Output, TaskFailure>, report: TaskResult | null): void {
    const { loop, listener, emit, specOf, job } = this.#options;
    const { state, attempt } = fact;
    const task = formatTask(fact);
    switch (state.kind) {
      case "SUCCEEDED":
        this.#succeeded(fact, state, report?.kind === "success" ? report : null);
        return;
      case "FAILED":
      case "LOST": {
        const failure = report?.kind === "failure" ? report : failureOf(state);
        const outcome = state.kind === "FAILED" ? "failed" : "lost";
        this.failures.add(fact, specOf(fact), failure);
        listener?.failed?.(fact);
        const willRetry = loop.scheduler.state.jobs.get(job)?.status.kind === "RUNNING";
        loop.after(() => emit({ kind: "attempt-failed", task, attempt, outcome, failure, willRetry }));
        return;
      }
      case "KILLED": {
        const { reason } = state;
        listener?.killed?.(fact);
        loop.after(() => emit({ kind: "attempt-cancelled", task, attempt, reason }));
        return;
      }
      case "RUNNING":
        return;
    }
  }

  #succeeded(
    fact: AttemptFact<Output, TaskFailure>,
    { output, rest }: Extract<AttemptState<Output, TaskFailure>, { kind: "SUCCEEDED" }>,
    report: TaskSuccess | null,
  ): void {
    const { loop, collections, emit, listener } = this.#options;
    if (rest !== undefined) this.progress.grown(fact.phase, rest.count);
    listener?.finished?.(fact, output, report);
    const isFirst = this.#count(fact, output);
    if (fact.phase === "map" && report !== null) this.#sum(fact.task, report);
    const { attempt, phase } = fact;
    const isLast = isFirst && this.progress.isDone(phase);
    const warnings = isLast && phase === "map" ? this.shuffled.warnings(collections) : [];
    loop.after(() => {
      emit({ kind: "attempt-finished", task: formatTask(fact), attempt, stats: output.stats });
      for (const message of warnings) emit({ kind: "warning", message });
    });
    if (!isFirst) return;
    const refusal = this.#budget.add(phase, output, isLast) ?? this.#files.add(output.parts);
    if (refusal !== null) this.fail(refusal);
  }

  #sum(task: number, { partitionBytes, pairs, hotKeys }: TaskSuccess): void {
    if (this.#summed.has(task)) return;
    this.#summed.add(task);
    const addition = { partitionBytes, pairs, hotKeys };
    this.shuffled.add(addition);
    this.#options.listener?.summed?.(task, addition);
  }

  #recount(ref: AttemptRef, output: Output): void {
    if (!this.#count(ref, output)) return;
    this.#budget.add(ref.phase, output, false);
    this.#files.add(output.parts);
  }

  /** False when the task had finished before. */
  #count(ref: AttemptRef, output: Output): boolean {
    this.progress.finished(ref, output);
    const counted = this.#counted[ref.phase];
    if (counted.has(ref.task)) return false;
    counted.add(ref.task);
    if (ref.phase === "map") {
      if (this.#options.wanted?.has(ref.task) === true) this.#mapped += output.stats.recordsIn;
      this.made.finished(ref.task, output.made);
      this.#options.live?.finished(ref);
    }
    return true;
  }

  #speaksFor({ job, phase, task, attempt }: AttemptRef, node: NodeRef): boolean {
    const { jobs, rules } = this.#options.loop.scheduler.state;
    const found = jobs.get(job)?.phases[phase].tasks[task]?.attempts[attempt - 1];
    return found !== undefined && rules.speaksFor(found, node);
  }
}

/** The failure of a commit that threw. */
export function commitFailure(thrown: unknown): TaskFailure {
  return failureOfThrown(thrown, "commit", "OUTPUT_UNWRITABLE", "system");
}

function failureOf(
  state: Extract<AttemptState<unknown, TaskFailure>, { kind: "FAILED" | "LOST" }>,
): TaskFailure {
  if (state.kind === "LOST") return taskFailure("WORKER_LOST", state.reason, { blame: "system" });
  const { code, message, blame, detail } = state.failure;
  return detail ?? taskFailure(code, message, { blame });
}
