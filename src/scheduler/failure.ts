import type { ErrorCode } from "../base/errors.ts";
import type { AttemptRef } from "./ids.ts";

/** Whose fault: user code and data use up attempts; the system's are counted apart. */
export type Blame = "user" | "data" | "system";

/** Why an attempt, a task or a job did not succeed. */
export interface Failure {
  readonly blame: Blame;
  readonly code: ErrorCode;
  readonly message: string;
  /** The attempt it happened to; null when it concerns the job as a whole. */
  readonly attempt: AttemptRef | null;
  readonly node: string | null;
  /** Whatever the runner attached to its report; handed back untouched. */
  readonly detail: unknown;
}

/** Failures that the same bytes of input lead to again: their tasks are not tried another time. */
const FINAL_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "RECORD_INVALID",
  "RECORD_TOO_LARGE",
  "INPUT_CHANGED",
]);

export function isFinal({ blame, code }: Pick<Failure, "blame" | "code">): boolean {
  return blame === "data" && FINAL_CODES.has(code);
}

/** A failure noticed by the scheduler itself. */
export function systemFailure(code: ErrorCode, message: string, where: Partial<Failure> = {}): Failure {
  return { blame: "system", code, message, attempt: null, node: null, detail: null, ...where };
}
