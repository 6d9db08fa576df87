import type { JobStatus } from "./commands.ts";
import type { Failure } from "./failure.ts";
import { PHASES, type TaskRef } from "./ids.ts";
import type { JobState } from "./job-state.ts";
import { moveTask } from "./move-task.ts";
import { killRest } from "./run-attempt.ts";
import type { SchedulerState } from "./scheduler-state.ts";

/** Ends the job by its first failure; later ones change nothing. */
export function failJob(s: SchedulerState, job: JobState, cause: Failure): void {
  endJob(s, job, "FAILED", cause);
}

/** Ends a job: what runs is killed, what waits is cancelled. Costs as much as the job has tasks, once. */
export function endJob(s: SchedulerState, job: JobState, status: JobStatus, cause: Failure | null): void {
  if (job.status.kind === "ENDED") return;
  job.status = { kind: "ENDED", status, cause, endedMs: s.nowMs };
  s.facts?.job(job);
  const failedTasks: TaskRef[] = [];
  for (const name of PHASES) {
    for (const task of job.phases[name].tasks) {
      if (task.state.kind === "RUNNING") killRest(s, task, `the job ended: ${status}`);
      moveTask(s, task, { kind: "cancel" });
      if (task.state.kind === "FAILED") failedTasks.push(task.ref);
      if (s.facts !== null)
        for (const { node } of task.attempts) if (s.nodes.get(node.id) === node) s.facts.node(node);
    }
  }
  s.active.delete(job);
  s.queue.update(job);
  for (const node of s.nodes.values()) node.outputs.delete(job.id);
  const counters = Object.fromEntries(job.counters);
  s.commands.push({ kind: "jobEnded", job: job.id, status, cause, counters, failedTasks });
}
