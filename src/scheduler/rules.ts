import { isOfLife, speaksFor } from "./attempt.ts";
import { endingOf } from "./attempt-ending.ts";
import type { JobLife, JobState } from "./job-state.ts";
import { isSlow } from "./speculation-rule.ts";
import { differs } from "./start-over.ts";
import { nextTaskState } from "./task-state.ts";

/**
 * The decisions on which safety rests, as plain functions. They are handed to the scheduler so that the
 * simulator can put broken ones in their place and show that its checks notice.
 */
export interface Rules {
  readonly nextTaskState: typeof nextTaskState;
  readonly speaksFor: typeof speaksFor;
  readonly isOfLife: typeof isOfLife;
  readonly endingOf: typeof endingOf;
  readonly isSlow: typeof isSlow;
  readonly differs: typeof differs;
  /** Whether a job may run one attempt more on a node, as far as its grants go. */
  readonly hasGrant: (job: JobState, node: string) => boolean;
  /** Whether slots may be freed for a job by ending attempts of another. */
  readonly mayTakeFrom: (job: JobState, other: JobState) => boolean;
  /** Whether a node takes new tasks. */
  readonly isOpen: (draining: boolean, barredByHand: boolean) => boolean;
  /** Whether a worker that was lost counts against its task, by whether that life of its node goes on. */
  countsLostWorker(isNodeAlive: boolean): boolean;
  /** Whether a job fails by what its driver finds out about it. */
  canFail(life: JobLife): boolean;
  /** Whether a slot's question has not been seen before. */
  isNewAsk(ask: number, lastAsk: number): boolean;
  /** Whether a node's words come from the life it is in. */
  isSameLife(spoken: number, current: number): boolean;
}

export const standardRules: Rules = {
  nextTaskState,
  speaksFor,
  isOfLife,
  endingOf,
  isSlow,
  differs,
  hasGrant: (job, node) => job.grants.has(node),
  mayTakeFrom: (job, other) => job.weight > other.weight,
  isOpen: (draining, barredByHand) => !draining && !barredByHand,
  countsLostWorker: (isNodeAlive) => isNodeAlive,
  canFail: (life) => life.kind === "RUNNING",
  isNewAsk: (ask, lastAsk) => ask > lastAsk,
  isSameLife: (spoken, current) => spoken === current,
};
