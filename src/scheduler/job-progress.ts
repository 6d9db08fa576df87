import { Chain } from "./chain.ts";
import { GrantBook } from "./grant-book.ts";
import { RunningMedian } from "./heap.ts";
import { type Failure, type Phase, PHASES, type TaskRef } from "./ids.ts";
import type { ScheduledJob, JobStatus, TaskPlan } from "./messages.ts";
import { resolvePolicy } from "./policy.ts";
import { ReadyQueue } from "./queues.ts";
import {
  type AttemptState,
  isDone,
  type JobState,
  type PhaseState,
  type SchedulerState,
  type Task,
} from "./state.ts";
import { NO_TALLY } from "./task-state.ts";
import { killRest, moveTask } from "./transitions.ts";

function newPhase(name: Phase): PhaseState {
  return {
    name,
    tasks: [],
    sequence: [],
    counts: { BLOCKED: 0, READY: 0, RUNNING: 0, FINISHED: 0, FAILED: 0, CANCELLED: 0 },
    open: false,
    durations: new RunningMedian(),
    ages: new Chain(),
    backups: 0,
  };
}

/** Of most tasks: one for all. */
const none: readonly never[] = [];

const WEIGHT_STEPS_MAX = 16;

/** @throws SheafError USAGE when the policy makes no sense. */
export function newJob(plan: ScheduledJob, sequence: number, nowMs: number): JobState {
  const steps = Math.max(-WEIGHT_STEPS_MAX, Math.min(WEIGHT_STEPS_MAX, plan.priority ?? 0));
  const job: JobState = {
    id: plan.id,
    sequence,
    weight: 2 ** steps,
    policy: resolvePolicy(plan.policy),
    submittedMs: nowMs,
    phases: { sample: newPhase("sample"), map: newPhase("map"), reduce: newPhase("reduce") },
    status: { kind: "RUNNING" },
    ready: 0,
    running: 0,
    activeMs: nowMs,
    starvedMs: null,
    samplesAnnounced: false,
    outputChanges: 0,
    queue: new ReadyQueue(),
    queueAt: -1,
    watched: new Chain(),
    bars: new Map(),
    counters: new Map(),
    grants: new GrantBook(plan.grants ?? null),
  };
  let order = 0;
  for (const name of PHASES) {
    const tasks: readonly TaskPlan[] = plan[name] ?? [];
    for (const task of tasks) addTask(job, job.phases[name], task, order++);
  }
  return job;
}

/** Adds tasks that do the rest of one; the first has the number that is returned. They are BLOCKED. */
export function addRest(rested: Task, count: number): number {
  const { job, phase } = rested;
  const first = phase.tasks.length;
  const order = PHASES.reduce((sum, name) => sum + job.phases[name].tasks.length, 0);
  const plan = { pinned: rested.pinned, preferred: rested.preferred };
  for (let i = 0; i < count; i++) addTask(job, phase, plan, order + i);
  const added = phase.sequence.splice(first, count);
  phase.sequence.splice(phase.sequence.indexOf(rested) + 1, 0, ...added);
  return first;
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

function addTask(job: JobState, phase: PhaseState, plan: TaskPlan, order: number): void {
  phase.counts.BLOCKED++;
  const task: Task = {
    ref: { job: job.id, phase: phase.name, task: phase.tasks.length },
    job,
    phase,
    order,
    pinned: plan.pinned ?? none,
    preferred: plan.preferred ?? none,
    state: { kind: "BLOCKED", tally: NO_TALLY },
    attempts: none,
    queued: false,
    lastFailedNode: null,
    counted: null,
  };
  phase.tasks.push(task);
  phase.sequence.push(task);
}

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
  for (const [name, count] of Object.entries(task.counted ?? {})) sums.set(name, sums.get(name)! - count);
  for (const [name, count] of Object.entries(counters)) sums.set(name, (sums.get(name) ?? 0) + count);
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
