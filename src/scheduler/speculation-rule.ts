import { type PhaseState } from "./phase-state.ts";
import type { JobPolicy } from "./policy.ts";

/** How far an attempt is. */
export interface AttemptRun {
  /** Since it was ordered. */
  readonly elapsedMs: number;
  /** Since it was first seen to move on; null: it waits, for a worker or a processor. */
  readonly workedMs: number | null;
  /** Share of its work that is done, from 0 to 1; 0: unknown. */
  readonly fraction: number;
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
export function isSlow(phase: PhaseState, policy: JobPolicy, run: AttemptRun): boolean {
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
