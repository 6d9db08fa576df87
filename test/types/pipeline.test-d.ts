// Compiled, never run: what must compile does, and each @ts-expect-error marks what must not.
import { count } from "#src/aggregate/count.js";
import { mean } from "#src/aggregate/mean.js";
import { sum } from "#src/aggregate/sum.js";
import { job } from "#src/job/define.js";
import type { Key } from "#src/job/key.js";
import type { Reader } from "#src/job/reader.js";
import { from } from "#src/steps/from.js";
import { pipeline, step } from "#src/steps/pipeline.js";

declare function text(): Reader<string>;

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function expectType<Wanted>(): <Got>(got: Got, same: Equal<Wanted, Got>) => void;

interface Visit {
  readonly page: string;
  readonly ms: number;
}

const clean = job({ input: text(), map: (line): [string, Visit][] => [[line, { page: line, ms: 1 }]] });

export const reader = job({
  input: from(clean),
  map(record, emit) {
    expectType<readonly [key: string, value: Visit]>()(record, true);
    emit(record[1].page, record[1].ms);
  },
  reduce: sum(),
});

const many = job({
  input: text(),
  collections: {
    byPage: { reduce: mean() },
    told: { reduce: (key: string, values: Iterable<number>) => ({ key, all: [...values] }) },
    each: {
      *reduce(_key: number, values: Iterable<number>) {
        for (const value of values) yield String(value);
      },
    },
  },
  map(line, emit) {
    emit.byPage(line, 1);
    emit.told(line, 1);
    emit.each(1, 1);
  },
});

export const ofCollection = job({
  inputs: { told: from(many, "told"), each: from(many, "each"), pages: from(many, "byPage") },
  map: {
    told([key, value], emit) {
      expectType<string>()(key, true);
      expectType<{ key: string; all: number[] }>()(value, true);
      emit(key);
    },
    each([key, value], emit) {
      expectType<number>()(key, true);
      expectType<string>()(value, true);
      emit(key);
    },
    pages([key, value], emit) {
      expectType<Key>()(key, true);
      expectType<number | null>()(value, true);
      emit(key);
    },
  },
  reduce: count(),
});

// @ts-expect-error there is no such collection
from(many, "tolds");

export const named = from("clean");
expectType<readonly [key: Key, value: unknown] | undefined>()(recordOf(named), true);
export const namedByType = from<typeof clean>("clean");
expectType<readonly [key: string, value: Visit] | undefined>()(recordOf(namedByType), true);
export const told = from<{ id: number }>("script", "rows");
expectType<{ id: number } | undefined>()(recordOf(told), true);

declare function recordOf<R>(reader: Reader<R>): R | undefined;

export const inGroups = pipeline(
  { clean: step(clean, { keep: true }), many },
  (from) => ({
    visits: job({
      input: from("clean"),
      map([page, visit], emit) {
        expectType<Visit>()(visit, true);
        emit(page, visit.ms);
      },
      reduce: sum(),
    }),
  }),
  (from) => ({
    // @ts-expect-error no step is called so
    wrong: job({ input: from("visit") }),
    last: job({
      inputs: { visits: from("visits"), told: from("many", "told") },
      map: {
        visits([, ms], emit) {
          expectType<number>()(ms, true);
          emit("visits", ms);
        },
        told([key], emit) {
          expectType<string>()(key, true);
          emit(key, 1);
        },
      },
      reduce: sum(),
    }),
  }),
);

export const one = pipeline({ clean, reader, many, ofCollection });
// @ts-expect-error a reader is no step
export const wrong = pipeline({ clean: text() });
