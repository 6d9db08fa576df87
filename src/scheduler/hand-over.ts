import type { AttemptState } from "./attempt.ts";
import { idleFor } from "./grants.ts";
import { addRest, type JobState } from "./job-state.ts";
import { moveTask } from "./move-task.ts";
import type { SchedulerState } from "./scheduler-state.ts";
import type { Task } from "./task.ts";

/** Parts asked for per slot that may work on them: tasks of unequal weight then end together. */
const PARTS_PER_SLOT = 2;

/**
 * When nothing is left to start and slots are idle, asks map attempts that have run for a while to hand over
 * what they have not begun: a few slow records, or a large split of them, then keep all slots busy. Called as
 * time passes; costs nothing unless slots are idle.
 */
export function askForRest(s: SchedulerState, job: JobState): void {
  const { handOverAfterMs } = job.policy;
  const { map } = job.phases;
  if (!Number.isFinite(handOverAfterMs) || job.status.kind !== "RUNNING") return;
  if (job.ready > 0 || !map.open || map.counts.RUNNING === 0) return;
  let idle = 0;
  for (const node of idleFor(s, job)) idle += Math.min(node.idle.length, job.grants.roomOn(node.id));
  let asked = 0;
  for (const { ref, task, node, beat, startedMs, askedForRest } of map.ages) {
    if (asked === idle || s.nowMs - startedMs < handOverAfterMs) return;
    if (askedForRest || beat === null || !isUntroubled(task)) continue;
    task.attempts[0]!.askedForRest = true;
    asked++;
    const { id, incarnation } = node;
    const parts = PARTS_PER_SLOT * (idle + 1);
    s.commands.push({ kind: "handOver", attempt: ref, parts, node: id, incarnation });
  }
}

/** Its first attempt, alone: what failed before is run again as it was. */
function isUntroubled({ attempts, state }: Task): boolean {
  return attempts.length === 1 && state.kind === "RUNNING" && state.granted === null;
}

/** A task has finished, and so many do its rest. */
export function handedOver(
  s: SchedulerState,
  task: Task,
  count: number,
  lostOutput: number | null,
): Pick<Extract<AttemptState, { kind: "SUCCEEDED" }>, "rest"> {
  if (count === 0 || lostOutput !== null) return {};
  const first = addRest(task, count);
  for (const added of task.phase.tasks.slice(first)) moveTask(s, added, { kind: "unblock" });
  return { rest: { first, count } };
}
