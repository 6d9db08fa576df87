/**
 * What has to outlive the driver. A driver that writes the facts of each step, in one transaction, before it
 * carries out the step's commands can be killed at any moment: `Scheduler.restore` makes of the rows it has
 * written a scheduler that knows what the lost one knew. A fact is a whole row; a later one replaces that of
 * the same `factKey`.
 */
import type { AttemptRef, Failure, NodeRef, TaskRef } from "./ids.ts";
import type { Grants, ScheduledJob } from "./messages.ts";
import type {
  Attempt,
  AttemptState,
  Bar,
  FactSink,
  JobLife,
  JobState,
  NodeState,
  SchedulerState,
  Task,
} from "./state.ts";
import type { Tally } from "./task-state.ts";

/** A job as it was submitted. Written once. */
export interface JobFact {
  readonly kind: "job";
  readonly job: string;
  readonly plan: ScheduledJob;
  /** Order of submission. */
  readonly sequence: number;
  readonly submittedMs: number;
}

export interface JobStateFact<Detail = unknown> {
  readonly kind: "jobState";
  readonly job: string;
  readonly life: JobLife<Detail>;
  readonly samplesAnnounced: boolean;
  readonly outputChanges: number;
  readonly grants: Grants | null;
}

/** Only for tasks whose attempts do not tell all: something failed, or was lost. */
export interface TaskFact<Detail = unknown> extends TaskRef {
  readonly kind: "task";
  readonly tally: Tally;
  readonly lastFailedNode: string | null;
  /** Why the task was given up; null while it was not. */
  readonly failure: Failure<Detail> | null;
}

/** Written when it starts, may commit, ends, and when its output is lost. */
export interface AttemptFact<Output = unknown, Detail = unknown> extends AttemptRef, NodeRef {
  readonly kind: "attempt";
  readonly slot: number;
  /** The question it was the answer to. */
  readonly ask: number;
  readonly backup: boolean;
  readonly startedMs: number;
  /** It runs and may, as the only one of its task, commit. */
  readonly granted: boolean;
  readonly state: AttemptState<Output, Detail>;
  readonly fingerprint: string | null;
  readonly outputLost: string | null;
}

/** What a node has done to a job. */
export interface BarFact {
  readonly kind: "bar";
  readonly job: string;
  readonly node: string;
  /** null: forgotten; the row can go. */
  readonly bar: Readonly<Bar> | null;
}

/** The last life of a node. Kept when it is over: late reports of that life may still arrive. */
export interface NodeFact extends NodeRef {
  readonly kind: "node";
  readonly slots: number;
  readonly alive: boolean;
  readonly draining: boolean;
  /**
   * The last question of each slot that was answered with an attempt, when a job last ended there; attempts
   * of the other jobs tell by themselves.
   */
  readonly asks: readonly number[];
}

/** A bar by hand: it holds for all lives of the node. */
interface HandBarFact {
  readonly kind: "handBar";
  readonly node: string;
  /** null: admitted again; the row can go. */
  readonly reason: string | null;
}

/** All rows of the job can go. */
interface JobForgottenFact {
  readonly kind: "jobForgotten";
  readonly job: string;
}

/** Plain data. Times are the driver's. `output`, `detail` and the plan are as the driver gave them. */
export type Fact<Output = unknown, Detail = unknown> =
  | JobFact
  | JobStateFact<Detail>
  | TaskFact<Detail>
  | AttemptFact<Output, Detail>
  | BarFact
  | NodeFact
  | HandBarFact
  | JobForgottenFact;

/** The name of the row: of two facts with one key the later counts. */
export function factKey(fact: Fact): string {
  switch (fact.kind) {
    case "job":
    case "jobState":
    case "jobForgotten":
      return `${fact.kind} ${fact.job}`;
    case "task":
      return `task ${fact.job} ${fact.phase} ${fact.task}`;
    case "attempt":
      return `attempt ${fact.job} ${fact.phase} ${fact.task} ${fact.attempt}`;
    case "bar":
      return `bar ${fact.job} ${fact.node}`;
    case "node":
    case "handBar":
      return `${fact.kind} ${fact.node}`;
  }
}

/**
 * Notes what has changed since facts were last taken: each thing once, however often it changed. Costs one
 * entry of a set per change; rows are made when they are taken.
 */
export class FactBook implements FactSink {
  /** Jobs that were submitted or forgotten, in order. */
  #comings: Fact[] = [];
  readonly #jobs = new Set<JobState>();
  readonly #tasks = new Set<Task>();
  readonly #attempts = new Set<Attempt>();
  readonly #nodes = new Set<NodeState>();
  readonly #handBars = new Set<string>();
  readonly #bars = new Map<JobState, Set<string>>();

  submitted(job: JobState, plan: ScheduledJob): void {
    const { id, sequence, submittedMs } = job;
    this.#comings.push({ kind: "job", job: id, plan, sequence, submittedMs });
    this.#jobs.add(job);
  }

  forgotten(job: string): void {
    this.#comings.push({ kind: "jobForgotten", job });
  }

  job(job: JobState): void {
    this.#jobs.add(job);
  }

  task(task: Task): void {
    this.#tasks.add(task);
  }

  attempt(attempt: Attempt): void {
    this.#attempts.add(attempt);
  }

  node(node: NodeState): void {
    this.#nodes.add(node);
  }

  handBar(node: string): void {
    this.#handBars.add(node);
  }

  bar(job: JobState, node: string): void {
    let names = this.#bars.get(job);
    if (names === undefined) this.#bars.set(job, (names = new Set()));
    names.add(node);
  }

  /** The rows of all that has changed since the last time. */
  take(s: SchedulerState): Fact[] {
    const facts = this.#comings;
    this.#comings = [];
    const known = (job: JobState): boolean => s.jobs.get(job.id) === job;
    for (const job of this.#jobs) if (known(job)) facts.push(jobStateFact(job));
    for (const task of this.#tasks) if (known(task.job)) facts.push(taskFact(task));
    for (const attempt of this.#attempts) if (known(attempt.task.job)) facts.push(attemptFact(attempt));
    for (const [job, names] of this.#bars) {
      if (!known(job)) continue;
      for (const node of names) {
        const bar = job.bars.get(node);
        facts.push({ kind: "bar", job: job.id, node, bar: bar === undefined ? null : { ...bar } });
      }
    }
    for (const node of this.#nodes)
      if (s.incarnations.get(node.id) === node.incarnation) facts.push(nodeFact(s, node));
    for (const node of this.#handBars)
      facts.push({ kind: "handBar", node, reason: s.handBars.get(node) ?? null });
    // Most steps change nothing, and to clear a set makes it a new table, even of an empty one.
    if (this.#handBars.size > 0) this.#handBars.clear();
    if (this.#jobs.size > 0) this.#jobs.clear();
    if (this.#tasks.size > 0) this.#tasks.clear();
    if (this.#attempts.size > 0) this.#attempts.clear();
    if (this.#bars.size > 0) this.#bars.clear();
    if (this.#nodes.size > 0) this.#nodes.clear();
    return facts;
  }
}

function jobStateFact(job: JobState): JobStateFact {
  const { id, status, samplesAnnounced, outputChanges, grants } = job;
  return { kind: "jobState", job: id, life: status, samplesAnnounced, outputChanges, grants: grants.grants };
}

function taskFact(task: Task): TaskFact {
  const { ref, state, lastFailedNode } = task;
  const failure = state.kind === "FAILED" ? state.failure : null;
  return { kind: "task", ...ref, tally: state.tally, lastFailedNode, failure };
}

function attemptFact(attempt: Attempt): AttemptFact {
  const { ref, task, node, slot, ask, backup, startedMs, state, fingerprint, outputLost } = attempt;
  const granted = task.state.kind === "RUNNING" && task.state.granted === ref.attempt;
  const where = { node: node.id, incarnation: node.incarnation, slot, ask };
  return { kind: "attempt", ...ref, ...where, backup, startedMs, granted, state, fingerprint, outputLost };
}

function nodeFact(s: SchedulerState, node: NodeState): NodeFact {
  const alive = s.nodes.get(node.id) === node;
  const { id, incarnation, slots, draining } = node;
  return {
    kind: "node",
    node: id,
    incarnation,
    slots: slots.length,
    alive,
    draining,
    asks: slots.map((slot) => slot.answeredAsk),
  };
}
