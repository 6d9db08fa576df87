import { basename, dirname } from "node:path";
import { SheafError } from "../base/errors.ts";
import { outputNameProblem } from "../base/output-name.ts";
import type { EngineScheduler, EventLoop } from "../engine/loop.ts";
import type { Stray, TaskAnswer, TaskReport, TaskReportAnswer } from "../protocol/task-messages.ts";
import { knownFailure } from "../protocol/task-result.ts";
import { TASK_STATUS } from "../protocol/version.ts";
import { phaseOf } from "../protocol/worker-protocol.ts";
import type { Asker, TaskService, TaskType } from "../protocol/worker-protocol.ts";
import { type AttemptRef, formatAttempt, type NodeRef, type Phase } from "../scheduler/ids.ts";
import type { Task } from "../scheduler/state.ts";
import { splitAddress } from "../storage/store.ts";
import type { OutputPart, TaskSuccess } from "../task/task-spec.ts";
import { taskFailure } from "../worker/failure.ts";
import type { Agents } from "./agents.ts";
import type { ClusterJob, PlannedJob } from "./cluster-job.ts";
import type { EpochClock } from "./epoch-clock.ts";
import type { Jobs } from "./jobs.ts";
import { keptOutput } from "./kept-output.ts";
import type { KeptOutput } from "./kept-output.ts";
import { isInside } from "./paths.ts";
import type { CoordinatorTimings } from "./settings.ts";
import type { TaskPolls } from "./task-polls.ts";

export interface TaskRequestParts {
  readonly loop: EventLoop<KeptOutput>;
  readonly jobs: Jobs;
  readonly agents: Agents;
  readonly polls: TaskPolls;
  readonly clock: EpochClock;
  readonly timings: CoordinatorTimings;
}

/** Hands tasks out, and takes in how they went: every report may come late, twice, or of a void attempt. */
export class TaskRequests implements TaskService {
  readonly #parts: TaskRequestParts;
  readonly #loop: EventLoop<KeptOutput>;
  readonly #jobs: Jobs;

  constructor(parts: TaskRequestParts) {
    this.#parts = parts;
    this.#loop = parts.loop;
    this.#jobs = parts.jobs;
  }

  async askTask(asker: Asker, signal: AbortSignal): Promise<TaskAnswer> {
    const { loop, polls, clock, timings, agents } = this.#parts;
    const { agent: node, incarnation, slot, ask } = asker;
    loop.mayAcknowledge();
    agents.checkLife(node, incarnation, loop.scheduler);
    const answer = polls.wait(asker, clock.nowMs() + timings.longPollMs, signal);
    loop.push({ kind: "workerReady", node, incarnation, slot, ask });
    await loop.settled();
    return answer;
  }

  /**
   * Resolves when what the report has led to is lasting.
   * @param id the job; null: the only one that is not over
   * @throws SheafError USAGE for a report that makes no sense, or whose files were not handed in; FENCED for
   * one of a life that is over; NOT_FOUND
   */
  async report(
    id: string | null,
    type: TaskType,
    number: number,
    report: TaskReport,
    asker: Asker,
  ): Promise<TaskReportAnswer> {
    const { scheduler } = this.#loop;
    this.#loop.mayAcknowledge();
    this.#parts.agents.refuseFenced(asker.agent, asker.incarnation, scheduler);
    const name = id ?? this.#onlyJob();
    const job = this.#jobs.get(name);
    const planned = job?.planned ?? null;
    if (job === undefined) this.#jobs.findEnded(name);
    if (job === undefined || planned === null) return { status: TASK_STATUS.CANCELLED, accepted: false };
    const phase = phaseOf[type];
    const task = findTask(scheduler, job.id, phase, number);
    const ref = attemptOf(job, phase, number, report);
    const node = { node: asker.agent, incarnation: asker.incarnation };
    if (report.status !== TASK_STATUS.RUNNING) job.dying.gone(formatAttempt(ref));
    let accepted = true;
    if (report.told !== undefined) planned.lookingOn?.told(ref, report.told, node);
    switch (report.status) {
      case TASK_STATUS.RUNNING:
        this.#loop.push({
          kind: "attemptProgress",
          attempt: ref,
          beat: (task?.attempts[ref.attempt - 1]?.beat ?? 0) + 1,
          ...node,
        });
        break;
      case TASK_STATUS.FINISHED:
        this.#finished(job, planned, ref, report, node, (taken) => (accepted = taken));
        break;
      case TASK_STATUS.FAILED:
        this.#failed(planned, ref, report, node);
        break;
      case TASK_STATUS.CANCELLED: {
        const message = report.message ?? "its agent ended it";
        this.#loop.push({
          kind: "attemptFailed",
          attempt: ref,
          blame: "system",
          code: "CANCELLED",
          message,
          ...node,
        });
        break;
      }
      default:
        throw usage(
          `a task's status cannot become ${report.status}`,
          "Send 3 (running), 4 (finished), 5 or 6.",
        );
    }
    await this.#loop.settled();
    return { status: task === undefined ? TASK_STATUS.CANCELLED : TASK_STATUS[task.state.kind], accepted };
  }

  /** @throws SheafError NOT_FOUND */
  taskStatus(id: string | null, type: TaskType, task: number): { status: number } {
    this.#loop.mayAcknowledge();
    const job = id ?? this.#onlyJob();
    const found = findTask(this.#loop.scheduler, job, phaseOf[type], task);
    if (found !== undefined) return { status: TASK_STATUS[found.state.kind] };
    throw new SheafError("NOT_FOUND", `job ${job} has no ${type} ${task} that is to be done`, {
      hint: "Tasks are numbered from 0; those of a job that has ended are in its attempts.",
    });
  }

  /**
   * User code emitted when its task was over.
   * @returns whether that has failed the job
   * @throws SheafError USAGE for anything else, NOT_FOUND
   */
  stray(id: string, { agent: node, incarnation, attempt: ref, failure }: Stray): boolean {
    const job = this.#jobs.get(id);
    if (job === undefined) this.#jobs.findEnded(id);
    if (ref.job !== id || failure.code !== "EMIT_LATE")
      throw usage("only late emits of the job itself are told so", "Send what the worker has told.");
    let failed = false;
    const decided = (failsJob: boolean): void => void (failed = failsJob);
    const work = (): void =>
      job?.planned?.run.emittedLate(ref, knownFailure(failure), { node, incarnation }, decided);
    return this.#loop.change(work, () => failed);
  }

  #onlyJob(): string {
    const [job, ...more] = this.#jobs.live();
    if (job !== undefined && more.length === 0) return job.id;
    throw new SheafError("NOT_FOUND", `${this.#jobs.liveCount} jobs are not over: which one is meant?`, {
      hint: "Use the address with the job: /jobs/{job}/task/...",
    });
  }

  #finished(
    job: ClusterJob,
    planned: PlannedJob,
    ref: AttemptRef,
    report: TaskReport,
    node: NodeRef,
    taken: (accepted: boolean) => void,
  ): void {
    const { result, output } = report;
    if (result?.kind !== "success")
      throw usage("FINISHED comes without a success", "Send `result` with kind success.");
    const name = formatAttempt(ref);
    const success = {
      ...result,
      parts: ownParts(job, name, result.parts),
      badPath: ownBad(job, name, result.badPath),
    };
    checkParts(job, success.parts);
    const fingerprint = output === undefined || output === null ? {} : { fingerprint: output.fingerprint };
    const kept = { output: keptOutput(success, output?.bytes ?? null), ...fingerprint };
    planned.run.finished(ref, success, kept, node, () => {
      const attempt = findTask(this.#loop.scheduler, ref.job, ref.phase, ref.task)?.attempts[ref.attempt - 1];
      taken(attempt?.state.kind === "SUCCEEDED" && attempt.outputLost === null);
    });
  }

  #failed(planned: PlannedJob, ref: AttemptRef, report: TaskReport, node: NodeRef): void {
    const { result, message = "the worker said that it failed" } = report;
    const failure =
      result?.kind === "failure"
        ? knownFailure(result)
        : taskFailure("USER_CODE", message, { phase: ref.phase });
    const { traced = false, place = null, unreadable } = report;
    planned.run.failed(ref, { failure, traced, place, unreadable }, node);
  }
}

function findTask(
  scheduler: EngineScheduler<KeptOutput>,
  job: string,
  phase: Phase,
  task: number,
): Task | undefined {
  return scheduler.state.jobs.get(job)?.phases[phase].tasks[task];
}

function attemptOf(job: ClusterJob, phase: Phase, task: number, { attempt }: TaskReport): AttemptRef {
  if (attempt === undefined)
    throw usage("the report names no attempt", "Send `attempt` as it was given out.");
  if (attempt.job !== job.id || attempt.phase !== phase || attempt.task !== task) {
    throw usage(
      `the report is about ${attempt.job} ${formatAttempt(attempt)}, its address is another task's`,
      "Send it to the task's own address.",
    );
  }
  return attempt;
}

/** Handed-in files by their path below `results/`. @throws SheafError USAGE when one was not handed in */
function ownParts(job: ClusterJob, attempt: string, parts: TaskSuccess["parts"]): readonly OutputPart[] {
  if (job.submission.output.kind === "shared") return parts;
  return parts.map((part) => {
    const name = basename(part.path);
    const bytes = job.results.bytesOf(attempt, name);
    if (bytes === part.bytes) return { ...part, path: `${attempt}/${name}` };
    const what = bytes === null ? "was not handed in" : `has ${bytes} bytes here, not ${part.bytes}`;
    throw usage(`the result file ${name} of ${attempt} ${what}`, "Hand it in, then report again.");
  });
}

function ownBad(job: ClusterJob, attempt: string, path: string | null): string | null {
  if (path === null || job.submission.output.kind === "shared") return path;
  const name = basename(path);
  if (job.results.bytesOf(attempt, name) !== null) return `${attempt}/${name}`;
  throw usage(`the file of bad records of ${attempt} was not handed in`, "Hand it in, then report again.");
}

function checkParts(job: ClusterJob, parts: readonly OutputPart[]): void {
  const { output, materialize } = job.submission;
  // Records that are kept are of one behind the last.
  const isThere = (kind: OutputPart["kind"], collection: number): boolean =>
    kind === "records"
      ? materialize !== undefined && collection === job.collections.length
      : collection < job.collections.length;
  for (const { kind, collection, path, name } of parts) {
    if (name !== undefined && outputNameProblem(name) !== undefined)
      throw usage(
        `a part is to lie in ${JSON.stringify(name)}: ${outputNameProblem(name)}`,
        "Report what the task has written.",
      );
    if (!isThere(kind, collection))
      throw usage(
        `a part is of collection ${collection}, which there is not`,
        "Report what the task has written.",
      );
    if (output.kind !== "shared") continue;
    // Of an output in a storage it names what was uploaded.
    const isNear = splitAddress(output.path) !== null || isInside(path, dirname(output.path));
    if (!isNear || !path.includes(job.id))
      throw usage(
        `the part ${path} does not lie in the job's staging directory`,
        "Report what the task has written.",
      );
  }
}

function usage(message: string, hint: string): SheafError {
  return new SheafError("USAGE", message, { hint });
}
