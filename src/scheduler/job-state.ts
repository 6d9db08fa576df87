import type { Attempt } from "./attempt.ts";
import type { Bar } from "./barring.ts";
import { Chain } from "./chain.ts";
import type { JobStatus } from "./commands.ts";
import type { JobPlan, TaskPlan } from "./events.ts";
import type { Failure } from "./failure.ts";
import { GrantBook } from "./grants.ts";
import { type Phase, PHASES } from "./ids.ts";
import { newPhase, type PhaseState } from "./phase-state.ts";
import { type JobPolicy, resolvePolicy } from "./policy.ts";
import type { Task } from "./task.ts";
import { ReadyQueue } from "./ready-queue.ts";
import { NO_TALLY } from "./task-state.ts";

export type JobLife =
  | { readonly kind: "RUNNING" }
  /** `cancelled`: the reason to call it CANCELLED should the commit not go through. */
  | { readonly kind: "COMMITTING"; readonly cancelled: string | null }
  | {
      readonly kind: "ENDED";
      readonly status: JobStatus;
      readonly cause: Failure | null;
      readonly endedMs: number;
    };

export interface JobState {
  readonly id: string;
  /** Order of submission. */
  readonly sequence: number;
  readonly weight: number;
  readonly policy: JobPolicy;
  readonly submittedMs: number;
  readonly phases: Readonly<Record<Phase, PhaseState>>;
  status: JobLife;
  /** Tasks in state READY. */
  ready: number;
  /** Attempts that run. */
  running: number;
  /** When an attempt last began or ended, or the job was last seen to wait for others. */
  activeMs: number;
  /** Since when it has waited for slots that others have beyond their grants; null: it does not. */
  hungryMs: number | null;
  samplesAnnounced: boolean;
  /** Times reduces started over because a map output came out differently. */
  outputChanges: number;
  readonly queue: ReadyQueue;
  /** Place in the JobQueue, -1 when not in it. */
  queueAt: number;
  /** Running attempts, longest without progress first. */
  readonly watched: Chain<Attempt>;
  /** By node name. */
  readonly bars: Map<string, Bar>;
  readonly counters: Map<string, number>;
  readonly grants: GrantBook;
}

/** Of most tasks: one for all. */
const none: readonly never[] = [];

const WEIGHT_STEPS_MAX = 16;

/** @throws SheafError USAGE when the policy makes no sense. */
export function newJob(plan: JobPlan, sequence: number, nowMs: number): JobState {
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
    hungryMs: null,
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
