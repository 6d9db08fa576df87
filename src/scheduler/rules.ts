import { speaksFor } from "./attempt.ts";
import type { JobState } from "./job-state.ts";
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
  readonly isSlow: typeof isSlow;
  readonly differs: typeof differs;
  /** Whether a job may run one attempt more on a node, as far as its grants go. */
  readonly hasGrant: (job: JobState, node: string) => boolean;
  /** Whether slots may be freed for a job by ending attempts of another. */
  readonly mayTakeFrom: (job: JobState, other: JobState) => boolean;
  /** Whether a node takes new tasks. */
  readonly isOpen: (draining: boolean, barredByHand: boolean) => boolean;
  /** Whether a slot's question has not been seen before. */
  isNewAsk(ask: number, lastAsk: number): boolean;
  /** Whether a node's words come from the life it is in. */
  isSameLife(spoken: number, current: number): boolean;
}

export const standardRules: Rules = {
  nextTaskState,
  speaksFor,
  isSlow,
  differs,
  hasGrant: (job, node) => job.grants.has(node),
  mayTakeFrom: (job, other) => job.weight > other.weight,
  isOpen: (draining, barredByHand) => !draining && !barredByHand,
  isNewAsk: (ask, lastAsk) => ask > lastAsk,
  isSameLife: (spoken, current) => spoken === current,
};
