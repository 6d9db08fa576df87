import type { SchedulerState } from "./scheduler-state.ts";
import type { Task } from "./task.ts";
import { sameTally, type TaskEvent } from "./task-state.ts";

/**
 * Applies one event to one task and keeps counts and queues in step. False when the event was stale. Every
 * change of a task's state goes through here.
 */
export function moveTask(s: SchedulerState, task: Task, event: TaskEvent): boolean {
  const before = task.state;
  const after = s.rules.nextTaskState(before, event);
  if (after === before) return false;
  task.state = after;
  if (s.facts !== null && (after.kind === "FAILED" || !sameTally(before.tally, after.tally)))
    s.facts.task(task);
  if (after.kind === before.kind) return true;
  const { job, phase } = task;
  phase.counts[before.kind]--;
  phase.counts[after.kind]++;
  if (before.kind === "READY") job.ready--;
  if (after.kind === "READY") {
    job.ready++;
    job.queue.add(task);
    s.fresh.push(task);
  }
  s.queue.update(job);
  return true;
}
