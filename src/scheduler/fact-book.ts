import type { Attempt } from "./attempt.ts";
import type { AttemptFact, Fact, JobStateFact, NodeFact, TaskFact } from "./facts.ts";
import type { JobState } from "./job-state.ts";
import type { NodeState } from "./node.ts";
import type { SchedulerState } from "./scheduler-state.ts";
import type { Task } from "./task.ts";

/**
 * Notes what has changed since facts were last taken: each thing once, however often it changed. Costs one
 * entry of a set per change; rows are made when they are taken.
 */
export class FactBook {
  /** Jobs that came and went, in order. */
  #comings: Fact[] = [];
  readonly #jobs = new Set<JobState>();
  readonly #tasks = new Set<Task>();
  readonly #attempts = new Set<Attempt>();
  readonly #nodes = new Set<NodeState>();
  readonly #handBars = new Set<string>();
  readonly #bars = new Map<JobState, Set<string>>();

  submitted(fact: Fact, job: JobState): void {
    this.#comings.push(fact);
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

  /** `node` joined, changed or was lost. */
  node(node: NodeState): void {
    this.#nodes.add(node);
  }

  /** The node was barred or admitted by hand. */
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
    this.#handBars.clear();
    this.#jobs.clear();
    this.#tasks.clear();
    this.#attempts.clear();
    this.#bars.clear();
    this.#nodes.clear();
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
