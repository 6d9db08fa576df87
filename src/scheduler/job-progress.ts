import { failJob } from "./job-end.ts";
import { PHASES } from "./ids.ts";
import type { JobState } from "./job-state.ts";
import { moveTask } from "./move-task.ts";
import { isDone, type PhaseState } from "./phase-state.ts";
import { killRest } from "./run-attempt.ts";
import type { SchedulerState } from "./scheduler-state.ts";
import type { Task } from "./task.ts";

/** Opens the phase whose turn it is; orders the commit when none is left. */
export function advance(s: SchedulerState, job: JobState): void {
  if (job.status.kind !== "RUNNING") return;
  const { sample, map, reduce } = job.phases;
  if (reduce.tasks.length > 0 && isDone(reduce) && !isDone(map)) settleMaps(s, map);
  for (const name of PHASES) {
    const phase = job.phases[name];
    if (!phase.open) openPhase(s, phase);
    if (!isDone(phase)) return;
    if (phase === sample && sample.tasks.length > 0 && !job.samplesAnnounced) {
      job.samplesAnnounced = true;
      s.facts?.job(job);
      s.commands.push({ kind: "sampleReady", job: job.id });
    }
  }
  job.status = { kind: "COMMITTING", cancelled: null };
  s.facts?.job(job);
  s.queue.update(job);
  s.commands.push({ kind: "commitJob", job: job.id });
}

/**
 * After a task has lost an attempt: if it has failed, the job fails with it unless that is within what is
 * allowed. A task that had finished before is not given up: some reduces have read what it made, others could
 * not.
 */
export function afterAttempt(s: SchedulerState, task: Task): void {
  if (task.state.kind !== "FAILED") return;
  const { job, phase } = task;
  const { failure } = task.state;
  killRest(s, task, "the task failed");
  const allowed = Math.floor(job.policy.failedTasksShare * phase.tasks.length);
  const mixed = task.state.tally.lostOutput !== null;
  if (failure.blame === "system" || mixed || phase.counts.FAILED > allowed) failJob(s, job, failure);
  else advance(s, job);
}

/**
 * Adds the committed attempt's counters to the job's, in place of those of an earlier attempt whose output
 * was lost.
 */
export function countTask(task: Task, counters: Readonly<Record<string, number>>): void {
  const sums = task.job.counters;
  for (const name in task.counted) sums.set(name, sums.get(name)! - task.counted[name]!);
  for (const name in counters) sums.set(name, (sums.get(name) ?? 0) + counters[name]!);
  task.counted = counters;
}

function openPhase(s: SchedulerState, phase: PhaseState): void {
  phase.open = true;
  for (const task of phase.tasks) moveTask(s, task, { kind: "unblock" });
}

/** All reduces are done while lost map outputs are made again: nobody will read them. */
function settleMaps(s: SchedulerState, map: PhaseState): void {
  for (const task of map.tasks) {
    if (task.state.kind === "FINISHED" || task.state.kind === "FAILED") continue;
    killRest(s, task, "no reduce needs the output any more");
    moveTask(s, task, { kind: "settle" });
  }
}
