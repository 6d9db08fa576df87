import type { ErrorCode } from "../base/errors.ts";
import type { Blame } from "./failure.ts";

/** What an `attemptFailed` says about its attempt. */
export interface FailureReport {
  readonly blame: Blame;
  readonly code: ErrorCode;
  readonly setAside?: boolean;
}

/**
 * - `failed`: by itself; it may use up one of the task's attempts, and counts against its node
 * - `lost`: through no fault of the job
 * - `lostWithWorker`: the same, but a task to which that happens too often is taken to be the cause
 */
export type AttemptEnding = "failed" | "lost" | "lostWithWorker";

export function endingOf({ blame, code, setAside = false }: FailureReport): AttemptEnding {
  if (setAside) return "lost";
  if (blame !== "system") return "failed";
  if (code === "WORKER_LOST") return "lostWithWorker";
  return code === "CANCELLED" ? "lost" : "failed";
}
