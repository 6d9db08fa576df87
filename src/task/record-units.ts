import { Estimating, estimateColumns } from "../aggregate/estimating.ts";
import type { Unit } from "../aggregate/estimating.ts";
import { SheafError } from "../base/errors.ts";
import { encodeKey, keySizeMax } from "../codec/key-codec.ts";
import { tsvWriter } from "../format/tsv-writer.ts";
import { copyKey } from "../job/descending.ts";
import type { EstimateColumn } from "../job/estimate.ts";
import { execOf } from "../job/exec.ts";
import type { CollectionPlan, Job } from "../job/job-plan.ts";
import type { Key } from "../job/key.ts";
import type { EmitTarget } from "./emitter.ts";
import type { JobSettings } from "./task-spec.ts";

/** The job with aggregators and writers of estimates, where its settings ask for them. */
export function estimatingJob(job: Job, { estimate, sample }: JobSettings): Job {
  if (estimate !== true) return job;
  return { ...job, collections: job.collections.map((plan) => estimatingPlan(plan, sample)) };
}

function estimatingPlan(plan: CollectionPlan, share: number): CollectionPlan {
  const { aggregator, output = tsvWriter() } = plan;
  if (!estimateOutline(plan, false).columns.some(({ note }) => note === null)) return plan;
  return {
    ...plan,
    aggregator: new Estimating(aggregator!, share) as CollectionPlan["aggregator"],
    // Writers that cannot name columns were refused when the job was planned: see engine/estimates.ts.
    output: output.estimates?.() ?? output,
  };
}

/** Whether an input's map is a program: which of its pairs a record gave, nobody knows. */
export function mapsByProgram({ map, inputs }: Pick<Job, "map" | "inputs">): boolean {
  return execOf(map) !== undefined || inputs.some((input) => execOf(input.map) !== undefined);
}

/**
 * Which values of a collection's results are estimates, and which cannot be.
 * @param byProgram see mapsByProgram
 */
export function estimateOutline(
  { aggregator, reduce, groupBy, mapOnly, output }: CollectionPlan,
  byProgram: boolean,
): {
  readonly columns: readonly EstimateColumn[];
  readonly cannotWrite: string | null;
} {
  const whole = (note: string) => ({ columns: [{ column: "", note }], cannotWrite: null });
  if (byProgram) return whole("which of its pairs a record gave is not known of a program");
  if (mapOnly) return whole("the records of the sample, as they are");
  if (aggregator === undefined) {
    return whole(
      reduce === undefined ? "the pairs of the sample, as they are" : "what reduce made of the sample",
    );
  }
  // With groupBy a group has keys of its own, of which a record may have emitted several.
  if (groupBy !== undefined) return whole(`with groupBy: what ${aggregator.kind} made of the sample`);
  const columns = estimateColumns(aggregator);
  const isWritable = output === undefined || output.discards === true || output.estimates !== undefined;
  return { columns, cannotWrite: isWritable ? null : output.kind };
}

/** What one record emits, gathered by key, as aggregators of estimates take it. */
export class RecordUnits {
  readonly #targets: UnitTarget[] = [];

  /** What takes the place of `target` for emit; the same where its collection has no estimates. */
  target<T extends EmitTarget>(plan: CollectionPlan, target: T): EmitTarget {
    if (!(plan.aggregator instanceof Estimating)) return target;
    const made = new UnitTarget(plan, plan.aggregator, target);
    this.#targets.push(made);
    return made;
  }

  begin(): void {
    for (const target of this.#targets) target.isOpen = true;
  }

  /** The record is done: what it emitted goes on. */
  end(): void {
    for (const target of this.#targets) target.end();
  }

  /** What the record emitted is forgotten. */
  drop(): void {
    for (const target of this.#targets) target.drop();
  }
}

class UnitTarget implements EmitTarget {
  isOpen = false;
  readonly #plan: CollectionPlan;
  readonly #estimating: Estimating;
  readonly #target: EmitTarget;
  readonly #units = new Map<string, { readonly key: Key; readonly unit: Unit }>();

  constructor(plan: CollectionPlan, estimating: Estimating, target: EmitTarget) {
    this.#plan = plan;
    this.#estimating = estimating;
    this.#target = target;
  }

  emit(key: Key, value: unknown): void {
    if (!this.isOpen) throw this.#ofNoRecord(key);
    const id = idOf(key);
    const known = this.#units.get(id);
    const unit = known?.unit ?? this.#estimating.newUnit();
    this.#estimating.take(unit, value);
    if (known === undefined) this.#units.set(id, { key: copyKey(key), unit });
  }

  check(key: Key, value: unknown): void {
    const unit = this.#estimating.newUnit();
    this.#estimating.take(unit, value);
    this.#target.check(key, unit);
  }

  end(): void {
    this.isOpen = false;
    for (const { key, unit } of this.#units.values()) this.#target.emit(key, unit);
    this.#units.clear();
  }

  drop(): void {
    this.isOpen = false;
    this.#units.clear();
  }

  #ofNoRecord(key: Key): SheafError {
    const { name } = this.#plan;
    const where = name === "" ? "" : ` in collection ${name}`;
    return new SheafError(
      "USER_CODE",
      `--estimate: the pair for ${JSON.stringify(key)}${where} was emitted outside of any record`,
      {
        hint:
          "What teardown emits, or code that map did not wait for, is of many records, and no interval can be " +
          "told. Emit in map, or run without --estimate.",
      },
    );
  }
}

function idOf(key: Key): string {
  if (typeof key === "string") return `"${key}`;
  const bytes = Buffer.allocUnsafe(keySizeMax(key));
  return bytes.toString("latin1", 0, encodeKey(bytes, 0, key));
}
