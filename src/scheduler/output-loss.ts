import { systemFailure } from "./failure.ts";
import { formatTask } from "./ids.ts";
import { failJob } from "./job-end.ts";
import type { JobState } from "./job-state.ts";
import { moveTask } from "./move-task.ts";
import type { NodeState } from "./node.ts";
import { isDone } from "./phase-state.ts";
import type { SchedulerState } from "./scheduler-state.ts";
import type { Task } from "./task.ts";

/** Remembers that the output of a finished map task lies on the node. */
export function keepOutput(task: Task, node: NodeState): void {
  let tasks = node.outputs.get(task.job.id);
  if (tasks === undefined) node.outputs.set(task.job.id, (tasks = new Set()));
  tasks.add(task);
}

/**
 * The job's finished map outputs on the node are gone: their tasks run again, unless no reduce needs them any
 * more.
 */
export function loseOutputs(s: SchedulerState, job: JobState, node: NodeState, reason: string): void {
  const tasks = node.outputs.get(job.id);
  if (tasks === undefined) return;
  node.outputs.delete(job.id);
  if (job.status.kind !== "RUNNING" || isDone(job.phases.reduce)) return;
  const limit = job.policy.lossesMax;
  for (const task of tasks) {
    if (task.state.kind !== "FINISHED") continue;
    const attempt = task.attempts[task.state.attempt - 1]!;
    const text = `the output of ${formatTask(task.ref)} was lost: ${reason}`;
    const failure = systemFailure("WORKER_LOST", text, { attempt: attempt.ref, node: node.id });
    attempt.outputLost = reason;
    s.facts?.attempt(attempt);
    moveTask(s, task, { kind: "outputLost", attempt: task.state.attempt, failure, limit });
    s.commands.push({ kind: "discardOutput", attempt: attempt.ref });
    if (failsJob(s, job, task)) return;
  }
  closeReduces(s, job);
}

/**
 * A reduce could not read the output of `attempt`; true when that ended the job. A stale complaint changes
 * nothing.
 */
export function loseUnreadable(s: SchedulerState, task: Task, number: number, message: string): boolean {
  const { job } = task;
  const attempt = task.attempts[number - 1];
  if (attempt === undefined || task.state.kind !== "FINISHED" || task.state.attempt !== number) return false;
  const times = task.state.tally.fetchFailures + 1;
  const text = `the output of ${formatTask(task.ref)} could not be fetched ${times} times; last: ${message}`;
  const failure = systemFailure("BLOCK_CORRUPT", text, { attempt: attempt.ref, node: attempt.node.id });
  attempt.outputLost = message;
  s.facts?.attempt(attempt);
  attempt.node.outputs.get(job.id)?.delete(task);
  const limit = job.policy.fetchFailuresMax;
  moveTask(s, task, { kind: "outputUnreadable", attempt: number, failure, limit });
  s.commands.push({ kind: "discardOutput", attempt: attempt.ref });
  if (failsJob(s, job, task)) return true;
  closeReduces(s, job);
  return false;
}

function failsJob(s: SchedulerState, job: JobState, task: Task): boolean {
  if (task.state.kind !== "FAILED") return false;
  failJob(s, job, task.state.failure);
  return true;
}

/**
 * Reduces that have not started wait for the maps again. Costs as much as there are reduces; done per loss,
 * not per event.
 */
function closeReduces(s: SchedulerState, job: JobState): void {
  const { map, reduce } = job.phases;
  if (!reduce.open || isDone(map)) return;
  reduce.open = false;
  if (reduce.counts.READY === 0) return;
  for (const task of reduce.tasks) if (task.state.kind === "READY") moveTask(s, task, { kind: "block" });
}
