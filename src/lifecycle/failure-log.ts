import type { Failure } from "../scheduler/failure.ts";
import { formatAttempt, formatTask } from "../scheduler/ids.ts";
import type { AttemptRef } from "../scheduler/ids.ts";
import type { TaskFailure, TaskSpec } from "../task/task-spec.ts";
import { taskFailure } from "../worker/failure.ts";
import type { FailedTask } from "./options.ts";

/** The attempts of a run that failed or were lost, in order, with all that is known of each. */
export class FailureLog {
  readonly all: FailedTask[] = [];
  /** What each was to do, by attempt name: what a capsule is made of. */
  readonly specs = new Map<string, TaskSpec>();

  add(ref: AttemptRef, spec: TaskSpec, failure: TaskFailure): void {
    this.all.push({ task: formatTask(ref), attempt: ref.attempt, failure, capsule: null });
    this.specs.set(formatAttempt(ref), spec);
  }

  /** The scheduler's cause of a failed job, as the failure that was reported to it. */
  causeOf(cause: Failure | null): FailedTask {
    const ref = cause?.attempt ?? null;
    const task = ref === null ? "" : formatTask(ref);
    const known = this.all.find((one) => ref !== null && one.task === task && one.attempt === ref.attempt);
    if (known !== undefined) return { ...known, failure: this.#repeatedLoss(known) };
    const detail = cause?.detail as TaskFailure | null | undefined;
    const failure = detail ?? taskFailure(cause?.code ?? "INTERNAL", cause?.message ?? "no cause was given");
    return { task, attempt: ref?.attempt ?? 0, failure, capsule: null };
  }

  /** A worker may be killed by anyone; one task whose workers all are, is what kills them. */
  #repeatedLoss({ task, failure }: FailedTask): TaskFailure {
    const times = this.all.filter((one) => one.task === task && one.failure.code === "WORKER_LOST").length;
    if (failure.code !== "WORKER_LOST" || times < 2) return failure;
    const message = `user code exited: ${times} workers were lost running this task; ${failure.message}`;
    return { ...failure, code: "USER_EXITED", blame: "user", message };
  }
}
