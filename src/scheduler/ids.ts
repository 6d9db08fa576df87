import type { ErrorCode } from "../base/errors.ts";

/** The phases of a job, in the order they run. */
export const PHASES = ["sample", "map", "reduce"] as const;
export type Phase = (typeof PHASES)[number];

export interface TaskRef {
  readonly job: string;
  readonly phase: Phase;
  /** 0 to tasks-1 within the phase. */
  readonly task: number;
}

/** One run of a task. Attempts are numbered 1, 2, ... per task and never reused. */
export interface AttemptRef extends TaskRef {
  readonly attempt: number;
}

/**
 * A node and one of its lives: who reports, or who is told. A node that returns after it was given up has a
 * higher incarnation.
 */
export interface NodeRef {
  readonly node: string;
  readonly incarnation: number;
}

/** "map-00017" */
export function formatTask(ref: TaskRef): string {
  return `${ref.phase}-${String(ref.task).padStart(5, "0")}`;
}

/** "map-00017.2" */
export function formatAttempt(ref: AttemptRef): string {
  return `${formatTask(ref)}.${ref.attempt}`;
}

/** Whose fault: user code and data use up attempts; the system's are counted apart. */
export type Blame = "user" | "data" | "system";

/** Why an attempt, a task or a job did not succeed. */
export interface Failure<Detail = unknown> {
  readonly blame: Blame;
  readonly code: ErrorCode;
  readonly message: string;
  /** The attempt it happened to; null when it concerns the job as a whole. */
  readonly attempt: AttemptRef | null;
  readonly node: string | null;
  /** Whatever the runner attached to its report; handed back untouched. */
  readonly detail: Detail | null;
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
