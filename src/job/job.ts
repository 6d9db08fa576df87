import type { Aggregator } from "./aggregator.ts";
import type { AnyAux, LoadedAux } from "./aux.ts";
import type { TaskContext } from "./context.ts";
import type { Key } from "./key.ts";
import type { Input, Reader } from "./reader.ts";
import type { Writer } from "./writer.ts";

/** What `params` are without a declaration. */
export type Params = Readonly<Record<string, unknown>>;

/**
 * Stands for the values of a reduce function that does not say what they are: annotate its parameters.
 *
 * TypeScript before 6 does not look at a reduce that is written as a method before it has been through a
 * `map` above it. Only there `emit` takes anything; all else is checked as ever.
 */
export interface NotAnnotated {
  readonly "annotate the parameters of reduce": never;
}

type IsNotAnnotated<V> = 0 extends 1 & V ? false : [V, NotAnnotated] extends [NotAnnotated, V] ? true : false;

/** `emit(key, value)`; the value may be left out where the reduce takes anything (`count()`). */
export type Emit<K extends Key, V> =
  IsNotAnnotated<V> extends true
    ? EmitAny
    : undefined extends V
      ? (key: K, value?: V) => void
      : (key: K, value: V) => void;

// oxlint-disable-next-line typescript/no-explicit-any -- nothing else fits every emit
type EmitAny = (key: any, value?: any) => void;

/** What a map may return: nothing (it called emit), or [key, value] pairs, at once or over time. */
export type MapResult<K extends Key, V> =
  | void
  | Iterable<readonly [K, V]>
  | AsyncIterable<readonly [K, V]>
  | Promise<void | Iterable<readonly [K, V]>>;

/**
 * A free-form reduce: called once per key (or group) with its values in (map task, emit) order. What it
 * returns is the value written for the key, an array too; `undefined` writes nothing; a generator writes
 * each value it yields. The values stream and can be iterated once.
 *
 * Annotate all its parameters: `reduce(key: string, values: Iterable<number>) { ... }`. K and V, and so
 * what `emit` takes, are inferred from them. Only below a map that returns or yields its pairs may they be
 * left without types: they have those of the pairs.
 */
export type ReduceFunction<K extends Key, V, O, P = Params, A = AnyAux> = (
  key: K,
  values: Iterable<V>,
  context: ReduceContext<P, unknown, LoadedAux<A>>,
) => IsNotAnnotated<V> extends true ? Annotate : ReduceResult<O>;

/** What a reduce function may return. */
type ReduceResult<O> =
  | O
  | undefined
  | Generator<O, unknown, undefined>
  | Promise<O | undefined>
  | AsyncGenerator<O, unknown, undefined>;

/** Said by the compiler where an `emit` could take anything. */
type Annotate = "Annotate the parameters of reduce: reduce(key: string, values: Iterable<number>) { ... }";

export interface ReduceContext<
  P = Params,
  S = unknown,
  A = Readonly<Record<string, unknown>>,
> extends TaskContext<P, S, A> {
  /** Writes a result under a key of its own choosing, in addition to what reduce returns. */
  emit(key: Key, value: unknown): void;
}

/**
 * Folds values of one key into fewer before they travel: returns one value (an array is one), `undefined`
 * for none, or is a generator of several. It is called any number of times, with values and with its own
 * results. It must not change the result; checked by `testJob`.
 */
export type CombineFunction<K extends Key, V> = (
  key: K,
  values: Iterable<V>,
) => V | undefined | Generator<V, unknown, undefined>;

export interface CollectionOptions<K extends Key, V, O, P = Params, A = AnyAux> {
  /**
   * An aggregator, or a function called per key. None: map-only, or sorted records as they are when `order`
   * is set.
   */
  reduce?: Aggregator<V, O> | ReduceFunction<K, V, O, P, A>;
  /** Only with a reduce function: an aggregator is its own combiner. */
  combine?: CombineFunction<K, V>;
  /**
   * Integer in [0, partitions). Default: a hash of the key's bytes. Must depend on nothing but its
   * arguments.
   */
  partition?: (key: K, partitions: number) => number;
  /**
   * Number of reduce tasks, 1 to 10,000. Default: from the input's size, never from the number of workers.
   */
  partitions?: number;
  /**
   * "hash" (default): each part is sorted by key, keys spread over parts. "total": all keys of a part
   * precede those of the next part; found by sampling the input.
   */
  order?: "hash" | "total";
  /**
   * Secondary sort: keys are arrays, partitioned and grouped by their first `groupBy` elements; reduce gets
   * that prefix as its key, and values in the order of the whole key.
   */
  groupBy?: number;
  /** Default tsv(). */
  output?: Writer<K, O>;
}

/** Readers by the names of the inputs: `{ customers: csv(), orders: jsonl<Order>() }`. */
export type AnyInputs = Readonly<Record<string, Reader<unknown>>>;

/** The records that a reader makes. */
export type RecordOf<I> = I extends Reader<infer R> ? R : never;

interface JobCommon<P, S, A> {
  /** Default: the job file's name. */
  name?: string;
  /**
   * Called once per map attempt before its first record; what it returns is `ctx.state`. Write it above
   * `map`, so that `ctx.state` has its type there.
   */
  setup?: (context: TaskContext<P, undefined, LoadedAux<A>>) => S | Promise<S>;
  /** Parameters with their defaults, plain data; `--set name=value` overrides them. */
  params?: P;
  /**
   * Side data, in `ctx.aux` by the same names: values as they are, a file (`{ file: path }`), several
   * (`{ files: [...] }`), or rows of files (`csv("customers.csv").by("id")`). Files are sent to each machine
   * once, checked, and loaded once by each worker; whatever is wrong with them is told before the first task.
   */
  aux?: A;
  /**
   * Files that programs (exec()) find in their current directory, with their permissions, on every machine:
   * beside the job file, or absolute paths. "lists/stop.txt#words.txt" is found as words.txt.
   */
  files?: readonly string[];
  /**
   * Storages of one's own that the job reads and writes: the paths of their modules, beside the job file or
   * absolute, by the scheme of their addresses: `{ gs: "./gs-store.ts" }`. See registerStore.
   */
  stores?: Readonly<Record<string, string>>;
  /**
   * Looks at the final counters before the commit; false or a text fails the job and leaves earlier output
   * as it was.
   */
  expect?: (counters: Readonly<Record<string, number>>) => boolean | string;
  /** Seed of ctx.random and of sampling, an integer. Default 0. */
  seed?: number;
}

/** What a job with one input has. */
interface OneInput<R, P, S, A> extends JobCommon<P, S, A> {
  input: Input<R>;
  inputs?: never;
}

/** What a job with several inputs has; `M`: what a map gives. */
interface SeveralInputs<I extends AnyInputs, E, M, P, S, A> extends JobCommon<P, S, A> {
  /**
   * Readers by the name of their input, instead of `input`. Each has paths (`customers=data/c.csv` on the
   * command line) and a map of its own. They are read in the order they stand in here.
   */
  inputs: I;
  input?: never;
  /** The map of each input, called once per record of it. */
  map: {
    readonly [N in keyof I]: (record: RecordOf<I[N]>, emit: E, context: TaskContext<P, S, LoadedAux<A>>) => M;
  };
}

interface SimpleCommon<K extends Key, V, O, P, S, A> extends CollectionOptions<K, V, O, P, A> {
  collections?: never;
  /** Called once per map attempt after its last record. */
  teardown?: (context: TaskContext<P, S, LoadedAux<A>>, emit: Emit<K, V>) => void | Promise<void>;
}

export interface SimpleJob<R, K extends Key, V, O, P = Params, S = undefined, A = AnyAux>
  extends OneInput<R, P, S, A>, SimpleCommon<K, V, O, P, S, A> {
  /** Default: each record is a key, its value undefined. */
  map?: (record: R, emit: Emit<K, V>, context: TaskContext<P, S, LoadedAux<A>>) => MapResult<K, V>;
}

/** As SimpleJob, with several inputs. */
export interface InputsJob<I extends AnyInputs, K extends Key, V, O, P = Params, S = undefined, A = AnyAux>
  extends SeveralInputs<I, Emit<K, V>, MapResult<K, V>, P, S, A>, SimpleCommon<K, V, O, P, S, A> {}

/** A job whose reduce is an aggregator, or that has none. */
export interface AggregatorJob<
  R,
  K extends Key,
  V,
  O,
  P = Params,
  S = undefined,
  A = AnyAux,
> extends SimpleJob<R, K, V, O, P, S, A> {
  reduce?: Aggregator<V, O>;
}

/** As AggregatorJob, with several inputs. */
export interface AggregatorInputsJob<
  I extends AnyInputs,
  K extends Key,
  V,
  O,
  P = Params,
  S = undefined,
  A = AnyAux,
> extends InputsJob<I, K, V, O, P, S, A> {
  reduce?: Aggregator<V, O>;
}

/**
 * Any collection, as a constraint. The second half of each union keeps parameters without a type from being
 * guessed: they are an error ("implicitly has an 'any' type") instead of accepting everything.
 */
export interface AnyCollection<P = Params, A = AnyAux> {
  reduce?:
    | Aggregator<never, unknown>
    | ((key: never, values: Iterable<never>, context: ReduceContext<P, unknown, LoadedAux<A>>) => unknown)
    | ((key: Key, values: Iterable<unknown>, context: ReduceContext<P, unknown, LoadedAux<A>>) => unknown);
  combine?:
    | ((key: never, values: Iterable<never>) => unknown)
    | ((key: Key, values: Iterable<unknown>) => unknown);
  partition?: ((key: never, partitions: number) => number) | ((key: Key, partitions: number) => number);
  partitions?: number;
  order?: "hash" | "total";
  groupBy?: number;
  output?: Writer<never, never>;
}

export type AnyCollections<P = Params, A = AnyAux> = Readonly<Record<string, AnyCollection<P, A>>>;

type KeyOf<C> = C extends { reduce: (key: infer K extends Key, ...rest: never) => unknown } ? K : Key;

type ValueOf<C> = C extends { reduce: Aggregator<infer V, unknown> }
  ? V
  : C extends { reduce: (key: never, values: Iterable<infer V>, ...rest: never) => unknown }
    ? V
    : unknown;

type OutOf<C> = C extends { reduce: Aggregator<never, infer O> }
  ? O
  : C extends { reduce: (key: never, values: Iterable<never>, ...rest: never) => infer O }
    ? Written<O>
    : ValueOf<C>;

/** What is written of what a reduce returns. */
type Written<O> =
  O extends Promise<infer T>
    ? Written<T>
    : O extends Generator<infer T, unknown, undefined> | AsyncGenerator<infer T, unknown, undefined>
      ? T
      : Exclude<O, undefined | void>;

/** One result of a job. */
export type Result<K, V> = readonly [key: K, value: V];

/** The results of each collection. */
export type CollectionResults<C> = { readonly [N in keyof C]: Result<KeyOf<C[N]>, OutOf<C[N]>> };

/** The `emit` of one collection. */
export type EmitOf<C> = Emit<KeyOf<C>, ValueOf<C>>;

/** The `emit` of a job with collections: a function for each. */
export type EmitTo<C extends AnyCollections<never, never>> = { readonly [N in keyof C]: EmitOf<C[N]> };

interface CollectionsCommon<C extends AnyCollections<never, never>, P, S, A> {
  collections: C;
  teardown?: (context: TaskContext<P, S, LoadedAux<A>>, emit: EmitTo<C>) => void | Promise<void>;
  reduce?: never;
}

export interface CollectionsJob<R, C extends AnyCollections<P, A>, P = Params, S = undefined, A = AnyAux>
  extends OneInput<R, P, S, A>, CollectionsCommon<C, P, S, A> {
  map: (record: R, emit: EmitTo<C>, context: TaskContext<P, S, LoadedAux<A>>) => void | Promise<void>;
}

/** As CollectionsJob, with several inputs. */
export interface CollectionsInputsJob<
  I extends AnyInputs,
  C extends AnyCollections<P, A>,
  P = Params,
  S = undefined,
  A = AnyAux,
>
  extends SeveralInputs<I, EmitTo<C>, void | Promise<void>, P, S, A>, CollectionsCommon<C, P, S, A> {}
