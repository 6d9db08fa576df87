import type { Aggregator } from "./aggregator.ts";
import type { TaskContext } from "./context.ts";
import type { CombineFunction, ReduceFunction } from "./job.ts";
import type { Key } from "./key.ts";
import type { Input, Reader } from "./reader.ts";
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
  /**
   * Set where results are lines that a program has written: what stands between key and value. Without an
   * `output`, and to text(), they are written as they are.
   */
  readonly lines?: Uint8Array;
}

/**
 * What maps by different code must have in common for what they have made to go into one output: a text, the
 * same where that is so. null: it cannot be told, since functions of the job have a hand in it.
 */
export function mergePrint(plan: CollectionPlan): string | null {
  const { aggregator, reduce, combine, partition, order, groupBy, output, mapOnly } = plan;
  if (combine !== undefined || partition !== undefined || groupBy !== undefined || order === "total")
    return null;
  const how = aggregator === undefined ? reduce !== undefined : [aggregator.kind, aggregator.spec];
  return JSON.stringify([mapOnly, how, output?.kind ?? null, output?.extension ?? null]);
}

/** A file that travels with a job, and what programs find it as. */
export interface FileRef {
  readonly name: string;
  /** As the job names it: beside the job file, or an absolute path. */
  readonly file: string;
}

/** One of several inputs, and what is made of its records. */
export interface NamedInput extends Pick<Job, "inputName" | "map"> {
  readonly input: Reader<unknown>;
}

/**
 * A checked job: what `job()` returns and what the engine runs. Treat it as opaque. `R` is the type of its
 * results, by collection ("" without `collections`): a [key, value] each.
 */
export interface Job<out R = unknown> {
  readonly sheaf: "job";
  /** Never there: carries the type. */
  readonly "~outputs"?: R;
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
  /** What programs find in their current directory. */
  readonly files: readonly FileRef[];
  /** Modules of storages of one's own, by scheme. */
  readonly stores: Readonly<Record<string, string>>;
  readonly expect: ((counters: Readonly<Record<string, number>>) => boolean | string) | undefined;
  readonly seed: number;
}
