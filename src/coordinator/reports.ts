import { basename, dirname } from "node:path";
import { outputNameProblem } from "../base/output-name.ts";
import { SheafError } from "../base/errors.ts";
import type { Stray, TaskReport, TaskReportAnswer } from "../protocol/task-messages.ts";
import { TASK_STATUS } from "../protocol/version.ts";
import type { SchedulerEvent } from "../scheduler/events.ts";
import { formatAttempt, formatTask } from "../scheduler/ids.ts";
import type { AttemptRef, NodeRef, Phase } from "../scheduler/ids.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";
import type { Task } from "../scheduler/task.ts";
import type { OutputPart, TaskFailure, TaskSuccess } from "../task/task-spec.ts";
import { taskFailure } from "../worker/failure.ts";
import type { ClusterJob } from "./cluster-job.ts";
import { keptOutput } from "./kept-output.ts";
import { isInside } from "./paths.ts";
import type { Pump } from "./pump.ts";
import type { Asker, TaskType } from "./service.ts";
import type { Tallies } from "./tallies.ts";

export const phaseOf: Readonly<Record<TaskType, Phase>> = {
  mapper: "map",
  reducer: "reduce",
  sampler: "sample",
};
export const typeOf: Readonly<Record<Phase, TaskType>> = {
  map: "mapper",
  reduce: "reducer",
  sample: "sampler",
};

/** So many workers of one task may be lost before that is taken to be the task's doing. */
const workersLostMin = 4;

/** Takes in how attempts went. Every report may come late, twice, or about an attempt that is void. */
export class Reports {
  readonly #scheduler: Scheduler;
  readonly #pump: Pump;
  readonly #tallies: Tallies;
  readonly #abort: (job: ClusterJob, failure: TaskFailure) => void;

  constructor(
    scheduler: Scheduler,
    pump: Pump,
    tallies: Tallies,
    abort: (job: ClusterJob, failure: TaskFailure) => void,
  ) {
    this.#scheduler = scheduler;
    this.#pump = pump;
    this.#tallies = tallies;
    this.#abort = abort;
  }

  /** @throws SheafError USAGE for a report that makes no sense, or whose files were not handed in */
  async take(
    job: ClusterJob,
    phase: Phase,
    number: number,
    report: TaskReport,
    asker: Asker,
  ): Promise<TaskReportAnswer> {
    const task = findTask(this.#scheduler, job.id, phase, number);
    const ref = attemptOf(job, phase, number, report);
    const node = { node: asker.agent, incarnation: asker.incarnation };
    if (report.status !== TASK_STATUS.RUNNING && job.dying.delete(formatAttempt(ref))) job.lookQuiet();
    let accepted = true;
    switch (report.status) {
      case TASK_STATUS.RUNNING:
        this.#pump.push({
          kind: "attemptProgress",
          attempt: ref,
          beat: (task?.attempts[ref.attempt - 1]?.beat ?? 0) + 1,
          ...node,
        });
        break;
      case TASK_STATUS.FINISHED:
        this.#finished(job, ref, report, node, (taken) => (accepted = taken));
        break;
      case TASK_STATUS.FAILED:
        this.#failed(job, ref, report, node);
        break;
      case TASK_STATUS.CANCELLED: {
        const message = report.message ?? "its agent ended it";
        this.#pump.push({
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
    await this.#pump.settled();
    return { status: task === undefined ? TASK_STATUS.CANCELLED : statusOf(task), accepted };
  }

  /**
   * A late emit fails the job while it runs: a result that was taken is not complete. Not one of a life of an
   * agent that is over: nothing it made counts.
   */
  stray(job: ClusterJob, { agent, incarnation, attempt: ref, failure }: Stray): boolean {
    if (ref.job !== job.id || failure.code !== "EMIT_LATE")
      throw usage("only late emits of the job itself are told so", "Send what the worker has told.");
    const state = this.#scheduler.state.jobs.get(job.id);
    const attempt = state?.phases[ref.phase].tasks[ref.task]?.attempts[ref.attempt - 1];
    const isThere = this.#scheduler.state.nodes.get(agent)?.incarnation === incarnation;
    const isOfIt = attempt?.node.id === agent && attempt.node.incarnation === incarnation;
    if (state?.status.kind !== "RUNNING" || !isThere || !isOfIt || job.row.abort !== null) return false;
    this.#abort(job, failure as TaskFailure);
    return true;
  }

  #finished(
    job: ClusterJob,
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
    if (!job.arrived.has(name)) job.arrived.set(name, success);
    const event: SchedulerEvent = {
      kind: "attemptFinished",
      attempt: ref,
      output: keptOutput(success, output?.bytes ?? null),
      counters: success.counters,
      ...(output === undefined || output === null ? {} : { fingerprint: output.fingerprint }),
      ...node,
    };
    this.#pump.push(event, () => {
      job.arrived.delete(name);
      const attempt = findTask(this.#scheduler, ref.job, ref.phase, ref.task)?.attempts[ref.attempt - 1];
      taken(attempt?.state.kind === "SUCCEEDED" && attempt.outputLost === null);
    });
  }

  #failed(job: ClusterJob, ref: AttemptRef, report: TaskReport, node: NodeRef): void {
    const reported =
      report.result?.kind === "failure"
        ? (report.result as TaskFailure)
        : taskFailure("USER_CODE", report.message ?? "the worker said that it failed", { phase: ref.phase });
    if (!this.#speaksFor(ref, node)) return;
    const { unreadable } = report;
    if (unreadable !== undefined && ref.phase === "reduce") {
      this.#tallies.fetchFailures++;
      const { task: mapTask, attempt: mapAttempt } = unreadable;
      this.#push(job, ref, reported, {
        kind: "fetchFailed",
        attempt: ref,
        mapTask,
        mapAttempt,
        message: reported.message,
        ...node,
      });
      return;
    }
    const traced = report.traced ?? false;
    const { failure, setAside } = job.poison.ended(job.specOf(ref), traced, report.place ?? null, reported);
    // What is known of a task is not found out again after a restart.
    if (job.poison.skipOf(ref.task) !== null) job.update({ poison: job.poison.suspects });
    // An attempt ended by a record that is set aside from now on uses up none of the task's attempts.
    const { blame, code } = setAside ? ({ blame: "system", code: "WORKER_LOST" } as const) : failure;
    const { message } = failure;
    this.#push(job, ref, failure, {
      kind: "attemptFailed",
      attempt: ref,
      blame,
      code,
      message,
      detail: failure,
      ...node,
    });
    const over = (setAside ? job.poison.count : 0) > 0 ? job.budget.poisoned(job.poison.count) : null;
    if (over !== null) this.#abort(job, over);
    else if (!setAside && failure.code === "WORKER_LOST") this.#countLost(job, ref, node, failure);
    // An emit nobody waited for: what another task of the same worker has finished may lack it.
    if (failure.code === "EMIT_LATE" && failure.phase === "uncaught") this.#abort(job, failure);
  }

  #push(job: ClusterJob, ref: AttemptRef, failure: TaskFailure, event: SchedulerEvent): void {
    const name = formatAttempt(ref);
    job.arrivedFailures.set(name, failure);
    this.#pump.push(event, () => job.arrivedFailures.delete(name));
  }

  /**
   * Anyone may kill a worker once; a task whose workers all are killed is what kills them. Workers of a life
   * of an agent that has ended since went with it: they are not counted.
   */
  #countLost(job: ClusterJob, ref: AttemptRef, node: NodeRef, failure: TaskFailure): void {
    const task = formatTask(ref);
    const { nodes } = this.#scheduler.state;
    const earlier = job.workersLost.get(task) ?? [];
    const lost = [...earlier, node].filter((one) => nodes.get(one.node)?.incarnation === one.incarnation);
    job.workersLost.set(task, lost);
    const times = lost.length;
    if (times < Math.max(workersLostMin, job.submission.options.attempts)) return;
    const message = `user code exited: ${times} workers were lost running ${task}; ${failure.message}`;
    this.#abort(job, { ...failure, code: "USER_EXITED", blame: "user", message });
  }

  #speaksFor(ref: AttemptRef, node: NodeRef): boolean {
    const attempt = findTask(this.#scheduler, ref.job, ref.phase, ref.task)?.attempts[ref.attempt - 1];
    return attempt !== undefined && this.#scheduler.state.rules.speaksFor(attempt, node);
  }
}

export function findTask(scheduler: Scheduler, job: string, phase: Phase, task: number): Task | undefined {
  return scheduler.state.jobs.get(job)?.phases[phase].tasks[task];
}

export function statusOf(task: Task): number {
  return TASK_STATUS[task.state.kind];
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
  const { output } = job.submission;
  for (const { collection, path, name } of parts) {
    if (name !== undefined && outputNameProblem(name) !== undefined)
      throw usage(
        `a part is to lie in ${JSON.stringify(name)}: ${outputNameProblem(name)}`,
        "Report what the task has written.",
      );
    if (collection >= job.collections.length)
      throw usage(
        `a part is of collection ${collection}, which there is not`,
        "Report what the task has written.",
      );
    if (output.kind === "shared" && !(isInside(path, dirname(output.path)) && path.includes(job.id)))
      throw usage(
        `the part ${path} does not lie in the job's staging directory`,
        "Report what the task has written.",
      );
  }
}

function usage(message: string, hint: string): SheafError {
  return new SheafError("USAGE", message, { hint });
}
