import type { Attempt } from "./attempt.ts";
import { Chain } from "./chain.ts";
import type { Phase } from "./ids.ts";
import { RunningMedian } from "./running-median.ts";
import type { Task } from "./task.ts";
import type { TaskStateKind } from "./task-state.ts";

export type StateCounts = Record<TaskStateKind, number>;

export interface PhaseState {
  readonly name: Phase;
  /** By number. */
  readonly tasks: Task[];
  /** In the order of what they read: a task that does the rest of another is behind that one. */
  readonly sequence: Task[];
  /** How many tasks are in each state. */
  readonly counts: StateCounts;
  /** False: its tasks wait, BLOCKED, for the phase before. */
  open: boolean;
  /** Durations of the attempts that succeeded, ms. */
  readonly durations: RunningMedian;
  /** Running attempts without a backup, oldest first. */
  readonly ages: Chain<Attempt>;
  backups: number;
}

export function newPhase(name: Phase): PhaseState {
  return {
    name,
    tasks: [],
    sequence: [],
    counts: { BLOCKED: 0, READY: 0, RUNNING: 0, FINISHED: 0, FAILED: 0, CANCELLED: 0 },
    open: false,
    durations: new RunningMedian(),
    ages: new Chain(),
    backups: 0,
  };
}

/** Whether nothing of the phase is left to run. */
export function isDone(phase: PhaseState): boolean {
  return phase.counts.FINISHED + phase.counts.FAILED === phase.tasks.length;
}
