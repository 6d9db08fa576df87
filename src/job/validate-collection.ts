import { SheafError } from "../base/errors.ts";
import { settings } from "../base/limits.ts";
import { printValue } from "../base/print-value.ts";
import { suggest } from "../base/suggest.ts";
import { isAggregator } from "./aggregator.ts";
import type { CollectionPlan } from "./job-plan.ts";

type Fields = Readonly<Record<string, unknown>>;
type Refuse = (field: string, problem: string, hint: string) => SheafError;

export const COLLECTION_FIELDS = [
  "reduce",
  "combine",
  "partition",
  "partitions",
  "order",
  "groupBy",
  "output",
] as const;

const ORDERS = ["hash", "total"] as const;

/**
 * Checks the options of one collection, whose field names are known to be right.
 * @param name "" for the only one of a job without collections
 * @throws SheafError JOB_INVALID naming the field
 */
export function checkCollection(name: string, options: Fields): CollectionPlan {
  const refuse: Refuse = (field, problem, hint) => {
    const path = name === "" ? field : `collections.${name}.${field}`;
    return new SheafError("JOB_INVALID", `${path}: ${problem}`, { hint, details: { field: path } });
  };
  const { reduce, combine, partition, partitions, order, groupBy, output } = options;
  const aggregator = isAggregator(reduce) ? reduce : undefined;
  const mapOnly = reduce === undefined && order === undefined;
  checkReduce(options, refuse);
  if (partition !== undefined && typeof partition !== "function") {
    const hint = "Write it as a method: partition(key, partitions) { ... }.";
    throw refuse("partition", `${printValue(partition)} is no function`, hint);
  }
  checkInteger("partitions", partitions, settings.partitions.max, refuse);
  checkInteger("groupBy", groupBy, Number.MAX_SAFE_INTEGER, refuse);
  checkOrder(options, refuse);
  if (mapOnly) checkMapOnly(options, refuse);
  checkOutput(output, refuse);
  return Object.freeze<CollectionPlan>({
    name,
    aggregator: aggregator as CollectionPlan["aggregator"],
    reduce: (aggregator === undefined ? reduce : undefined) as CollectionPlan["reduce"],
    combine: combine as CollectionPlan["combine"],
    partition: partition as CollectionPlan["partition"],
    partitions: partitions as number | undefined,
    order: (order as "hash" | "total" | undefined) ?? "hash",
    groupBy: groupBy as number | undefined,
    output: output as CollectionPlan["output"],
    mapOnly,
  });
}

function checkReduce({ reduce, combine }: Fields, refuse: Refuse): void {
  const hasFunction = typeof reduce === "function";
  if (reduce !== undefined && !hasFunction && !isAggregator(reduce)) {
    const hint =
      "Give an aggregator, called: sum(); or a method: reduce(key: string, values: Iterable<number>) { }.";
    throw refuse("reduce", `${printValue(reduce)} is neither an aggregator nor a function`, hint);
  }
  if (combine === undefined) return;
  if (typeof combine !== "function") {
    throw refuse(
      "combine",
      `${printValue(combine)} is no function`,
      "Write it as a method: combine(key, values) { ... }.",
    );
  }
  if (!hasFunction) {
    const problem =
      reduce === undefined ? "there is no reduce to combine for" : "the reduce is an aggregator";
    throw refuse(
      "combine",
      problem,
      "Leave it out: an aggregator combines by itself, and without a reduce nothing does.",
    );
  }
}

function checkOrder({ order, partition }: Fields, refuse: Refuse): void {
  if (order === undefined) return;
  if (order !== "hash" && order !== "total") {
    const near = typeof order === "string" ? suggest(order, ORDERS) : undefined;
    throw refuse(
      "order",
      `${printValue(order)} is no order`,
      `It is "hash" or "total".${near ? ` Did you mean "${near}"?` : ""}`,
    );
  }
  if (order === "total" && partition !== undefined) {
    const hint =
      'With order "total" the ranges of keys decide which part a key is in. Leave out one of the two.';
    throw refuse("partition", 'order is "total"', hint);
  }
}

function checkMapOnly(options: Fields, refuse: Refuse): void {
  for (const field of ["partition", "partitions", "groupBy"]) {
    if (options[field] === undefined) continue;
    const hint =
      'Map then writes straight to the output. Give one of them (order: "hash"), or leave this out.';
    throw refuse(field, "there is no reduce and no order", hint);
  }
}

function checkInteger(field: string, value: unknown, max: number, refuse: Refuse): void {
  if (value === undefined) return;
  if (Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= max) return;
  const range = max === Number.MAX_SAFE_INTEGER ? "of at least 1" : `from 1 to ${max}`;
  throw refuse(field, `${printValue(value)} is out of range`, `Give an integer ${range}.`);
}

function checkOutput(output: unknown, refuse: Refuse): void {
  if (output === undefined) return;
  const hint = "Give a writer, called: tsv(), csv(), jsonl(), text(), none().";
  if (typeof output === "function") {
    throw refuse(
      "output",
      `${printValue(output)} is a function`,
      `Did you mean ${output.name || "it"}()? ${hint}`,
    );
  }
  const fields = (typeof output === "object" && output !== null ? output : {}) as Fields;
  const isWriter =
    typeof fields["kind"] === "string" &&
    typeof fields["extension"] === "string" &&
    typeof fields["encoder"] === "function";
  if (!isWriter) throw refuse("output", `${printValue(output)} is no writer`, hint);
  if (fields["route"] !== undefined && typeof fields["route"] !== "function") {
    const write = "Give a function that names the directory: route((key, value) => value.date, jsonl()).";
    throw refuse("output", `route(${printValue(fields["route"])}) names nothing`, write);
  }
}
