/**
 * All the scheduler knows, as data: jobs with their phases, tasks and attempts; nodes with their slots.
 * Changed by the files beside this one, inside `Scheduler.step`.
 */
import type { ErrorCode } from "../base/errors.ts";
import { type Chain, type Link, newLink } from "./chain.ts";
import type { GrantBook } from "./grant-book.ts";
import type { RunningMedian } from "./heap.ts";
import type { AttemptRef, Blame, Failure, NodeRef, Phase, TaskRef } from "./ids.ts";
import type { Command, ScheduledJob, JobStatus } from "./messages.ts";
import type { JobPolicy, SchedulerSettings } from "./policy.ts";
import type { JobQueue, ReadyQueue } from "./queues.ts";
import type { TaskEvent, TaskState, TaskStateKind } from "./task-state.ts";

export interface Task {
  readonly ref: TaskRef;
  readonly job: JobState;
  readonly phase: PhaseState;
  /** Position in its job, over all phases: earlier is run first. */
  readonly order: number;
  /** Node names; empty: every node. */
  readonly pinned: readonly string[];
  readonly preferred: readonly string[];
  /** Changed by `moveTask` only. */
  state: TaskState;
  /** Attempt n is attempts[n - 1]. Replaced when there is another: most tasks have one. */
  attempts: readonly Attempt[];
  /** True while it stands in the ready queues of its job. */
  queued: boolean;
  lastFailedNode: string | null;
  /** Counters of the committed attempt that are in the job's sums. */
  counted: Readonly<Record<string, number>> | null;
}

export type StateCounts = Record<TaskStateKind, number>;

export interface PhaseState {
  readonly name: Phase;
  /** By number. */
  readonly tasks: Task[];
  /** In the order of what they read: a task that does the rest of another is behind that one. */
  readonly sequence: Task[];
  /** How many tasks are in each state. */
  readonly counts: StateCounts;
  /** False: its tasks wait, BLOCKED, for the phase before. */
  open: boolean;
  /** Durations of the attempts that succeeded, ms. */
  readonly durations: RunningMedian;
  /** Running attempts without a backup, oldest first. */
  readonly ages: Chain<Attempt>;
  backups: number;
}

/** Whether nothing of the phase is left to run. */
export function isDone(phase: PhaseState): boolean {
  return phase.counts.FINISHED + phase.counts.FAILED === phase.tasks.length;
}

/** Every attempt ends once, in one of the last four, and stays there. */
export type AttemptState<Output = unknown, Detail = unknown> =
  | { readonly kind: "RUNNING" }
  | {
      readonly kind: "SUCCEEDED";
      readonly endedMs: number;
      readonly output: Output;
      readonly counters: Readonly<Record<string, number>>;
      /** The tasks that do the rest of it: number of the first, and how many. */
      readonly rest?: { readonly first: number; readonly count: number };
    }
  /** Failed by itself: user code, data, a broken disk. */
  | { readonly kind: "FAILED"; readonly endedMs: number; readonly failure: Failure<Detail> }
  /** Ended on purpose: another attempt was first, or the job ended. */
  | { readonly kind: "KILLED"; readonly endedMs: number; readonly reason: string }
  /** Gone with its worker, its node or the data it read. */
  | {
      readonly kind: "LOST";
      readonly endedMs: number;
      readonly reason: string;
      /** Its node was lost while it ran there, unasked: the attempt may have taken it down. */
      readonly withNode?: true;
      /** Its worker was lost under it: the attempt may have ended it. */
      readonly withWorker?: true;
    };

interface AttemptPlace {
  readonly slot: number;
  readonly ask: number;
}

export class Attempt {
  readonly ref: AttemptRef;
  readonly task: Task;
  readonly node: NodeState;
  readonly slot: number;
  /** The question of the slot's worker that it was the answer to. */
  readonly ask: number;
  readonly backup: boolean;
  readonly startedMs: number;
  /** The last progress count (`beat`) that was reported; null until the first shows that the attempt runs. */
  beat: number | null = null;
  /** When its progress count first grew: it no longer waits for a processor. null until then. */
  beganMs: number | null = null;
  /** Share of its work that is done, as it was last reported; 0: unknown. */
  fraction = 0;
  /** When the progress count last grew. */
  progressMs: number;
  /** When a progress count was last reported, grown or not. */
  reportedMs: number;
  state: AttemptState = RUNNING;
  /** It was asked to hand over its rest. */
  askedForRest = false;
  /** It was restored as running, and its node has not reported it since. */
  unheard = false;
  /** Of the output of a SUCCEEDED map attempt; null: unknown. */
  fingerprint: string | null = null;
  /** Why the output of a SUCCEEDED attempt is gone; null while it is there. */
  outputLost: string | null = null;
  /** Among the running attempts of its job, longest without progress first; null when it is over. */
  byProgress: Link<Attempt> | null = newLink<Attempt>(this);
  /** Among the running attempts of its phase that have no backup, oldest first; null when it is over. */
  byAge: Link<Attempt> | null = newLink<Attempt>(this);

  /** `startedMs` differs from now for one that is restored. */
  constructor(
    task: Task,
    node: NodeState,
    where: AttemptPlace,
    backup: boolean,
    nowMs: number,
    startedMs: number = nowMs,
  ) {
    this.ref = { ...task.ref, attempt: task.attempts.length + 1 };
    this.task = task;
    this.node = node;
    this.slot = where.slot;
    this.ask = where.ask;
    this.backup = backup;
    this.startedMs = startedMs;
    this.progressMs = nowMs;
    this.reportedMs = nowMs;
  }
}

const RUNNING: AttemptState = { kind: "RUNNING" };

type SlotState =
  /** Its worker has not asked since its last attempt ended, or is gone. */
  | { readonly kind: "AWAY" }
  | { readonly kind: "IDLE"; readonly ask: number }
  | { readonly kind: "BUSY"; readonly attempt: Attempt };

export const AWAY: SlotState = { kind: "AWAY" };

export interface Slot {
  readonly index: number;
  state: SlotState;
  lastAsk: number;
  /** The last question that was answered with an attempt. */
  answeredAsk: number;
}

/** One life of a node: from its joining to its loss. */
export class NodeState {
  readonly id: string;
  readonly incarnation: number;
  readonly slots: readonly Slot[];
  readonly idle: Slot[] = [];
  heardMs: number;
  /** It was restored, and its first heartbeat since will tell which of its attempts really run. */
  restored = false;
  /** It is about to leave. */
  draining = false;
  /** It takes new tasks; changed by `openOrClose` only. */
  open = true;
  /** Finished map tasks whose output lies here, by job. */
  readonly outputs = new Map<string, Set<Task>>();
  /** Among all nodes, longest silent first. */
  readonly byLease: Link<NodeState> = newLink<NodeState>(this);
  /** Among the nodes with idle slots, next to be used first. */
  readonly byIdle: Link<NodeState> = newLink<NodeState>(this);

  constructor(ref: NodeRef, slots: number, nowMs: number) {
    this.id = ref.node;
    this.incarnation = ref.incarnation;
    this.slots = Array.from({ length: slots }, (_, index): Slot => ({
      index,
      state: AWAY,
      lastAsk: -1,
      answeredAsk: -1,
    }));
    this.heardMs = nowMs;
  }
}

export type JobLife<Detail = unknown> =
  | { readonly kind: "RUNNING" }
  /** `cancelled`: why it was cancelled during the commit; it ends CANCELLED if the commit fails. */
  | { readonly kind: "COMMITTING"; readonly cancelled: string | null }
  | {
      readonly kind: "ENDED";
      readonly status: JobStatus;
      readonly cause: Failure<Detail> | null;
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
  /** When an attempt last began or ended, or the job last waited only for slots that other jobs use. */
  activeMs: number;
  /** Since when it starves: it waits for slots that others have beyond their grants. null: it does not. */
  starvedMs: number | null;
  samplesAnnounced: boolean;
  /** Times reduces started over because a map output came out differently. */
  outputChanges: number;
  readonly queue: ReadyQueue<Task>;
  /** Place in the JobQueue, -1 when not in it. */
  queueAt: number;
  /** Running attempts, longest without progress first. */
  readonly watched: Chain<Attempt>;
  /** By node name. */
  readonly bars: Map<string, Bar>;
  readonly counters: Map<string, number>;
  readonly grants: GrantBook;
}

/** What a node has done to a job. */
export interface Bar {
  failures: number;
  /** Those of them that are the system's. */
  systemFailures: number;
  lastMs: number;
  lastMessage: string;
  /** null: not barred, only counted. */
  untilMs: number | null;
}

export function isBarred(job: JobState, node: string): boolean {
  if (job.bars.size === 0) return false;
  const bar = job.bars.get(node);
  return bar !== undefined && bar.untilMs !== null;
}

/** What an `attemptFailed` says about its attempt. */
export interface FailureReport {
  readonly blame: Blame;
  readonly code: ErrorCode;
  readonly setAside?: boolean;
}

/**
 * - `failed`: by itself; it may use up one of the task's attempts, and counts against its node
 * - `lost`: through no fault of the job
 * - `lostWithWorker`: the same, but a task to which that happens too often is taken to be the cause
 */
export type AttemptEnding = "failed" | "lost" | "lostWithWorker";

/** How far an attempt is. */
export interface AttemptPace {
  /** Since it was ordered. */
  readonly elapsedMs: number;
  /** Since it was first seen to move on; null: it waits, for a worker or a processor. */
  readonly workedMs: number | null;
  /** Share of its work that is done, from 0 to 1; 0: unknown. */
  readonly fraction: number;
}

/**
 * The decisions on which safety rests, as functions of what they are given. They are handed to the scheduler
 * so that the simulator can put broken ones in their place and show that its checks notice.
 */
export interface Rules {
  /** The only place where a task changes state; the same object when the event does not apply. */
  nextTaskState(state: TaskState, event: TaskEvent): TaskState;
  /** Whether a report is about a running attempt and comes from where it runs. */
  speaksFor(attempt: Attempt, reporter: NodeRef): boolean;
  /** Whether the attempt ran, or runs, in this life of a node. */
  isOfLife(attempt: Attempt, life: NodeRef): boolean;
  /** How an attempt ends that has reported a failure. */
  endingOf(report: FailureReport): AttemptEnding;
  /** Whether an attempt of the phase deserves a backup. */
  isSlow(phase: PhaseState, policy: JobPolicy, run: AttemptPace): boolean;
  /** Whether what a map attempt made differs from the lost output it stands in for, by their fingerprints. */
  differs(before: string | null, after: string | null): boolean;
  /** Whether a job may run one attempt more on a node, as far as its grants go. */
  hasGrant(job: JobState, node: string): boolean;
  /** Whether slots may be freed for a job by ending attempts of another. */
  mayTakeFrom(job: JobState, other: JobState): boolean;
  /** Whether a node takes new tasks. */
  isOpen(draining: boolean, barredByHand: boolean): boolean;
  /** Whether a worker that was lost counts against its task, by whether that life of its node goes on. */
  countsLostWorker(isNodeAlive: boolean): boolean;
  /** Whether a job fails by what its driver finds out about it. */
  canFail(life: JobLife): boolean;
  /** Whether a slot's question has not been seen before. */
  isNewAsk(ask: number, lastAsk: number): boolean;
  /** Whether a report of a node comes from its present life, by their incarnations. */
  isSameLife(reported: number, current: number): boolean;
}

/**
 * Takes note of what has changed and has to outlive the driver. Called at every change; costs one entry of a
 * set.
 */
export interface FactSink {
  submitted(job: JobState, plan: ScheduledJob): void;
  forgotten(job: string): void;
  job(job: JobState): void;
  task(task: Task): void;
  attempt(attempt: Attempt): void;
  /** It joined, changed or was lost. */
  node(node: NodeState): void;
  /** The node was barred or admitted by hand. */
  handBar(node: string): void;
  /** What the node has done to the job. */
  bar(job: JobState, node: string): void;
}

/** All the scheduler knows. Owned by one Scheduler and changed in place, only inside `step`. */
export interface SchedulerState {
  readonly settings: SchedulerSettings;
  readonly rules: Rules;
  /** null: facts are not kept. */
  readonly facts: FactSink | null;
  /** The time of the event being handled. */
  nowMs: number;
  jobsSubmitted: number;
  readonly jobs: Map<string, JobState>;
  /** Jobs that have not ended. */
  readonly active: Set<JobState>;
  /** Nodes that are alive, by name. */
  readonly nodes: Map<string, NodeState>;
  /** The highest incarnation each node has ever had. */
  readonly incarnations: Map<string, number>;
  /** Longest silent first. */
  readonly leases: Chain<NodeState>;
  /** Nodes with idle slots, next to be used first. */
  readonly idle: Chain<NodeState>;
  readonly queue: JobQueue<JobState>;
  /** Of open nodes. */
  idleSlots: number;
  busySlots: number;
  /** Tasks that became READY in this step and have not been offered to idle slots. */
  fresh: Task[];
  /** Nodes with idle slots for which new work may have turned up in this step. */
  readonly opened: Set<NodeState>;
  /** Why nodes are barred by hand, by name. */
  readonly handBars: Map<string, string>;
  /** What this step orders. */
  commands: Command[];
}
