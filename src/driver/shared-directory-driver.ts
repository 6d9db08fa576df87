import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { describeThrown, SheafError } from "../base/errors.ts";
import { within } from "../base/retry.ts";
import type { CommittedPart } from "../engine/events.ts";
import { carryOut } from "../engine/executor.ts";
import type { CommandOf, Executor, JobSteps } from "../engine/executor.ts";
import { EventLoop, memoryJournal } from "../engine/loop.ts";
import type { TaskAnswer, TaskReport, TaskReportAnswer } from "../protocol/task-messages.ts";
import { JOB_STATUS, TASK_STATUS } from "../protocol/version.ts";
import { exitAnswer, laterAnswer, phaseOf, taskAnswer } from "../protocol/worker-protocol.ts";
import type { Asker, TaskService, TaskType } from "../protocol/worker-protocol.ts";
import { type AttemptRef, formatAttempt } from "../scheduler/ids.ts";
import { Scheduler } from "../scheduler/scheduler.ts";
import { viewOutputs } from "../scheduler/view.ts";
import { commitDirectory } from "../storage/atomic-output.ts";
import { asSheafError } from "../storage/fs-error.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import { Roster } from "./roster.ts";
import type { RosterEntry } from "./roster.ts";
import { bucketFiles, gatherParts, makeAttemptDirectory, strayFiles } from "./shared-files.ts";

export interface SharedDirectoryOptions {
  readonly job: string;
  readonly name: string;
  /** Input files of each map task. */
  readonly maps: readonly (readonly string[])[];
  readonly partitions: number;
  /** Directory that all workers see. */
  readonly intermediate: string;
  /** Made by createTempOutput, beside `output`. */
  readonly staging: string;
  readonly output: string;
  readonly overwrite: boolean;
  /** Failures of one task before the job fails. */
  readonly attempts: number;
  /** A worker that is not heard of for so long is lost, ms. */
  readonly leaseMs: number;
  readonly clock: Clock;
  /** What happens, for people: one line each. */
  tell(line: string): void;
}

export interface SharedDirectoryResult {
  readonly status: "SUCCEEDED" | "FAILED" | "CANCELLED";
  readonly cause: string | null;
  readonly parts: readonly CommittedPart[];
  readonly counters: Readonly<Record<string, number>>;
}

/** A question is held open for so long, so that work is handed out at once when there is some. */
const holdMs = 2_000;
const retryAfterMs = 250;
const tickMs = 200;
/** Workers that have not asked since the end are waited for this long. */
const goodbyeMs = 5_000;

interface Waiting {
  readonly answer: (answer: TaskAnswer) => void;
  readonly timer: NodeJS.Timeout;
}

/**
 * Drives one job whose workers are programs of any language: they ask for tasks over HTTP, read and write
 * plain files on a directory they all see, and report. All decisions are the scheduler's.
 */
export class SharedDirectoryDriver implements TaskService, Executor, JobSteps {
  readonly #options: SharedDirectoryOptions;
  readonly #loop: EventLoop<string>;
  readonly #roster = new Roster();
  readonly #waiting = new Map<string, Waiting>();
  /** By node: what it runs. */
  readonly #running = new Map<string, { readonly ref: AttemptRef; answer: Promise<TaskAnswer> }>();
  readonly #beats = new Map<string, number>();
  #parts: CommittedPart[] = [];
  #end: CommandOf<"jobEnded"> | null = null;
  #ended!: () => void;
  readonly #isEnded = new Promise<void>((resolve) => (this.#ended = resolve));
  #allTold: () => void = () => undefined;

  constructor(options: SharedDirectoryOptions) {
    this.#options = options;
    this.#loop = new EventLoop<string>({
      scheduler: new Scheduler<string, TaskFailure>({ leaseMs: options.leaseMs }),
      journal: memoryJournal,
      handlers: {
        follow: () => undefined,
        perform: (command) => carryOut(command, this, this),
        bug: (error) => this.#fail(error),
      },
      nowMs: () => this.#nowMs(),
    });
  }

  /** Resolves when the job has ended and its workers have been told, or have gone. */
  async run(signal: AbortSignal | undefined): Promise<SharedDirectoryResult> {
    const { job, maps, partitions, attempts, leaseMs } = this.#options;
    const cancel = (): void =>
      this.#loop.dispatch({ kind: "jobCancelled", job, reason: "cancelled by its caller" });
    signal?.addEventListener("abort", cancel);
    const timer = setInterval(() => this.#loop.dispatch({ kind: "tick" }), tickMs);
    try {
      this.#loop.dispatch({
        kind: "jobSubmitted",
        job: {
          id: job,
          map: maps.map(() => ({})),
          reduce: Array.from({ length: partitions }, () => ({})),
          policy: {
            attemptsMax: attempts,
            // What is not heard of is looked at by the lease; plain files outlive their worker.
            noProgressMs: 2 * leaseMs,
            outputsSurviveNode: true,
          },
        },
      });
      if (signal?.aborted === true) cancel();
      await this.#isEnded;
      await this.#sayGoodbye();
    } finally {
      clearInterval(timer);
      signal?.removeEventListener("abort", cancel);
    }
    const { status, counters, cause } = this.#end!;
    return { status, cause: cause?.message ?? null, parts: this.#parts, counters };
  }

  askTask(asker: Asker, signal: AbortSignal): Promise<TaskAnswer> {
    const { worker, isNew } = this.#roster.meet(asker, this.#nowMs());
    if (isNew) {
      this.#options.tell(`${worker.node} has joined`);
      const { node, incarnation } = worker;
      this.#loop.dispatch({ kind: "nodeJoined", node, incarnation, slots: 1 });
    }
    if (this.#end !== null) return Promise.resolve(this.#exit(worker));
    // The question before was lost on its way: this one stands for both.
    this.#later(worker.node);
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#later(worker.node), holdMs);
      this.#waiting.set(worker.node, { answer: resolve, timer });
      signal.addEventListener("abort", () => this.#later(worker.node));
      this.#ask(worker);
    });
  }

  async report(
    job: string | null,
    type: TaskType,
    task: number,
    report: TaskReport,
    asker: Asker,
  ): Promise<TaskReportAnswer> {
    this.#checkTask(job, type, task);
    const worker = this.#roster.find(asker);
    const running = worker === undefined ? undefined : this.#running.get(worker.node);
    const phase = phaseOf[type];
    if (worker === undefined || running?.ref.phase !== phase || running.ref.task !== task) {
      return { status: this.taskStatus(job, type, task).status, accepted: false };
    }
    worker.heardMs = this.#nowMs();
    await this.#take(worker, running.ref, report);
    return { ...this.taskStatus(job, type, task), accepted: this.#isTaken(running.ref, report) };
  }

  taskStatus(job: string | null, type: TaskType, task: number): { status: number } {
    this.#checkTask(job, type, task);
    const state = this.#phase(phaseOf[type]).tasks[task]!.state.kind;
    return { status: TASK_STATUS[state] };
  }

  async #take(worker: RosterEntry, attempt: AttemptRef, report: TaskReport): Promise<void> {
    const { node, incarnation } = worker;
    switch (report.status) {
      case TASK_STATUS.RUNNING: {
        const beat = (this.#beats.get(node) ?? 0) + 1;
        this.#beats.set(node, beat);
        this.#loop.dispatch({ kind: "attemptProgress", attempt, beat, node, incarnation });
        return;
      }
      case TASK_STATUS.FINISHED:
        await this.#checkWritten(attempt);
        this.#running.delete(node);
        this.#loop.dispatch({
          kind: "attemptFinished",
          attempt,
          output: this.#directoryOf(attempt),
          counters: report.counters ?? {},
          node,
          incarnation,
        });
        return;
      case TASK_STATUS.FAILED: {
        const message = report.message ?? "the worker reported a failure without a message";
        this.#options.tell(`${formatAttempt(attempt)} failed on ${node}: ${message}`);
        this.#running.delete(node);
        this.#loop.dispatch({
          kind: "attemptFailed",
          attempt,
          blame: "user",
          code: "USER_CODE",
          message,
          node,
          incarnation,
        });
        return;
      }
      default:
        throw new SheafError("USAGE", `status ${report.status} cannot be reported`, {
          hint: "Report 3 (RUNNING), 4 (FINISHED) or 5 (FAILED).",
        });
    }
  }

  async #checkWritten(attempt: AttemptRef): Promise<void> {
    if (attempt.phase !== "map") return;
    const directory = this.#directoryOf(attempt);
    const stray = await strayFiles(directory, this.#options.partitions).catch((error: unknown) => {
      throw asSheafError(error, { path: directory, doing: "list" });
    });
    if (stray.length === 0) return;
    throw new SheafError(
      "PARTITION_INVALID",
      `${formatAttempt(attempt)} wrote ${stray.slice(0, 3).join(", ")}, which no reducer would read`,
      { hint: `Name the file of each bucket by its number: 00000 to ${this.#options.partitions - 1}.` },
    );
  }

  #isTaken(ref: AttemptRef, report: TaskReport): boolean {
    const state = this.#phase(ref.phase).tasks[ref.task]!.attempts[ref.attempt - 1]?.state.kind;
    return report.status === TASK_STATUS.FINISHED ? state === "SUCCEEDED" : state !== "LOST";
  }

  #checkTask(job: string | null, type: TaskType, task: number): void {
    const isMine = job === null || job === this.#options.job;
    if (isMine && task < this.#phase(phaseOf[type]).tasks.length) return;
    throw new SheafError("NOT_FOUND", `there is no ${type} ${task}${isMine ? "" : ` of job ${job}`}`, {
      hint: `This driver runs job ${this.#options.job}.`,
    });
  }

  #phase(phase: AttemptRef["phase"]) {
    return this.#loop.scheduler.state.jobs.get(this.#options.job)!.phases[phase];
  }

  #ask(worker: RosterEntry): void {
    worker.ask++;
    const { node, incarnation, ask } = worker;
    this.#running.delete(node);
    this.#loop.dispatch({ kind: "workerReady", slot: 0, ask, node, incarnation });
  }

  start({ attempt: ref, node }: CommandOf<"startAttempt">): void {
    const answer = this.#describe(ref);
    this.#running.set(node, { ref, answer });
    this.#options.tell(`${formatAttempt(ref)} on ${node}`);
    answer.then(
      (task) => this.#answer(node, task),
      (error: unknown) => this.#cannotStart(ref, node, error),
    );
  }

  /** The worker learns it when it reports. */
  kill(): void {}

  discard(attempt: AttemptRef): void {
    void rm(this.#directoryOf(attempt), { recursive: true, force: true }).catch(() => undefined);
  }

  fence({ node }: CommandOf<"fenceNode"> | CommandOf<"inviteNode">): void {
    this.#later(node);
    this.#roster.forget(node);
  }

  /** Jobs of programs in other languages have no total order. */
  sampled(): void {}

  commit(): void {
    this.#commit().catch((error: unknown) => this.#fail(error));
  }

  ended(end: CommandOf<"jobEnded">): void {
    this.#end = end;
    for (const node of this.#waiting.keys()) {
      const worker = this.#roster.byNode(node);
      if (worker !== undefined) this.#answer(node, this.#exit(worker));
    }
    this.#ended();
  }

  /** Something was thrown where nothing should be: the job ends by it, and its workers are told. */
  #fail(error: unknown): void {
    const { job } = this.#options;
    const message = `sheaf failed: ${describeThrown(error)}`;
    this.#loop.dispatch({ kind: "jobFailed", job, blame: "system", code: "INTERNAL", message });
  }

  async #describe(ref: AttemptRef): Promise<TaskAnswer> {
    const { job, maps, partitions, intermediate, staging } = this.#options;
    const parent = ref.phase === "map" ? intermediate : join(staging, "attempts");
    const output = await makeAttemptDirectory(parent, ref);
    const inputs =
      ref.phase === "map"
        ? maps[ref.task]!
        : await bucketFiles(
            [...viewOutputs(this.#loop.scheduler, job, "map")].map((one) => one.output),
            ref.task,
          );
    return taskAnswer({ ...ref, buckets: partitions }, { paths: { inputs, output } });
  }

  #cannotStart(ref: AttemptRef, node: string, error: unknown): void {
    const incarnation = this.#roster.byNode(node)?.incarnation ?? 1;
    this.#running.delete(node);
    this.#loop.dispatch({
      kind: "attemptFailed",
      attempt: ref,
      blame: "system",
      code: "OUTPUT_UNWRITABLE",
      message: `its directory cannot be made: ${describeThrown(error)}`,
      node,
      incarnation,
    });
    this.#later(node);
  }

  #answer(node: string, answer: TaskAnswer): void {
    const waiting = this.#waiting.get(node);
    if (waiting === undefined) return;
    this.#waiting.delete(node);
    clearTimeout(waiting.timer);
    waiting.answer(answer);
  }

  /** Nothing to do yet. That ends the question: nothing may be given to a worker that does not wait. */
  #later(node: string): void {
    const waiting = this.#waiting.get(node);
    const worker = this.#roster.byNode(node);
    if (waiting === undefined) return;
    this.#waiting.delete(node);
    clearTimeout(waiting.timer);
    if (worker !== undefined) {
      const { incarnation, ask } = worker;
      this.#loop.dispatch({
        kind: "workerGone",
        slot: 0,
        ask,
        message: "it does not wait",
        node,
        incarnation,
      });
    }
    waiting.answer(laterAnswer(this.#options.job, retryAfterMs));
  }

  #exit(worker: RosterEntry): TaskAnswer {
    worker.isTold = true;
    this.#checkTold();
    const status = { SUCCEEDED: JOB_STATUS.DONE, FAILED: JOB_STATUS.FAILED, CANCELLED: JOB_STATUS.CANCELLED };
    return exitAnswer(this.#options.job, status[this.#end!.status]);
  }

  #directoryOf(ref: AttemptRef): string {
    const { intermediate, staging } = this.#options;
    return join(ref.phase === "map" ? intermediate : join(staging, "attempts"), formatAttempt(ref));
  }

  async #commit(): Promise<void> {
    const { job, name, staging, output, overwrite } = this.#options;
    const out = join(staging, "out");
    try {
      const reduces = [...viewOutputs(this.#loop.scheduler, job, "reduce")].map((one) => one.output);
      const counters = Object.fromEntries(this.#loop.scheduler.state.jobs.get(job)!.counters);
      const parts = await gatherParts(name, reduces, out, counters);
      await commitDirectory(out, output, { overwrite });
      this.#parts = parts;
      this.#loop.dispatch({ kind: "jobCommitted", job });
    } catch (error) {
      const known = asSheafError(error, { path: output, doing: "write" });
      const { code, message } = known;
      this.#loop.dispatch({ kind: "jobCommitFailed", job, blame: "system", code, message });
    }
  }

  /** Waits until every worker that was heard of lately has been told to exit. */
  async #sayGoodbye(): Promise<void> {
    const told = new Promise<void>((resolve) => (this.#allTold = resolve));
    this.#checkTold();
    await within(told, goodbyeMs);
  }

  #checkTold(): void {
    const sinceMs = this.#nowMs() - this.#options.leaseMs;
    if (this.#roster.all.every(({ isTold, heardMs }) => isTold || heardMs < sinceMs)) this.#allTold();
  }

  #nowMs(): number {
    return this.#options.clock.nowMs();
  }
}
