/**
 * The life of one task.
 *
 *            unblock          start               finish
 *   BLOCKED ---------> READY ---------> RUNNING ----------> FINISHED
 *      ^  <---------     ^  <-------------|  |                  |
 *      |     block       |   fail, lose,     | fail, lose       | outputLost
 *      |                 |   release         v at the limit     v startOver
 *      +-----------------+-----------------FAILED     (READY, or FAILED at the limit)
 *
 * `cancel` leads from every state but FINISHED and FAILED to CANCELLED. A task that goes back becomes READY
 * when what it reads is there (`open`), else BLOCKED.
 */
import type { Failure } from "./ids.ts";

/** What a task has been through, carried from state to state. */
export interface Tally {
  /** Attempts used up: user code, data, no progress. */
  readonly failures: number;
  /** Attempts and finished outputs lost through no fault of the job. */
  readonly losses: number;
  /** Times a reader could not fetch the finished output. */
  readonly fetchFailures: number;
  /** The last attempt that finished and whose output was lost since; null when there is none. */
  readonly lostOutput: number | null;
}

export const NO_TALLY: Tally = { failures: 0, losses: 0, fetchFailures: 0, lostOutput: null };

export function sameTally(a: Tally, b: Tally): boolean {
  return (
    a === b ||
    (a.failures === b.failures &&
      a.losses === b.losses &&
      a.fetchFailures === b.fetchFailures &&
      a.lostOutput === b.lostOutput)
  );
}

export type TaskState =
  | { readonly kind: "BLOCKED"; readonly tally: Tally }
  | { readonly kind: "READY"; readonly tally: Tally }
  | {
      readonly kind: "RUNNING";
      readonly tally: Tally;
      /** Numbers of the attempts that run, never empty. Two: the second is a backup. */
      readonly attempts: readonly number[];
      /** The one attempt that may commit. */
      readonly granted: number | null;
    }
  | { readonly kind: "FINISHED"; readonly tally: Tally; readonly attempt: number }
  | { readonly kind: "FAILED"; readonly tally: Tally; readonly failure: Failure }
  | { readonly kind: "CANCELLED"; readonly tally: Tally };

export type TaskStateKind = TaskState["kind"];

export type TaskEvent =
  /** All it reads is there. */
  | { readonly kind: "unblock" }
  /** Something it reads was lost. */
  | { readonly kind: "block" }
  | { readonly kind: "start"; readonly attempt: number }
  | { readonly kind: "grant"; readonly attempt: number }
  | { readonly kind: "finish"; readonly attempt: number }
  /** An attempt failed by the job's fault: the `limit`th such failure fails the task. */
  | {
      readonly kind: "fail";
      readonly attempt: number;
      readonly failure: Failure;
      readonly limit: number;
      readonly open: boolean;
    }
  /** An attempt was lost through no fault of the job: only far more of these fail the task. */
  | {
      readonly kind: "lose";
      readonly attempt: number;
      readonly failure: Failure;
      readonly limit: number;
      readonly open: boolean;
    }
  /** An attempt was ended on purpose: no mark stays. */
  | { readonly kind: "release"; readonly attempt: number; readonly open: boolean }
  /** The finished output went with its node. */
  | {
      readonly kind: "outputLost";
      readonly attempt: number;
      readonly failure: Failure;
      readonly limit: number;
    }
  /** A reader could not fetch the finished output. */
  | {
      readonly kind: "outputUnreadable";
      readonly attempt: number;
      readonly failure: Failure;
      readonly limit: number;
    }
  /** What the finished task read is another one now: no mark stays. */
  | { readonly kind: "startOver"; readonly attempt: number; readonly open: boolean }
  /** A lost output is needed no more: the task counts as finished by the attempt that made it. */
  | { readonly kind: "settle" }
  | { readonly kind: "cancel" };

/** The only place a task changes state. Returns the same object when the event is stale or does not apply. */
export function nextTaskState(state: TaskState, event: TaskEvent): TaskState {
  switch (event.kind) {
    case "unblock":
      return state.kind === "BLOCKED" ? { kind: "READY", tally: state.tally } : state;
    case "block":
      return state.kind === "READY" ? { kind: "BLOCKED", tally: state.tally } : state;
    case "start":
      return started(state, event.attempt);
    case "grant":
      return runs(state, event.attempt) && state.granted === null
        ? { ...state, granted: event.attempt }
        : state;
    case "finish":
      return runs(state, event.attempt) && (state.granted === null || state.granted === event.attempt)
        ? { kind: "FINISHED", tally: { ...state.tally, lostOutput: null }, attempt: event.attempt }
        : state;
    case "fail":
      return failed(state, event);
    case "lose":
      return lost(state, event);
    case "release":
      return runs(state, event.attempt) ? without(state, event.attempt, state.tally, event.open) : state;
    case "outputLost":
    case "outputUnreadable":
      return outputGone(state, event);
    case "startOver":
      return startedOver(state, event);
    case "settle":
      return settled(state);
    case "cancel":
      return state.kind === "FINISHED" || state.kind === "FAILED" || state.kind === "CANCELLED"
        ? state
        : { kind: "CANCELLED", tally: state.tally };
  }
}

type Running = Extract<TaskState, { kind: "RUNNING" }>;
type EventOf<K extends TaskEvent["kind"]> = Extract<TaskEvent, { kind: K }>;

function runs(state: TaskState, attempt: number): state is Running {
  return state.kind === "RUNNING" && state.attempts.includes(attempt);
}

function started(state: TaskState, attempt: number): TaskState {
  if (state.kind === "READY")
    return { kind: "RUNNING", tally: state.tally, attempts: [attempt], granted: null };
  if (state.kind !== "RUNNING" || state.attempts.includes(attempt)) return state;
  return { ...state, attempts: [...state.attempts, attempt] };
}

function failed(state: TaskState, event: EventOf<"fail">): TaskState {
  if (!runs(state, event.attempt)) return state;
  const tally = { ...state.tally, failures: state.tally.failures + 1 };
  if (tally.failures >= event.limit) return { kind: "FAILED", tally, failure: event.failure };
  return without(state, event.attempt, tally, event.open);
}

function lost(state: TaskState, event: EventOf<"lose">): TaskState {
  if (!runs(state, event.attempt)) return state;
  const tally = { ...state.tally, losses: state.tally.losses + 1 };
  if (tally.losses >= event.limit) return { kind: "FAILED", tally, failure: event.failure };
  return without(state, event.attempt, tally, event.open);
}

function outputGone(state: TaskState, event: EventOf<"outputLost" | "outputUnreadable">): TaskState {
  if (state.kind !== "FINISHED" || state.attempt !== event.attempt) return state;
  const unreadable = event.kind === "outputUnreadable";
  const tally: Tally = {
    failures: state.tally.failures,
    losses: state.tally.losses + (unreadable ? 0 : 1),
    fetchFailures: state.tally.fetchFailures + (unreadable ? 1 : 0),
    lostOutput: state.attempt,
  };
  const count = unreadable ? tally.fetchFailures : tally.losses;
  return count >= event.limit ? { kind: "FAILED", tally, failure: event.failure } : { kind: "READY", tally };
}

function startedOver(state: TaskState, event: EventOf<"startOver">): TaskState {
  if (state.kind !== "FINISHED" || state.attempt !== event.attempt) return state;
  return { kind: event.open ? "READY" : "BLOCKED", tally: { ...state.tally, lostOutput: state.attempt } };
}

function settled(state: TaskState): TaskState {
  if (state.tally.lostOutput === null) return state;
  if (state.kind !== "READY" && state.kind !== "BLOCKED" && state.kind !== "RUNNING") return state;
  return { kind: "FINISHED", tally: state.tally, attempt: state.tally.lostOutput };
}

/** The task after one of its attempts is gone: still running in another, or back in the queue. */
function without(state: Running, attempt: number, tally: Tally, open: boolean): TaskState {
  const attempts = state.attempts.filter((a) => a !== attempt);
  if (attempts.length === 0) return { kind: open ? "READY" : "BLOCKED", tally };
  return { kind: "RUNNING", tally, attempts, granted: state.granted === attempt ? null : state.granted };
}
