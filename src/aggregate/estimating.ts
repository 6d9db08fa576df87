import type { Aggregator, EstimatedKind, NumericOp } from "../job/aggregator.ts";
import { withSampled } from "../job/estimate.ts";
import type { EstimateColumn } from "../job/estimate.ts";
import type { DoubleDouble } from "./double-double.ts";
import { multiply, plus, productError } from "./double-double.ts";
import {
  addSquare,
  addToSum,
  initRow,
  mergeNumericRow,
  packRow,
  readSum,
  slotsOf,
  unpackRow,
} from "./numeric-row.ts";
import { type Interval, SampleBounds, type Weights } from "./sample-bounds.ts";
import { studentT95 } from "./student-t.ts";

/*
 * Estimates of what all records would give, from a sample of them. The sample is one of records, so a record
 * is the unit: all it emitted for a key is added up first. Were each pair taken for itself, those of one
 * record would count as drawn apart, and intervals would be too narrow.
 */

type AnyAggregator = Aggregator<unknown, unknown>;

/** A result, or a member of one, that is scaled. */
interface Leaf {
  readonly path: readonly string[];
  readonly kind: EstimatedKind;
}

/** What one record emitted for one key. */
export interface Unit {
  /** The job's aggregate of it. */
  own: unknown;
  /** How many values. */
  values: number;
  /** What they add up to, for each leaf. */
  readonly amounts: Float64Array;
}

interface State {
  own: unknown;
  row: Float64Array;
}

/** Units, values, values squared, most values of a unit. */
const UNIT_OPS: readonly NumericOp[] = ["count", "count", "count", "max"];
const UNITS = 0;
const VALUES = 1;
const SQUARED = 2;
const MOST = 3;
/** Of a sum: amounts above zero, their squares, the largest; the same below; whether one is no integer. */
const SUM_OPS: readonly NumericOp[] = ["sum", "sum", "max", "sum", "sum", "max", "max"];
/** Of a mean: amounts, their squares, amounts times values; the least and greatest mean of a unit. */
const MEAN_OPS: readonly NumericOp[] = ["sum", "sum", "sum", "min", "max"];
const SUM_SLOTS = 4;

/** The columns of an aggregator's results, and which of them are estimates. */
export function estimateColumns(aggregator: AnyAggregator, path: readonly string[] = []): EstimateColumn[] {
  const { members, estimated, kind } = aggregator;
  if (members === undefined) {
    return [{ column: path.join("."), note: estimated === undefined ? noteOf(kind) : null }];
  }
  return Object.entries(members).flatMap(([name, member]) =>
    estimateColumns(member as AnyAggregator, [...path, name]),
  );
}

const notes: Readonly<Record<string, string>> = {
  min: "the least of the sample: that of all records may be less",
  max: "the greatest of the sample: that of all records may be greater",
  distinct: "how many the sample has: all records have as many or more",
  distinctApprox: "how many the sample has: all records have as many or more",
  set: "what the sample has: all records may have more",
  variance: "of the sample: about that of all records, without an interval",
  stddev: "of the sample: about that of all records, without an interval",
  quantiles: "of the sample: about those of all records, without an interval",
  median: "of the sample: about that of all records, without an interval",
  histogram: "counts of the sample, not scaled",
  topK: "of the sample: all records may have others before them",
  argMax: "of the sample: all records may have a greater one",
  argMin: "of the sample: all records may have a lesser one",
};

function noteOf(kind: string): string {
  return notes[kind] ?? `what ${kind} made of the sample, not scaled`;
}

/**
 * The aggregator of estimates: it takes units, and its results are objects. A number that can be scaled
 * becomes `{ estimate, low, high }`, a member NAME the members NAME, NAME_low and NAME_high; all else is what
 * the sample gave. `low` and `high` are null where no interval can be given. Results depend on the order of
 * units only where those of the aggregator do.
 */
export class Estimating implements Aggregator<Unit, unknown, State> {
  readonly kind = "estimates";
  readonly spec: unknown;
  readonly #own: AnyAggregator;
  readonly #leaves: readonly Leaf[];
  readonly #places: readonly number[];
  readonly #ops: readonly NumericOp[];
  readonly #bounds: SampleBounds;

  /** @param share the probability that a record is kept */
  constructor(own: AnyAggregator, share: number) {
    this.spec = [own.kind, own.spec, share];
    this.#own = own;
    this.#bounds = new SampleBounds(share);
    this.#leaves = leavesOf(own, []);
    const ops = [...UNIT_OPS];
    this.#places = this.#leaves.map(({ kind }) => {
      const place = slotsOf(ops);
      ops.push(...(kind === "sum" ? SUM_OPS : kind === "mean" ? MEAN_OPS : []));
      return place;
    });
    this.#ops = ops;
  }

  newUnit(): Unit {
    return { own: this.#own.empty(), values: 0, amounts: new Float64Array(this.#leaves.length) };
  }

  /** One more value of the record. Throws what the aggregator throws for it, and has then not taken it. */
  take(unit: Unit, value: unknown): void {
    unit.own = this.#own.add(unit.own, value);
    unit.values++;
    for (let leaf = 0; leaf < this.#leaves.length; leaf++) {
      const { kind, path } = this.#leaves[leaf]!;
      if (kind !== "count") unit.amounts[leaf]! += amountIn(value, path);
    }
  }

  empty(): State {
    const row = new Float64Array(slotsOf(this.#ops));
    initRow(this.#ops, row, 0);
    return { own: this.#own.empty(), row };
  }

  add(state: State, { own, values, amounts }: Unit): State {
    state.own = this.#own.merge(state.own, own);
    const { row } = state;
    row[UNITS]! += 1;
    row[VALUES]! += values;
    row[SQUARED]! += values * values;
    if (values > row[MOST]!) row[MOST] = values;
    for (let leaf = 0; leaf < this.#leaves.length; leaf++) {
      const { kind } = this.#leaves[leaf]!;
      const at = this.#places[leaf]!;
      if (kind === "sum") addAmount(row, at, amounts[leaf]!);
      else if (kind === "mean") addMean(row, at, amounts[leaf]!, values);
    }
    return state;
  }

  merge(left: State, right: State): State {
    left.own = this.#own.merge(left.own, right.own);
    mergeNumericRow(this.#ops, left.row, 0, right.row, 0);
    return left;
  }

  result(state: State): unknown {
    const own = this.#own.result(state.own);
    return withSampled(this.#named(this.#own, own, state.row, { next: 0 }, ""), own);
  }

  pack({ own, row }: State): unknown {
    return [this.#own.pack(own), packRow(row)];
  }

  unpack(data: unknown): State {
    const [own, row] = data as [unknown, (number | null)[]];
    return { own: this.#own.unpack(own), row: unpackRow(this.#ops, row) };
  }

  sizeOf({ own, row }: State): number {
    return this.#own.sizeOf(own) + row.byteLength + 200;
  }

  /** `name` "" is the whole result. */
  #named(
    aggregator: AnyAggregator,
    own: unknown,
    row: Float64Array,
    leaf: { next: number },
    name: string,
  ): Record<string, unknown> {
    const { members, estimated } = aggregator;
    if (members !== undefined) {
      const made: Record<string, unknown> = {};
      const fields = own as Readonly<Record<string, unknown>>;
      const taken = new Set(Object.keys(members));
      for (const [member, inner] of Object.entries(members)) {
        const found = this.#named(inner as AnyAggregator, fields[member], row, leaf, member);
        for (const [field, value] of Object.entries(found)) made[freeName(field, member, taken)] = value;
      }
      return name === "" ? made : { [name]: made };
    }
    if (estimated === undefined) return { [name]: own };
    const { estimate, interval } = this.#estimate(leaf.next++, own, row);
    const [low, high] = name === "" ? ["low", "high"] : [`${name}_low`, `${name}_high`];
    return {
      [name === "" ? "estimate" : name]: estimate,
      [low]: interval?.low ?? null,
      [high]: interval?.high ?? null,
    };
  }

  #estimate(leaf: number, own: unknown, row: Float64Array): { estimate: unknown; interval: Interval | null } {
    const at = this.#places[leaf]!;
    switch (this.#leaves[leaf]!.kind) {
      case "count": {
        const weights = { sum: row[VALUES]!, squares: row[SQUARED]!, max: row[MOST]! };
        const estimate = Math.round(weights.sum / this.#bounds.share);
        return { estimate, interval: outward(this.#bounds.ofTotal(weights)) };
      }
      case "mean":
        return { estimate: own, interval: meanInterval(own, row, at, this.#bounds.share) };
      case "sum": {
        const interval = this.#bounds.ofSum(weightsAt(row, at), weightsAt(row, at + BELOW));
        const scaled = Number(own) / this.#bounds.share;
        if (!Number.isFinite(scaled)) return { estimate: null, interval: null };
        const isWhole = row[at + FRACTION]! <= 0;
        if (typeof own === "bigint")
          return { estimate: BigInt(Math.round(scaled)), interval: outward(interval) };
        return isWhole
          ? { estimate: Math.round(scaled), interval: outward(interval) }
          : { estimate: short(scaled), interval: shortened(interval) };
      }
    }
  }
}

const SQUARES = SUM_SLOTS;
const GREATEST = 2 * SUM_SLOTS;
const BELOW = GREATEST + 1;
const FRACTION = 2 * BELOW;
const CROSS = 2 * SUM_SLOTS;
const LEAST_MEAN = 3 * SUM_SLOTS;
const GREATEST_MEAN = LEAST_MEAN + 1;

function leavesOf({ members, estimated }: AnyAggregator, path: readonly string[]): Leaf[] {
  if (members === undefined) return estimated === undefined ? [] : [{ path, kind: estimated }];
  return Object.entries(members).flatMap(([name, member]) =>
    leavesOf(member as AnyAggregator, [...path, name]),
  );
}

/** As `stats` hands values to its members. */
function amountIn(value: unknown, path: readonly string[]): number {
  let found = value;
  for (const name of path) {
    if (typeof found === "number") break;
    found = (found as Readonly<Record<string, unknown>>)[name];
  }
  return Number(found);
}

function addAmount(row: Float64Array, at: number, amount: number): void {
  const side = amount < 0 ? at + BELOW : at;
  const size = Math.abs(amount);
  addToSum(row, side, size);
  addSquare(row, side + SQUARES, size);
  if (size > row[side + GREATEST]!) row[side + GREATEST] = size;
  const fraction = Number.isSafeInteger(amount) ? 0 : 1;
  if (fraction > row[at + FRACTION]!) row[at + FRACTION] = fraction;
}

function addMean(row: Float64Array, at: number, amount: number, values: number): void {
  addToSum(row, at, amount);
  addSquare(row, at + SQUARES, amount);
  const product = amount * values;
  addToSum(row, at + CROSS, product);
  if (values > 1) addToSum(row, at + CROSS, productError(amount, values, product));
  const own = amount / values;
  if (own < row[at + LEAST_MEAN]!) row[at + LEAST_MEAN] = own;
  if (own > row[at + GREATEST_MEAN]!) row[at + GREATEST_MEAN] = own;
}

function weightsAt(row: Float64Array, at: number): Weights {
  const max = Math.max(0, row[at + GREATEST]!);
  return { sum: readSum(row, at).high, squares: readSum(row, at + SQUARES).high, max };
}

/**
 * Of a ratio of two sums over units, amounts and values (Cochran, Sampling Techniques, 1977, chapter 6): its
 * variance is that of amount - ratio * values. None of one unit, and none where all units have the same mean:
 * the values that are missing need not have it.
 */
function meanInterval(mean: unknown, row: Float64Array, at: number, share: number): Interval | null {
  const [units, values] = [row[UNITS]!, row[VALUES]!];
  if (typeof mean !== "number" || units < 2 || row[at + LEAST_MEAN] === row[at + GREATEST_MEAN]) return null;
  const amounts = doubled(row, at);
  const n: DoubleDouble = { high: values, low: 0 };
  // values^2 times the sum of (amount - mean * values)^2, whose parts nearly cancel.
  const squares = multiply(multiply(n, n), doubled(row, at + SQUARES));
  const crosses = multiply(multiply({ high: -2 * values, low: 0 }, amounts), doubled(row, at + CROSS));
  const means = multiply(multiply(amounts, amounts), { high: row[SQUARED]!, low: 0 });
  const spread = plus(plus(squares, crosses), means).high;
  const variance = ((1 - share) * (spread / values / values) * units) / (units - 1) / (values * values);
  if (!(variance > 0) || !Number.isFinite(variance)) return null;
  const half = studentT95(units - 1) * Math.sqrt(variance);
  return shortened({ low: mean - half, high: mean + half });
}

function doubled(row: Float64Array, at: number): DoubleDouble {
  const { high, low, rest } = readSum(row, at);
  return { high, low: low + rest };
}

/** Of whole numbers: no interval gets narrower. */
function outward(interval: Interval | null): Interval | null {
  return interval && { low: Math.floor(interval.low), high: Math.ceil(interval.high) };
}

function shortened(interval: Interval | null): Interval | null {
  return interval && { low: short(interval.low), high: short(interval.high) };
}

/** Without the digits that dividing by the share has made. */
function short(value: number): number {
  return Number(value.toPrecision(15));
}

/** NAME_low where another member is not called so. */
function freeName(field: string, member: string, taken: ReadonlySet<string>): string {
  let name = field;
  while (name !== member && taken.has(name)) name += "_";
  return name;
}
