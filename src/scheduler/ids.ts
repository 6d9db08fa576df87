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
 * Who speaks: a node and which of its lives. A node that returns after it was given up has a higher
 * incarnation.
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
