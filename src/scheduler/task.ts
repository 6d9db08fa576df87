import type { Attempt } from "./attempt.ts";
import type { TaskRef } from "./ids.ts";
import type { JobState } from "./job-state.ts";
import type { PhaseState } from "./phase-state.ts";
import type { TaskState } from "./task-state.ts";

export interface Task {
  readonly ref: TaskRef;
  readonly job: JobState;
  readonly phase: PhaseState;
  /** Position in its job, over all phases: earlier is run first. */
  readonly order: number;
  /** Node names; empty: every node. */
  readonly pinned: readonly string[];
  readonly preferred: readonly string[];
  /** Changed by `moveTask` only. */
  state: TaskState;
  /** Attempt n is attempts[n - 1]. Replaced when there is another: most tasks have one. */
  attempts: readonly Attempt[];
  /** True while it stands in the ready queues of its job. */
  queued: boolean;
  lastFailedNode: string | null;
  /** Counters of the committed attempt that are in the job's sums. */
  counted: Readonly<Record<string, number>> | null;
}
