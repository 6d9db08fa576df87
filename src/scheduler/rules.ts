import type { NodeRef } from "./ids.ts";
import type { JobPolicy } from "./policy.ts";
import type { Attempt, AttemptEnding, AttemptPace, FailureReport, PhaseState, Rules } from "./state.ts";
import { nextTaskState } from "./task-state.ts";

/** Whether a report is about a running attempt and comes from where it runs. */
function speaksFor(attempt: Attempt, reporter: NodeRef): boolean {
  return attempt.state.kind === "RUNNING" && isOfLife(attempt, reporter);
}

/** Whether the attempt ran, or runs, in this life of a node. */
function isOfLife({ node }: Attempt, life: NodeRef): boolean {
  return node.id === life.node && node.incarnation === life.incarnation;
}

export function endingOf({ blame, code, setAside = false }: FailureReport): AttemptEnding {
  if (setAside) return "lost";
  if (blame !== "system") return "failed";
  if (code === "WORKER_LOST") return "lostWithWorker";
  return code === "CANCELLED" ? "lost" : "failed";
}

/** What has not been seen to move is slow only after so many times the time of one that has. */
const waitingFactor = 2;

/**
 * Whether an attempt of the phase deserves a backup: nearly all of the phase is done, no task waits, the
 * attempt takes far longer than most did, and few have a backup yet. (Dean and Ghemawat, MapReduce, OSDI
 * 2004, section 3.6: backup tasks.) A backup does the whole task anew, so it pays only where more is left
 * than that: what the attempt has done in its time tells how long the rest will take. (Zaharia et al.,
 * Improving MapReduce Performance in Heterogeneous Environments, OSDI 2008.) One that waits its turn on a
 * busy machine is not slow: its time counts from when it moved.
 */
function isSlow(phase: PhaseState, policy: JobPolicy, run: AttemptPace): boolean {
  const { counts, tasks } = phase;
  if (!policy.speculation || !phase.open || counts.READY > 0) return false;
  if (counts.FINISHED < policy.speculationDoneShare * tasks.length) return false;
  if (phase.backups >= Math.max(1, Math.floor(policy.speculationShare * tasks.length))) return false;
  const { median } = phase.durations;
  if (median === undefined) return false;
  const { elapsedMs, workedMs, fraction } = run;
  const countedMs = workedMs ?? elapsedMs / waitingFactor;
  if (countedMs < policy.speculationFloorMs || countedMs <= policy.speculationSlowness * median) return false;
  return fraction <= 0 || (countedMs * (1 - fraction)) / fraction > median;
}

/**
 * Whether what a map attempt made differs from the lost output it stands in for. Unknown when one of them has
 * no fingerprint: then they are taken to be equal, as those of deterministic maps are.
 */
function differs(before: string | null, after: string | null): boolean {
  return before !== null && after !== null && before !== after;
}

/** What a scheduler follows unless the simulator gives it other ones. */
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
  isSameLife: (reported, current) => reported === current,
};
