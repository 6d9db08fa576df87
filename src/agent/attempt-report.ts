import type { TaskReport } from "../protocol/task-messages.ts";
import { TASK_STATUS } from "../protocol/version.ts";
import type { AttemptRef } from "../scheduler/ids.ts";
import type { RunDigest } from "../shuffle/run-fingerprint.ts";
import type { MapOutput, TaskFailure, TaskSuccess } from "../task/task-spec.ts";
import type { RecordPlace } from "../worker/trace.ts";

/* What the coordinator is told of how an attempt ended. */

/** @param output of a map attempt; null when it emitted nothing or is no map */
export function finished(ref: AttemptRef, result: TaskSuccess, output: RunDigest | null): TaskReport {
  const seen = ref.phase === "map" ? { output } : {};
  return { status: TASK_STATUS.FINISHED, attempt: ref, result: mutable(result), ...seen };
}

/** @param traced where the traced map attempt was, null for nowhere; undefined when it was not traced */
export function failed(ref: AttemptRef, failure: TaskFailure, traced?: RecordPlace | null): TaskReport {
  const told = traced === undefined ? {} : { traced: true, place: traced };
  return { status: TASK_STATUS.FAILED, attempt: ref, result: mutable(failure), ...told };
}

/** A reduce could not have the output of a map attempt. */
export function unreadable(
  ref: AttemptRef,
  map: Pick<MapOutput, "task" | "attempt">,
  failure: TaskFailure,
): TaskReport {
  const { task, attempt } = map;
  return { ...failed(ref, failure), unreadable: { task, attempt } };
}

/** It was told to end, or is handed back by an agent that leaves: no fault of its worker. */
export function cancelled(ref: AttemptRef, reason: string): TaskReport {
  return { status: TASK_STATUS.CANCELLED, attempt: ref, message: reason };
}

/** What the schemas imply is not readonly; nobody writes to a report. */
function mutable<T>(value: T): Mutable<T> {
  return value as Mutable<T>;
}

type Mutable<T> = T extends readonly (infer One)[]
  ? Mutable<One>[]
  : T extends object
    ? { -readonly [Name in keyof T]: Mutable<T[Name]> }
    : T;
