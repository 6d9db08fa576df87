import type { AttemptFact, BarFact, Fact, JobFact, JobStateFact, NodeFact, TaskFact } from "./facts.ts";
import { formatTask, type TaskRef } from "./ids.ts";

/** The last facts about one job. */
export class JobRows {
  job: JobFact | null = null;
  state: JobStateFact | null = null;
  readonly tasks = new Map<string, TaskFact>();
  readonly bars = new Map<string, BarFact>();
  readonly #attempts = new Map<string, AttemptFact[]>();

  /** Attempt n is at n - 1; undefined where a row is missing. */
  attemptsOf(ref: TaskRef): readonly (AttemptFact | undefined)[] {
    return this.#attempts.get(formatTask(ref)) ?? [];
  }

  taskOf(ref: TaskRef): TaskFact | undefined {
    return this.tasks.get(formatTask(ref));
  }

  *attempts(): Generator<AttemptFact> {
    for (const list of this.#attempts.values()) for (const fact of list) if (fact !== undefined) yield fact;
  }

  add(fact: Exclude<Fact, { kind: "node" | "handBar" | "jobForgotten" }>): void {
    switch (fact.kind) {
      case "job":
        this.job = fact;
        return;
      case "jobState":
        this.state = fact;
        return;
      case "task":
        this.tasks.set(formatTask(fact), fact);
        return;
      case "attempt": {
        const task = formatTask(fact);
        const list = this.#attempts.get(task);
        if (list !== undefined) list[fact.attempt - 1] = fact;
        else this.#attempts.set(task, sparse(fact));
        return;
      }
      case "bar":
        if (fact.bar === null) this.bars.delete(fact.node);
        else this.bars.set(fact.node, fact);
        return;
    }
  }
}

function sparse(fact: AttemptFact): AttemptFact[] {
  const list: AttemptFact[] = [];
  list[fact.attempt - 1] = fact;
  return list;
}

/** Facts in any order or a whole log of them: of each key the last one counts. */
export class FactTable {
  readonly nodes = new Map<string, NodeFact>();
  readonly handBars = new Map<string, string>();
  readonly jobs = new Map<string, JobRows>();
  /** The latest time any fact tells of. */
  latestMs = 0;

  constructor(facts: Iterable<Fact>) {
    for (const fact of facts) this.#add(fact);
  }

  #add(fact: Fact): void {
    this.latestMs = Math.max(this.latestMs, timeOf(fact));
    switch (fact.kind) {
      case "node":
        this.nodes.set(fact.node, fact);
        return;
      case "handBar":
        if (fact.reason === null) this.handBars.delete(fact.node);
        else this.handBars.set(fact.node, fact.reason);
        return;
      case "jobForgotten":
        this.jobs.delete(fact.job);
        return;
      default: {
        let rows = this.jobs.get(fact.job);
        if (rows === undefined) this.jobs.set(fact.job, (rows = new JobRows()));
        rows.add(fact);
      }
    }
  }
}

function timeOf(fact: Fact): number {
  switch (fact.kind) {
    case "job":
      return fact.submittedMs;
    case "jobState":
      return fact.life.kind === "ENDED" ? fact.life.endedMs : 0;
    case "attempt":
      return fact.state.kind === "RUNNING" ? fact.startedMs : fact.state.endedMs;
    case "bar":
      return fact.bar?.lastMs ?? 0;
    case "task":
    case "node":
    case "handBar":
    case "jobForgotten":
      return 0;
  }
}
