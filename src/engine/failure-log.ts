import { type AttemptRef, type Failure, formatAttempt, formatTask } from "../scheduler/ids.ts";
import type { TaskFailure, TaskSpec } from "../task/task-spec.ts";
import { taskFailure } from "../worker/failure.ts";
import type { FailedTask } from "./run-result.ts";

/** What the scheduler is told of a failure. */
export function causeFields(failure: TaskFailure) {
  const { blame, code, message } = failure;
  return { blame, code, message, detail: failure };
}

/** The failure of a job as a whole: of no attempt, on no node. */
export function jobFailure(failure: TaskFailure): Failure<TaskFailure> {
  return { ...causeFields(failure), attempt: null, node: null };
}

/** The attempts of a run that failed or were lost, in order, with all that is known of each. */
export class FailureLog {
  readonly all: FailedTask[] = [];
  /** What each was to do, by attempt name: what a capsule is made of. */
  readonly specs = new Map<string, TaskSpec>();

  add(ref: AttemptRef, spec: TaskSpec, failure: TaskFailure): void {
    const task = formatTask(ref);
    this.all.push({ task, attempt: ref.attempt, failure, capsule: null });
    this.specs.set(formatAttempt(ref), spec);
  }

  /** The scheduler's cause of a failed job, as the failure that was reported to it. */
  causeOf(cause: Failure<TaskFailure> | null): FailedTask {
    const ref = cause?.attempt ?? null;
    const task = ref === null ? "" : formatTask(ref);
    const known = this.all.find((one) => ref !== null && one.task === task && one.attempt === ref.attempt);
    if (known !== undefined && cause !== null) return { ...known, failure: explained(known.failure, cause) };
    const detail = cause?.detail ?? null;
    // Of an attempt that did not fail itself: it is the job that fails by what was told of it.
    if (detail !== null) return { task: "", attempt: 0, failure: detail, capsule: null };
    const failure = taskFailure(cause?.code ?? "INTERNAL", cause?.message ?? "no cause was given");
    return { task, attempt: ref?.attempt ?? 0, failure, capsule: null };
  }
}

/** Why a loss was one too many is the scheduler's to tell: whoever reported it knew of this one only. */
function explained(failure: TaskFailure, { code, blame, message }: Failure): TaskFailure {
  return failure.code === "WORKER_LOST" ? { ...failure, code, blame, message } : failure;
}
