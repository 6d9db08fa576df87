// Compiled, never run: what must compile does, and each @ts-expect-error marks what must not.
import { argMax } from "#src/aggregate/arg-extreme.js";
import { collect } from "#src/aggregate/collect.js";
import { count } from "#src/aggregate/count.js";
import { first } from "#src/aggregate/first-last.js";
import { mean } from "#src/aggregate/mean.js";
import { max, min } from "#src/aggregate/min-max.js";
import { stats } from "#src/aggregate/stats.js";
import { sum } from "#src/aggregate/sum.js";
import { topK } from "#src/aggregate/top-k.js";
import { job } from "#src/job/define.js";
import type { Job } from "#src/job/job-plan.js";
import type { ReduceContext } from "#src/job/job.js";
import type { Key } from "#src/job/key.js";
import type { Reader, Source } from "#src/job/reader.js";
import type { Writer } from "#src/job/writer.js";

declare function text(): Reader<string>;
declare function rows(): Reader<{ city: string; age: number }>;
declare function numbers(): Source<number>;
declare function tsv(): Writer<Key, unknown>;
declare function bytesOnly(): Writer<Key, Uint8Array>;
declare function textKeys(): Writer<string, unknown>;

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function expectType<Wanted>(): <Got>(got: Got, same: Equal<Wanted, Got>) => void;

export const wordCount: Job = job({
  input: text(),
  map(line, emit) {
    expectType<string>()(line, true);
    for (const word of line.match(/\p{L}+/gu) ?? []) emit(word.toLowerCase(), 1);
    // @ts-expect-error a sum takes numbers
    emit("word", "1");
    // @ts-expect-error a sum needs a value
    emit("word");
    // @ts-expect-error an object is no key
    emit({ word: "a" }, 1);
    // @ts-expect-error no more than a key and a value
    emit("word", 1, 2);
  },
  reduce: sum(),
  output: tsv(),
});

export const valueLeftOut = job({
  input: text(),
  map(line, emit) {
    emit(line);
    emit(line.length, "anything");
    // @ts-expect-error undefined is no key
    emit(undefined);
  },
  reduce: count(),
});

export const withoutMap = job({ input: text(), reduce: count() });

export const collections = job({
  input: rows(),
  collections: {
    byCity: { reduce: count() },
    byAge: { reduce: mean(), partitions: 4 },
    names: {
      reduce(key: string, values: Iterable<number>) {
        let longest = 0;
        for (const value of values) longest = Math.max(longest, value);
        return `${key} ${longest}`;
      },
    },
    tagged: { reduce: first<{ tag: string }>(), output: textKeys() },
  },
  map(row, emit) {
    expectType<{ city: string; age: number }>()(row, true);
    emit.byCity(row.city);
    emit.byAge(row.city, row.age);
    emit.names(row.city, row.age);
    emit.tagged(row.city, { tag: "a" });
    // @ts-expect-error a mean takes numbers
    emit.byAge(row.city, row.city);
    // @ts-expect-error no such collection
    emit.byTown(row.city);
    // @ts-expect-error its reduce has strings as keys
    emit.names(row.age, row.age);
    // @ts-expect-error its reduce takes numbers
    emit.names(row.city, row.city);
    // @ts-expect-error emit is an object of functions here
    emit(row.city, 1);
  },
});

export const unannotatedInCollection = job({
  input: rows(),
  collections: {
    names: {
      // @ts-expect-error parameters of a reduce need types: they tell what emit takes
      reduce(key, values) {
        return [key, values];
      },
    },
  },
  map() {},
});

export const freeForm = job({
  input: text(),
  map(line, emit) {
    emit(line, line.length);
    // @ts-expect-error keys are strings, as reduce says
    emit(1, 1);
    // @ts-expect-error values are numbers, as reduce says
    emit(line, line);
  },
  reduce(key: string, values: Iterable<number>) {
    let total = key.length;
    for (const value of values) total += value;
    return total;
  },
  combine(key, values) {
    expectType<string>()(key, true);
    let total = 0;
    for (const value of values) total += value;
    return total;
  },
  partition: (key, partitions) => key.length % partitions,
});

export const wrongCombine = job({
  input: text(),
  map(line, emit) {
    emit(line, 1);
  },
  reduce: (key: string, values: Iterable<number>) => key + Array.from(values).length,
  // @ts-expect-error a combiner makes values of the kind it takes
  combine: (key, values) => key + Array.from(values).join(),
});

export const yieldingReduce = job({
  input: text(),
  map(line, emit) {
    emit([line, line.length], line);
    // @ts-expect-error its keys are pairs
    emit(line, line);
  },
  groupBy: 1,
  *reduce(key: readonly [string, number], values: Iterable<string>, ctx: ReduceContext) {
    for (const value of values) yield new TextEncoder().encode(value + key[0]);
    ctx.emit("other", 1);
  },
  output: bytesOnly(),
});

export const arrayIsOneValue = job({
  input: text(),
  map(line, emit) {
    emit(line, 1);
  },
  // @ts-expect-error this reduce returns arrays, the writer takes bytes
  reduce: (key: string, values: Iterable<number>) => [key.length, ...values],
  output: bytesOnly(),
});

export const wrongOutput = job({
  input: text(),
  map(line, emit) {
    emit(line, 1);
  },
  // @ts-expect-error sums are no bytes
  reduce: sum(),
  output: bytesOnly(),
});

export const asyncReduce = job({
  input: text(),
  async map(line, emit) {
    await Promise.resolve();
    emit(line, 1);
    // @ts-expect-error values are numbers, as reduce says
    emit(line, "1");
  },
  async reduce(key: string, values: Iterable<number>) {
    await Promise.resolve();
    return key.length + Array.from(values).length;
  },
});

export const generatorMap = job({
  input: text(),
  *map(line) {
    expectType<string>()(line, true);
    for (const word of line.split(" ")) yield [word, 1];
  },
  reduce: sum(),
});

export const asyncGeneratorMap = job({
  input: text(),
  async *map(line) {
    for (const word of line.split(" ")) yield [word, 1];
  },
  reduce: sum(),
});

export const wrongYield = job({
  input: text(),
  // @ts-expect-error a sum takes numbers
  *map(line) {
    yield [line, "1"];
  },
  reduce: sum(),
});

export const returnedPairs = job({
  input: text(),
  map: (line) => [[line, line.length]],
  reduce: max(),
});

export const paramsAndState = job({
  input: text(),
  params: { shortest: 3, words: ["a"] },
  setup(ctx) {
    expectType<number>()(ctx.params.shortest, true);
    return { seen: new Set<string>() };
  },
  map(line, emit, ctx) {
    expectType<Set<string>>()(ctx.state.seen, true);
    if (line.length >= ctx.params.shortest) emit(line, 1);
    // @ts-expect-error no such parameter
    void ctx.params.longest;
    // @ts-expect-error no such state
    void ctx.state.lines;
  },
  teardown(ctx, emit) {
    emit("seen", ctx.state.seen.size);
    // @ts-expect-error a sum takes numbers
    emit("seen", ctx.state.seen);
  },
  reduce: sum(),
  expect: (counters) => (counters["bad"] ?? 0) === 0 || "some were bad",
});

export const typedReduceContext = job({
  input: text(),
  params: { least: 3 },
  map(line, emit) {
    emit(line, 1);
  },
  reduce(key: string, values: Iterable<number>, ctx: ReduceContext<{ least: number }>) {
    const many = Array.from(values).length;
    return many >= ctx.params.least ? key.length : undefined;
  },
});

export const collectionsWithParams = job({
  input: text(),
  params: { least: 3 },
  setup: () => new Map<string, number>(),
  collections: {
    all: { reduce: sum() },
    some: {
      reduce: (key: string, values: Iterable<number>, ctx: ReduceContext<{ least: number }>) =>
        key.length + Array.from(values).length + ctx.params.least,
    },
  },
  map(line, emit, ctx) {
    emit.all(line, ctx.params.least);
    emit.some(line, ctx.state.get(line) ?? 0);
    // @ts-expect-error no such parameter
    void ctx.params.most;
  },
});

export const generated = job({
  input: numbers(),
  map(record, emit) {
    expectType<number>()(record, true);
    emit(record % 10, record);
  },
  reduce: stats({ min: min(), mean: mean(), max: max() }),
});

export const nestedStats = job({
  input: numbers(),
  map(record, emit) {
    emit("slot", { stake: 1, win: { base: record, free: 0 } });
    emit("slot", { plays: 1, stake: 1, win: 5 });
    // @ts-expect-error a stake is needed
    emit("slot", { win: { base: record, free: 0 } });
    // @ts-expect-error one win is missing
    emit("slot", { stake: 1, win: { base: record } });
    // @ts-expect-error a win is a number
    emit("slot", { stake: 1, win: { base: "1", free: 0 } });
    // @ts-expect-error no such member
    emit("slot", { stake: 1, win: 5, log: 7 });
  },
  reduce: stats({
    plays: count(),
    stake: sum(),
    win: stats({ base: sum(), free: sum() }),
  }),
});

export const mixedStats = job({
  input: numbers(),
  map(record, emit) {
    emit("slot", { n: record, log: "a" });
    // @ts-expect-error the log takes texts, so a plain number cannot go to all
    emit("slot", 5);
  },
  reduce: stats({ n: sum(), log: collect<string>() }),
});

export const pairs = job({
  input: text(),
  map(line, emit) {
    emit("longest", [line.length, line]);
    // @ts-expect-error the item is a text
    emit("longest", [line.length, 5]);
  },
  reduce: argMax<string>(),
});

export const top = job({
  input: text(),
  map(line, emit) {
    emit(null, { word: line, n: 1 });
    // @ts-expect-error items have words
    emit(null, { n: 1 });
  },
  reduce: topK(10, { by: (item: { word: string; n: number }) => item.n }),
});

export const mapOnly = job({
  input: text(),
  map(line, emit) {
    if (line.includes("x")) emit(line);
  },
  output: tsv(),
});

export const sorted = job({ input: text(), map: (line, emit) => emit(line), order: "total" });

// @ts-expect-error no such order
export const wrongOrder = job({ input: text(), map: (line, emit) => emit(line), order: "random" });

// @ts-expect-error no input
export const withoutInput = job({ map() {}, reduce: sum() });

// @ts-expect-error a job with collections needs a map
export const withoutCollectionMap = job({ input: text(), collections: { a: { reduce: sum() } } });

export const annotatedEmit = job({
  input: text(),
  // @ts-expect-error this emit is not what the job gives
  map(line: string, emit: (key: string, value: string) => void) {
    emit(line, line);
  },
  reduce: sum(),
});

declare function orderLines(): Reader<{ customer: number; amount: number }>;

export const joined = job({
  inputs: { customers: rows(), orders: orderLines(), notes: text() },
  setup: () => new Map<string, number>(),
  params: { least: 3 },
  map: {
    customers(row, emit, ctx) {
      expectType<{ city: string; age: number }>()(row, true);
      expectType<Map<string, number>>()(ctx.state, true);
      expectType<number>()(ctx.params.least, true);
      expectType<string>()(ctx.input, true);
      emit(row.age, ["name", row.city]);
      // @ts-expect-error keys are numbers, as reduce says
      emit(row.city, ["name", row.city]);
    },
    orders(order, emit) {
      expectType<{ customer: number; amount: number }>()(order, true);
      emit(order.customer, ["amount", order.amount]);
      // @ts-expect-error no such side
      emit(order.customer, ["amount", "1"]);
      // @ts-expect-error that is a field of the other input
      emit(order.age, ["amount", 1]);
    },
    notes: (line, emit) => emit(line.length, ["name", line]),
  },
  *reduce(_id: number, sides: Iterable<readonly ["name", string] | readonly ["amount", number]>) {
    for (const side of sides) yield side[1];
  },
  teardown(ctx, emit) {
    emit(ctx.state.size, ["name", "all"]);
    // @ts-expect-error keys are numbers
    emit("a", ["name", "all"]);
  },
});

export const joinedSums = job({
  inputs: { customers: rows(), orders: orderLines() },
  map: {
    customers(row, emit) {
      emit(row.city, row.age);
      // @ts-expect-error a sum takes numbers
      emit(row.city, row.city);
    },
    *orders(order) {
      yield [order.customer, order.amount] as const;
    },
  },
  reduce: sum(),
});

export const joinedCollections = job({
  inputs: { customers: rows(), orders: orderLines() },
  collections: { ages: { reduce: mean() }, seen: { reduce: count() } },
  map: {
    customers(row, emit) {
      emit.ages(row.city, row.age);
      // @ts-expect-error a mean takes numbers
      emit.ages(row.city, row.city);
    },
    orders: (order, emit) => emit.seen(order.customer),
  },
});

export const noMapOfOrders = job({
  inputs: { customers: rows(), orders: orderLines() },
  // @ts-expect-error each input has its map
  map: { customers: (row, emit) => emit(row.city, 1) },
  reduce: sum(),
});

export const mapOfNoInput = job({
  inputs: { customers: rows() },
  map: {
    customers: (row, emit) => emit(row.city, 1),
    // @ts-expect-error no such input
    orders: () => {},
  },
  reduce: sum(),
});

// @ts-expect-error each input has a map of its own
export const oneMapForSeveral = job({
  inputs: { customers: rows(), orders: orderLines() },
  map: () => {},
  reduce: sum(),
});

export const generatedAmongSeveral = job({
  // @ts-expect-error only readers have paths
  inputs: { customers: rows(), made: numbers() },
  map: { customers: () => {}, made: () => {} },
  reduce: sum(),
});

// @ts-expect-error either one or several
export const inputAndInputs = job({ input: text(), inputs: { a: text() }, map: { a: () => {} } });

// @ts-expect-error nothing is read
export const noInput = job({ reduce: count() });
