import type { Attempt } from "./attempt.ts";
import { isBarred } from "./barring.ts";
import type { JobState } from "./job-state.ts";
import { moveTask } from "./move-task.ts";
import type { NodeState } from "./node.ts";
import { killAttempt } from "./run-attempt.ts";
import type { SchedulerState } from "./scheduler-state.ts";
import type { Task } from "./task.ts";

/** How the reason of an attempt begins that was ended for another job. */
export const PREEMPTED = "its slot is needed by a job of higher priority";

/**
 * Frees slots for a job that has waited for what it was granted: of jobs of lower priority it ends attempts
 * that run beyond their grants, the youngest first. They run again later; no attempt is used up. A task is
 * ended so only a few times, so that even a job that others overtake all the time comes to its end. Called as
 * time passes; costs nothing unless the job waits, then as much as the slots of the nodes it is granted.
 */
export function preempt(s: SchedulerState, job: JobState): void {
  const { room } = job.grants;
  if (room === null || room.size === 0 || job.ready === 0 || job.status.kind !== "RUNNING") {
    job.hungryMs = null;
    return;
  }
  const waitedMs = job.hungryMs === null ? 0 : s.nowMs - job.hungryMs;
  let left = job.ready;
  let hungry = false;
  for (const name of room) {
    const node = s.nodes.get(name);
    if (node === undefined || !node.open || node.idle.length > 0 || isBarred(job, name)) continue;
    if (left <= 0 || job.queue.peek(name, false) === undefined) continue;
    const victims = victimsOn(s, node, job);
    if (victims.length === 0) continue;
    hungry = true;
    if (waitedMs < job.policy.preemptAfterMs) break;
    // Slots whose workers are about to ask are as good as free.
    const away = node.slots.filter(({ state }) => state.kind === "AWAY").length;
    const wanted = Math.min(left, job.grants.roomOn(name)) - away;
    for (const victim of victims.slice(0, Math.max(0, wanted))) {
      left--;
      endFor(s, victim, job);
    }
  }
  job.hungryMs = hungry ? (job.hungryMs ?? s.nowMs) : null;
}

function endFor(s: SchedulerState, victim: Attempt, job: JobState): void {
  const { task, ref } = victim;
  killAttempt(s, victim, `${PREEMPTED}, ${job.id}`);
  moveTask(s, task, { kind: "release", attempt: ref.attempt, open: task.phase.open });
}

/** What may be ended on the node for the job: of the least important jobs, and begun last, first. */
function victimsOn(s: SchedulerState, node: NodeState, job: JobState): Attempt[] {
  const found: Attempt[] = [];
  for (const { state } of node.slots) {
    if (state.kind === "BUSY" && mayEnd(s, state.attempt, job)) found.push(state.attempt);
  }
  found.sort((a, b) => a.task.job.weight - b.task.job.weight || b.startedMs - a.startedMs || b.slot - a.slot);
  const taken = new Map<JobState, number>();
  return found.filter(({ task }) => {
    const before = taken.get(task.job) ?? 0;
    taken.set(task.job, before + 1);
    return before < task.job.grants.excessOn(node.id);
  });
}

function mayEnd(s: SchedulerState, { task }: Attempt, job: JobState): boolean {
  if (!s.rules.mayTakeFrom(job, task.job) || task.job.status.kind !== "RUNNING") return false;
  if (task.state.kind !== "RUNNING" || task.state.granted !== null) return false;
  return timesPreempted(task) < task.job.policy.preemptionsMax;
}

/** How often attempts of the task were ended for other jobs. */
export function timesPreempted({ attempts }: Pick<Task, "attempts">): number {
  return attempts.filter(({ state }) => state.kind === "KILLED" && state.reason.startsWith(PREEMPTED)).length;
}
