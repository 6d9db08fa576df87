import { type PhaseState } from "./phase-state.ts";
import type { JobPolicy } from "./policy.ts";

/**
 * Whether an attempt of the phase that has run for `elapsedMs` deserves a backup: nearly all of the phase is
 * done, no task waits, the attempt takes far longer than most did, and few have a backup yet. (Dean and
 * Ghemawat, MapReduce, OSDI 2004, section 3.6: backup tasks.)
 */
export function isSlow(phase: PhaseState, policy: JobPolicy, elapsedMs: number): boolean {
  const { counts, tasks } = phase;
  if (!policy.speculation || !phase.open || counts.READY > 0) return false;
  if (counts.FINISHED < policy.speculationDoneShare * tasks.length) return false;
  if (phase.backups >= Math.max(1, Math.floor(policy.speculationShare * tasks.length))) return false;
  const median = phase.durations.median;
  if (median === undefined || elapsedMs < policy.speculationFloorMs) return false;
  return elapsedMs > policy.speculationSlowness * median;
}
