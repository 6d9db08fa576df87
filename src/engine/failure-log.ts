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

  /** By task name: how many of its workers were lost, as those who ran them report. */
  readonly #workersLost = new Map<string, number>();

  /** @param by who tells of it: an agent lost with all it ran says nothing about the task's workers */
  add(ref: AttemptRef, spec: TaskSpec, failure: TaskFailure, by: "worker" | "scheduler"): void {
    const task = formatTask(ref);
    if (by === "worker" && failure.code === "WORKER_LOST")
      this.#workersLost.set(task, (this.#workersLost.get(task) ?? 0) + 1);
    this.all.push({ task, attempt: ref.attempt, failure, capsule: null });
    this.specs.set(formatAttempt(ref), spec);
  }

  /** The scheduler's cause of a failed job, as the failure that was reported to it. */
  causeOf(cause: Failure | null): FailedTask {
    const ref = cause?.attempt ?? null;
    const task = ref === null ? "" : formatTask(ref);
    const known = this.all.find((one) => ref !== null && one.task === task && one.attempt === ref.attempt);
    if (known !== undefined && cause !== null) return { ...known, failure: this.#repeatedLoss(known, cause) };
    const detail = cause?.detail as TaskFailure | null | undefined;
    const failure = detail ?? taskFailure(cause?.code ?? "INTERNAL", cause?.message ?? "no cause was given");
    return { task, attempt: ref?.attempt ?? 0, failure, capsule: null };
  }

  /**
   * A worker may be killed by anyone; one task whose workers all are, is what kills them. Otherwise it is the
   * scheduler that knows why a loss was one too many.
   */
  #repeatedLoss({ task, failure }: FailedTask, cause: Failure): TaskFailure {
    if (failure.code !== "WORKER_LOST") return failure;
    const times = this.#workersLost.get(task) ?? 0;
    if (times < 2) return cause.code === failure.code ? { ...failure, message: cause.message } : failure;
    const message = `user code exited: ${times} workers were lost running this task; ${failure.message}`;
    return { ...failure, code: "USER_EXITED", blame: "user", message };
  }
}
