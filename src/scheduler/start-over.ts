import type { Attempt } from "./attempt.ts";
import { formatAttempt } from "./ids.ts";
import { failJob } from "./job-end.ts";
import { moveTask } from "./move-task.ts";
import { killRest } from "./run-attempt.ts";
import type { SchedulerState } from "./scheduler-state.ts";
import type { Task } from "./task.ts";

/**
 * Whether what a map attempt made differs from the lost output it stands in for. Unknown when one of them has
 * no fingerprint: then they are taken to be equal, as those of deterministic maps are.
 */
export function differs(before: string | null, after: string | null): boolean {
  return before !== null && after !== null && before !== after;
}

/**
 * A lost map output was made again and is another one: reduces that run or have finished began while the old
 * one was there, and others will read the new one. So that they all read the same, the former start over; no
 * attempt is used up. The job fails when that happens too often. Costs as much as there are reduces.
 */
export function startReducesOver(s: SchedulerState, before: Attempt, after: Attempt): void {
  const { job } = after.task;
  const { reduce } = job.phases;
  if (reduce.counts.RUNNING + reduce.counts.FINISHED === 0) return;
  job.outputChanges++;
  s.facts?.job(job);
  const what = `${formatAttempt(before.ref)} and ${formatAttempt(after.ref)} gave different output`;
  if (job.outputChanges > job.policy.outputChangesMax) {
    const times = job.outputChanges === 1 ? "" : ` (case ${job.outputChanges} in this job)`;
    failJob(s, job, {
      blame: "user",
      code: "NOT_DETERMINISTIC",
      message: `${what} for the same input${times}: the map depends on time, chance or what ran before`,
      attempt: after.ref,
      node: after.node.id,
      detail: null,
    });
    return;
  }
  for (const task of reduce.tasks) startOver(s, task, `it read an input that is another one now: ${what}`);
}

function startOver(s: SchedulerState, task: Task, reason: string): void {
  const { open } = task.phase;
  if (task.state.kind === "FINISHED") {
    const attempt = task.attempts[task.state.attempt - 1]!;
    attempt.outputLost = reason;
    s.facts?.attempt(attempt);
    moveTask(s, task, { kind: "startOver", attempt: attempt.ref.attempt, open });
    s.commands.push({ kind: "discardOutput", attempt: attempt.ref });
  } else if (task.state.kind === "RUNNING") {
    const { attempts } = task.state;
    killRest(s, task, reason);
    for (const attempt of attempts) moveTask(s, task, { kind: "release", attempt, open });
  }
}
