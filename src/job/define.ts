import { SheafError } from "../base/errors.ts";
import type { Aggregator } from "./aggregator.ts";
import type { TaskContext } from "./context.ts";
import type {
  AggregatorInputsJob,
  AggregatorJob,
  AnyCollections,
  AnyInputs,
  CollectionsInputsJob,
  CollectionsJob,
  CombineFunction,
  InputsJob,
  NotAnnotated,
  Params,
  ReduceFunction,
  SimpleJob,
} from "./job.ts";
import type { Key } from "./key.ts";
import type { Input, Reader } from "./reader.ts";
import { checkJob } from "./validate.ts";
import type { Writer } from "./writer.ts";

/** One collection of a job after `job()` has checked it and filled in what was left out. */
export interface CollectionPlan {
  /** "" for a job without `collections`. */
  readonly name: string;
  readonly aggregator: Aggregator<unknown, unknown> | undefined;
  readonly reduce: ReduceFunction<Key, unknown, unknown> | undefined;
  readonly combine: CombineFunction<Key, unknown> | undefined;
  readonly partition: ((key: Key, partitions: number) => number) | undefined;
  readonly partitions: number | undefined;
  readonly order: "hash" | "total";
  readonly groupBy: number | undefined;
  /** undefined: the default, tsv(). */
  readonly output: Writer<Key, unknown> | undefined;
  /** No reduce and no order: records go from map to the output without a shuffle. */
  readonly mapOnly: boolean;
}

/** One of several inputs, and what is made of its records. */
export interface NamedInput extends Pick<Job, "inputName" | "map"> {
  readonly input: Reader<unknown>;
}

/** A checked job: what `job()` returns and what the engine runs. Treat it as opaque. */
export interface Job {
  readonly sheaf: "job";
  readonly name: string | undefined;
  /** Of a job with several inputs the first; see jobOfInput. */
  readonly input: Input<unknown>;
  /** "" for a job with one input. */
  readonly inputName: string;
  /** The inputs of a job with several, in the order they are read; none for others. */
  readonly inputs: readonly NamedInput[];
  readonly collections: readonly CollectionPlan[];
  /** True when written with `collections`: emit is then an object of functions. */
  readonly named: boolean;
  readonly map: ((record: unknown, emit: unknown, context: TaskContext) => unknown) | undefined;
  readonly setup: ((context: TaskContext) => unknown) | undefined;
  readonly teardown: ((context: TaskContext, emit: unknown) => unknown) | undefined;
  readonly params: Readonly<Record<string, unknown>>;
  readonly aux: Readonly<Record<string, unknown>>;
  readonly expect: ((counters: Readonly<Record<string, number>>) => boolean | string) | undefined;
  readonly seed: number;
}

/**
 * The job as tasks that read one of its inputs see it: with that reader and that map, and no other inputs.
 * @param input its index; undefined for a job with one input
 */
export function jobOfInput(job: Job, input: number | undefined): Job {
  if (job.inputs.length === 0) return job;
  const one = job.inputs[input ?? -1];
  if (one === undefined) throw new SheafError("INTERNAL", `the job has no input ${input}`);
  return { ...job, ...one, inputs: [] };
}

/**
 * Defines a job: what to read, what to make of each record, how to bring together what was emitted, and
 * where to write it. The result is checked and frozen; export it as the default of a job file, or give it
 * to `run()`.
 *
 *     export default job({
 *       input: text(),
 *       map(line, emit) {
 *         for (const word of line.match(/\p{L}+/gu) ?? []) emit(word.toLowerCase(), 1);
 *       },
 *       reduce: sum(),
 *     });
 *
 * Types follow from the parts: the reader gives the record's, the reduce those that `emit` accepts.
 * @throws SheafError JOB_INVALID naming the field that is wrong
 */
export function job<R, C extends AnyCollections<P>, P = Params, S = undefined, I extends AnyInputs = never>(
  definition: CollectionsJob<R, C, P, S> | CollectionsInputsJob<I, C, P, S>,
): Job;
export function job<R, K extends Key, V, O, P = Params, S = undefined, I extends AnyInputs = never>(
  definition: AggregatorJob<R, K, V, O, P, S> | AggregatorInputsJob<I, K, V, O, P, S>,
): Job;
export function job<
  R,
  O,
  K extends Key = Key,
  V = NotAnnotated,
  P = Params,
  S = undefined,
  I extends AnyInputs = never,
>(definition: SimpleJob<R, K, V, O, P, S> | InputsJob<I, K, V, O, P, S>): Job;
export function job(definition: unknown): Job {
  return checkJob(definition);
}
