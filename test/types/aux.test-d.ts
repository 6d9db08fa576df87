// Compiled, never run: what must compile does, and each @ts-expect-error marks what must not.
import { count } from "#src/aggregate/count.js";
import { sum } from "#src/aggregate/sum.js";
import { csv } from "#src/format/csv.js";
import { jsonArray } from "#src/format/json-array.js";
import { jsonl } from "#src/format/jsonl.js";
import { text } from "#src/format/text.js";
import { tsv } from "#src/format/tsv.js";
import { table } from "#src/job/aux.js";
import { job } from "#src/job/define.js";
import type { ReduceContext } from "#src/job/job.js";
import type { Reader } from "#src/job/reader.js";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function expectType<Wanted>(): <Got>(got: Got, same: Equal<Wanted, Got>) => void;
declare function points(): Reader<{ x: number; label?: string }>;

interface Rate {
  code: string;
  rate: number;
}

export const everyKind = job({
  input: text(),
  params: { factor: 2 },
  aux: {
    customers: csv("customers.csv", { columns: { id: "number", name: "string" } }).by("id"),
    plain: csv("plain.csv").by("name"),
    rates: jsonl<Rate>("rates.jsonl").by((row) => row.code),
    lists: tsv(["a.tsv", "b/*.tsv"], { header: true }).by("code", { duplicates: "list" }),
    arrays: tsv("a.tsv").by(0),
    rows: jsonArray<Rate>("rates.json"),
    lines: text("words.txt").list(),
    points: table("points.bin", points()).by("x"),
    labels: table("points.bin", points()).by((row) => row.label ?? ""),
    untyped: jsonl("any.jsonl").by("id"),
    stop: ["the", "and"],
    limit: 7,
    bytes: { file: "model.bin", as: "bytes" },
    words: { file: "words.txt", as: "text" },
    where: { file: "geo.mmdb", as: "path" },
    json: { file: "x.json" },
    models: { files: "models/*.bin", as: "bytes" },
    texts: { files: ["a.txt", "b.txt"], as: "text" },
  },
  setup(ctx) {
    expectType<number>()(ctx.aux.limit, true);
    return new Set(ctx.aux.stop);
  },
  map(line, emit, ctx) {
    expectType<ReadonlyMap<number, { readonly id: number; readonly name: string }>>()(
      ctx.aux.customers,
      true,
    );
    expectType<ReadonlyMap<string, Readonly<Record<string, string>>>>()(ctx.aux.plain, true);
    expectType<ReadonlyMap<string, Rate>>()(ctx.aux.rates, true);
    expectType<ReadonlyMap<string, readonly Readonly<Record<string, string>>[]>>()(ctx.aux.lists, true);
    expectType<ReadonlyMap<string, readonly string[]>>()(ctx.aux.arrays, true);
    expectType<readonly Rate[]>()(ctx.aux.rows, true);
    expectType<readonly string[]>()(ctx.aux.lines, true);
    expectType<ReadonlyMap<number, { x: number; label?: string }>>()(ctx.aux.points, true);
    expectType<ReadonlyMap<string, { x: number; label?: string }>>()(ctx.aux.labels, true);
    expectType<ReadonlyMap<string | number | bigint | boolean, unknown>>()(ctx.aux.untyped, true);
    expectType<string[]>()(ctx.aux.stop, true);
    expectType<Uint8Array>()(ctx.aux.bytes, true);
    expectType<string>()(ctx.aux.words, true);
    expectType<string>()(ctx.aux.where, true);
    expectType<unknown>()(ctx.aux.json, true);
    expectType<ReadonlyMap<string, Uint8Array>>()(ctx.aux.models, true);
    expectType<ReadonlyMap<string, string>>()(ctx.aux.texts, true);
    expectType<number>()(ctx.params.factor, true);
    expectType<Set<string>>()(ctx.state, true);
    // @ts-expect-error ids are numbers
    ctx.aux.customers.get(line);
    // @ts-expect-error there is no such side data
    void ctx.aux.customer;
    // @ts-expect-error nobody changes side data
    ctx.aux.customers.set(1, { id: 1, name: "" });
    emit(ctx.aux.customers.get(line.length)?.name ?? "", 1);
  },
  reduce: sum(),
});

// @ts-expect-error rows have no such column
csv("customers.csv", { columns: { id: "number" } }).by("name");
// @ts-expect-error a list is no key: Maps compare it by identity
csv("customers.csv").by((row) => [row["id"]]);
// @ts-expect-error rows that are arrays have numbers
tsv("a.tsv").by("id");
// @ts-expect-error what happens with duplicates is one of four words
csv("customers.csv").by("id", { duplicates: "keep" });

export const inReduce = job({
  input: text(),
  aux: { names: csv("names.csv", { columns: { id: "number", name: "string" } }).by("id") },
  map(line, emit) {
    emit(line, line.length);
  },
  reduce(
    key: string,
    values: Iterable<number>,
    ctx: ReduceContext<object, unknown, { names: ReadonlyMap<number, { name: string }> }>,
  ) {
    expectType<{ name: string } | undefined>()(ctx.aux.names.get(1), true);
    return key + [...values].join();
  },
});

export const withCollections = job({
  inputs: { left: csv(), right: jsonl<Rate>() },
  aux: { rates: jsonArray<Rate>("rates.json").by("code"), stop: ["a"] },
  collections: { codes: { reduce: count() }, rates: { reduce: sum() } },
  map: {
    left(row, emit, ctx) {
      expectType<ReadonlyMap<string, Rate>>()(ctx.aux.rates, true);
      emit.codes(row["code"] ?? "");
    },
    right(row, emit, ctx) {
      emit.rates(row.code, ctx.aux.rates.get(row.code)?.rate ?? 0);
    },
  },
});

export const asBefore = job({
  input: text(),
  aux: { words: ["a"], table: { file: "t.json" } },
  map(line, emit, ctx) {
    const words = ctx.aux["words"] as string[];
    const { x } = ctx.aux["table"] as { x: number };
    if (words.includes(line)) emit(line, x);
  },
  reduce: sum(),
});

export const withoutAux = job({
  input: text(),
  map(line, emit, ctx) {
    expectType<unknown>()(ctx.aux["anything"], true);
    emit(line);
  },
  reduce: count(),
});
