import type { Phase } from "../scheduler/ids.ts";
import type { OutputPart, TaskFailure, TaskSuccess } from "../task/task-spec.ts";
import { taskFailure } from "../worker/failure.ts";
import type { BadBudget } from "./resolve-options.ts";

/** Counts the bad records of finished tasks against what `maxBad` allows. */
export class BadRecordBudget {
  readonly #budget: BadBudget | null;
  #bad = 0;
  #read = 0;

  constructor(budget: BadBudget | null) {
    this.#budget = budget;
  }

  /**
   * A failure once the budget is overdrawn. A share can be judged only when all of the input has been read.
   */
  add(phase: Phase, result: Pick<TaskSuccess, "stats" | "adopted">, allOfPhase: boolean): TaskFailure | null {
    if (phase === "sample") return null;
    this.#bad += result.stats.badRecords;
    // What an earlier run has read is in no stats of this one.
    if (phase === "map") this.#read += result.stats.recordsIn + (result.adopted?.recordsIn ?? 0);
    return this.check(phase === "reduce" || allOfPhase);
  }

  /**
   * As add(), for records that ended workers: they are counted when their tasks are finished, too late for a
   * limit.
   */
  poisoned(records: number): TaskFailure | null {
    const budget = this.#budget;
    return budget?.kind === "count" && records > budget.max
      ? this.#overdrawn(records, `${budget.max}`)
      : null;
  }

  check(allRead: boolean): TaskFailure | null {
    const budget = this.#budget;
    if (budget === null) return null;
    // 29 % of 100 is 28.999999999999996 in floats.
    const max =
      budget.kind === "count" ? budget.max : Math.floor(budget.max * this.#read * (1 + 2 * Number.EPSILON));
    if (this.#bad <= max || (budget.kind === "share" && !allRead)) return null;
    const allowed =
      budget.kind === "count"
        ? `${budget.max}`
        : `${Number((budget.max * 100).toPrecision(12))}% of ${this.#read} (${max})`;
    return this.#overdrawn(this.#bad, allowed);
  }

  #overdrawn(bad: number, allowed: string): TaskFailure {
    return taskFailure("BAD_BUDGET", `${bad} records are bad, ${allowed} are allowed`, {
      phase: "map",
      blame: "data",
      hint: "Raise --max-bad, or run without it to see the first bad record in full.",
    });
  }
}

/**
 * Holds the output files of finished tasks against each other: those of one directory must agree on
 * their layout (Encoder.layout), or reading them one after the other would put values under the wrong names.
 */
export class FileAgreement {
  readonly #collections: readonly string[];
  readonly #first = new Map<string, OutputPart>();
  #refusal: TaskFailure | null = null;

  constructor(collections: readonly string[]) {
    this.#collections = collections;
  }

  /** A failure once two files do not agree. */
  add(parts: readonly OutputPart[]): TaskFailure | null {
    for (const part of parts) {
      if (part.layout === undefined) continue;
      const place = `${part.collection}/${part.name ?? ""}`;
      const first = this.#first.get(place);
      if (first === undefined) this.#first.set(place, part);
      else if (first.layout !== part.layout) this.#refusal ??= this.#refused(first, part);
    }
    return this.check();
  }

  /** The failure that add() has told. */
  check(): TaskFailure | null {
    return this.#refusal;
  }

  #refused(first: OutputPart, other: OutputPart): TaskFailure {
    const [a, b] = first.partition <= other.partition ? [first, other] : [other, first];
    const collection = this.#collections[a.collection] ?? "";
    const named = a.name === undefined ? "" : `${a.name}: `;
    const where = collection === "" ? named : `collection ${collection}: ${named}`;
    const message = `${where}the output files would not agree: that of task ${a.partition} has ${a.layout}, that of task ${b.partition} ${b.layout}`;
    const hint =
      "Say in the job's output what all of them have: csv({ header: [names] }) or tsv({ columns: { ... } }), " +
      'or give all results the same fields in the same order; jsonl({ shape: "record" }) needs neither.';
    return taskFailure("VALUE_INVALID", message, { phase: "write", hint });
  }
}
