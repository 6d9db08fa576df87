import type { Attempt } from "./attempt.ts";
import { idleFor, mayUse } from "./grants.ts";
import { PHASES } from "./ids.ts";
import type { JobState } from "./job-state.ts";
import type { NodeState } from "./node.ts";
import type { PhaseState } from "./phase-state.ts";
import { startAttempt } from "./run-attempt.ts";
import type { SchedulerState } from "./scheduler-state.ts";

/** Attempts, oldest first, and idle nodes that are tried before giving up until later. */
const LOOK_MAX = 8;

/** A slow attempt that the node could run a backup of; the attempt's own node is no help. */
export function backupFor(s: SchedulerState, node: NodeState): Attempt | undefined {
  for (const job of s.active) {
    const slow = slowAttempt(s, job, node);
    if (slow !== undefined) return slow;
  }
  return undefined;
}

/**
 * Starts backups on idle slots. Called as time passes: nothing else tells that an attempt has become slow.
 */
export function startBackups(s: SchedulerState, job: JobState): void {
  while (s.idleSlots > 0 && hasSlow(s, job)) {
    const found = findBackup(s, job);
    if (found === undefined) return;
    startAttempt(s, found.slow.task, found.node, found.slow);
  }
}

function findBackup(s: SchedulerState, job: JobState): { node: NodeState; slow: Attempt } | undefined {
  let looked = 0;
  for (const node of idleFor(s, job)) {
    if (looked++ === LOOK_MAX) return undefined;
    const slow = slowAttempt(s, job, node);
    if (slow !== undefined) return { node, slow };
  }
  return undefined;
}

function slowAttempt(s: SchedulerState, job: JobState, node: NodeState): Attempt | undefined {
  if (!job.policy.speculation || job.status.kind !== "RUNNING" || !mayUse(s, job, node.id)) return undefined;
  for (const name of PHASES) {
    const phase = job.phases[name];
    let looked = 0;
    for (let link = phase.ages.first; link !== null && looked < LOOK_MAX; link = link.next, looked++) {
      const attempt = link.item;
      if (!isSlowNow(s, job, phase, attempt)) continue;
      const { task } = attempt;
      if (task.state.kind === "RUNNING" && task.state.granted !== null) continue;
      if (attempt.node.id === node.id || (task.pinned.length > 0 && !task.pinned.includes(node.id))) continue;
      return attempt;
    }
  }
  return undefined;
}

function hasSlow(s: SchedulerState, job: JobState): boolean {
  if (!job.policy.speculation) return false;
  return PHASES.some((name) => {
    const phase = job.phases[name];
    let looked = 0;
    for (let link = phase.ages.first; link !== null && looked < LOOK_MAX; link = link.next, looked++)
      if (isSlowNow(s, job, phase, link.item)) return true;
    return false;
  });
}

function isSlowNow(s: SchedulerState, job: JobState, phase: PhaseState, attempt: Attempt): boolean {
  const { startedMs, beganMs, fraction } = attempt;
  const workedMs = beganMs === null ? null : s.nowMs - beganMs;
  const run = { elapsedMs: s.nowMs - startedMs, workedMs, fraction };
  return s.rules.isSlow(phase, job.policy, run);
}
