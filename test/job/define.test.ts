import assert from "node:assert/strict";
import { test } from "node:test";
import { count } from "#src/aggregate/count.js";
import { sum } from "#src/aggregate/sum.js";
import { isSheafError } from "#src/base/errors.js";
import { job, jobOfInput } from "#src/job/define.js";
import type { Reader } from "#src/job/reader.js";
import type { Writer } from "#src/job/writer.js";

const input: Reader<string> = {
  kind: "text",
  framing: { kind: "delimiter", delimiter: Uint8Array.of(10) },
  decoder: () => ({ decode() {} }),
};
const output: Writer<unknown, unknown> = { kind: "tsv", extension: ".tsv", encoder: () => ({ write() {} }) };
const map = (): void => {};
const reduce = (key: string): string => key;

/** `job` without its types: what a JavaScript program, or a cast, may hand it. */
const untyped = job as unknown as (definition: unknown) => ReturnType<typeof job>;

const collection = (options: unknown): unknown => ({ input, map, collections: { a: options } });
const several = (inputs: Readonly<Record<string, unknown>>): unknown => ({
  inputs,
  map: Object.fromEntries(Object.keys(inputs).map((name) => [name, map])),
});
const circular: Record<string, unknown> = {};
circular["self"] = circular;

/** [what is wrong, the definition, the start of the message, a part of the hint] */
const refused: readonly (readonly [string, unknown, string, RegExp])[] = [
  ["nothing", undefined, "job(): undefined", /job\(\{/],
  ["an array", [], "job(): []", /object/],
  ["a misspelt field", { input, reducer: sum() }, "job.reducer: no such field", /"reduce"/],
  ["an unknown field", { input, flavour: 1 }, "job.flavour: no such field", /There are: name, input/],
  ["no input", { map }, "input: it is missing", /text\(\)/],
  [
    "a reader that was not called",
    { input: function text() {} },
    "input: function text",
    /Did you mean text\(\)/,
  ],
  ["an input that is none", { input: { kind: "x" } }, "input: ", /reader or a source/],
  ["a text as input", { input: "a.txt" }, 'input: "a.txt"', /reader or a source/],
  [
    "an input and inputs",
    { input, inputs: { a: input }, map },
    "inputs: the job has an input",
    /one of them/,
  ],
  ["a reader as inputs", { inputs: [input], map: { a: map } }, "inputs: [", /by name/],
  ["no inputs", { inputs: {}, map: {} }, "inputs: there are none", /by name/],
  ["a name with =", several({ "a=b": input }), 'inputs: "a=b" is no name', /letters/],
  ["a name with a path", several({ "./a": input }), 'inputs: "./a" is no name', /letters/],
  ["a number as name", several({ 1: input }), 'inputs: "1" is no name', /letters/],
  ["inputs that are no readers", several({ a: "a.csv" }), 'inputs.a: "a.csv"', /reader/],
  ["an input that was not called", several({ a: function csv() {} }), "inputs.a: function csv", /csv\(\)/],
  ["an input that is undefined", several({ a: undefined }), "inputs.a: it is missing", /reader/],
  [
    "generated records among inputs",
    several({ a: { kind: "generate", tasks: 1, records: map } }),
    "inputs.a: generated records have no path",
    /a job of their own/,
  ],
  ["inputs without map", { inputs: { a: input, b: input } }, "map: it is missing", /a\(record, emit\).* b\(/],
  ["one map for all inputs", { inputs: { a: input }, map }, "map: function map", /Give each input its own/],
  [
    "an input without map",
    { inputs: { a: input, toString: input }, map: { a: map } },
    "map.toString: it is missing",
    /toString\(record, emit\)/,
  ],
  [
    "a map of no input",
    { inputs: { a: input }, map: { a: map, b: map } },
    "map.b: no such field",
    /are: a\./,
  ],
  ["a map that is none", { inputs: { a: input }, map: { a: 5 } }, "map.a: 5 is no function", /: a\(\.\.\.\)/],
  ["an empty name", { input, name: " " }, 'name: " "', /not empty/],
  ["a name that is no text", { input, name: 5 }, "name: 5", /text/],
  ["a fraction as seed", { input, seed: 0.5 }, "seed: 0.5", /integer/],
  ["a map that is no function", { input, map: 5 }, "map: 5", /method/],
  ["a setup that is no function", { input, setup: {} }, "setup: {}", /method/],
  ["a teardown that is no function", { input, teardown: 1 }, "teardown: 1", /method/],
  ["an expect that is no function", { input, expect: true }, "expect: true", /method/],
  ["a reduce that is neither", { input, reduce: {} }, "reduce: {}", /sum\(\)/],
  ["an aggregator's name", { input, reduce: "sum" }, 'reduce: "sum"', /sum\(\)/],
  [
    "combine with an aggregator",
    { input, reduce: sum(), combine: map },
    "combine: the reduce is an aggr",
    /Leave it out/,
  ],
  [
    "combine without reduce",
    { input, combine: map, order: "hash" },
    "combine: there is no reduce",
    /Leave it out/,
  ],
  ["combine as an aggregator", { input, reduce, combine: sum() }, "combine: { kind", /method/],
  ["partition as a number", { input, reduce, partition: 3 }, "partition: 3", /method/],
  ["no partitions", { input, reduce, partitions: 0 }, "partitions: 0 is out of range", /from 1 to 10000/],
  ["too many partitions", { input, reduce, partitions: 10_001 }, "partitions: 10001", /from 1 to 10000/],
  ["half a partition", { input, reduce, partitions: 1.5 }, "partitions: 1.5", /integer/],
  ["partitions as text", { input, reduce, partitions: "4" }, 'partitions: "4"', /integer/],
  ["groupBy 0", { input, reduce, groupBy: 0 }, "groupBy: 0", /at least 1/],
  ["a misspelt order", { input, reduce, order: "totl" }, 'order: "totl"', /Did you mean "total"/],
  ["an order that is no text", { input, reduce, order: true }, "order: true", /"hash" or "total"/],
  [
    "two ways to partition",
    { input, order: "total", partition: map },
    'partition: order is "total"',
    /one of the two/,
  ],
  [
    "partitions without shuffle",
    { input, map, partitions: 4 },
    "partitions: there is no reduce",
    /order: "hash"/,
  ],
  ["groupBy without shuffle", { input, map, groupBy: 1 }, "groupBy: there is no reduce", /order: "hash"/],
  [
    "a writer that was not called",
    { input, output: function tsv() {} },
    "output: function tsv",
    /Did you mean tsv\(\)/,
  ],
  ["an output that is none", { input, output: "out" }, 'output: "out"', /writer/],
  ["params that are no object", { input, params: [1] }, "params: [1]", /names/],
  [
    "a function in params",
    { input, params: { a: { f: map } } },
    "params: not plain data at params.a.f",
    /plain JSON/,
  ],
  [
    "a date in params",
    { input, params: { a: [new Date(0)] } },
    "params: not plain data at params.a[0]",
    /plain JSON/,
  ],
  [
    "NaN in params",
    { input, params: { a: Number.NaN } },
    "params: not plain data at params.a: NaN",
    /plain JSON/,
  ],
  [
    "a cycle in params",
    { input, params: circular },
    "params: not plain data at params.self: contains",
    /plain JSON/,
  ],
  ["aux that is no object", { input, aux: "x" }, 'aux: "x"', /file/],
  ["a function as aux", { input, aux: { f: map } }, "aux.f: function map", /Import functions/],
  ["collections as an array", { input, map, collections: [] }, "collections: []", /byCity/],
  ["no collections", { input, map, collections: {} }, "collections: there are none", /at least one/],
  ["collections without map", { input, collections: { a: {} } }, "map: a job with collections", /Only map/],
  ["a name with a slash", { input, map, collections: { "a/b": {} } }, 'collections: "a/b"', /letter/],
  ["a name with a dot", { input, map, collections: { "..": {} } }, 'collections: ".."', /letter/],
  ["a name that starts with _", { input, map, collections: { _bad: {} } }, 'collections: "_bad"', /letter/],
  [
    "names apart by case",
    { input, map, collections: { ab: {}, aB: {} } },
    'collections: "ab" and "aB"',
    /Rename/,
  ],
  ["an aggregator as collection", collection(5), "collections.a: 5", /a: \{ reduce/],
  [
    "reduce beside collections",
    { input, map, reduce, collections: { a: {} } },
    "reduce: a job with coll",
    /Move it/,
  ],
  [
    "a misspelt field in one",
    collection({ partition_s: 4 }),
    "collections.a.partition_s: no such",
    /partitions/,
  ],
  ["a wrong field in one", collection({ reduce, partitions: -1 }), "collections.a.partitions: -1", /integer/],
  [
    "combine in one",
    collection({ reduce: count(), combine: map }),
    "collections.a.combine: the reduce",
    /Leave/,
  ],
];

for (const [what, definition, message, hint] of refused) {
  test(`job() refuses ${what}, naming the field`, () => {
    assert.throws(
      () => untyped(definition),
      (error: unknown) => {
        assert.ok(isSheafError(error));
        assert.equal(error.code, "JOB_INVALID");
        assert.ok(error.message.startsWith(message), error.message);
        assert.match(error.hint ?? "", hint);
        return true;
      },
    );
  });
}

test("job() fills in what is left out", () => {
  const { collections, ...made } = job({ input });
  assert.deepEqual(made, {
    sheaf: "job",
    name: undefined,
    input,
    inputName: "",
    inputs: [],
    named: false,
    map: undefined,
    setup: undefined,
    teardown: undefined,
    params: {},
    aux: {},
    files: [],
    stores: {},
    expect: undefined,
    seed: 0,
  });
  assert.deepEqual(collections, [
    {
      name: "",
      aggregator: undefined,
      reduce: undefined,
      combine: undefined,
      partition: undefined,
      partitions: undefined,
      order: "hash",
      groupBy: undefined,
      output: undefined,
      mapOnly: true,
    },
  ]);
});

test("a job of several inputs is seen by the tasks of each with its reader and its map", () => {
  const [a, b] = [(): void => {}, (): void => {}];
  const other = { ...input, kind: "other" };
  const made = job({ inputs: { a: input, b: other }, map: { a, b }, name: "both", reduce: count() });
  assert.deepEqual(
    [made.name, made.inputName, made.inputs.map(({ inputName }) => inputName)],
    ["both", "", ["a", "b"]],
  );
  const seen = [0, 1].map((index) => jobOfInput(made, index));
  assert.deepEqual(
    seen.map((one) => [one.inputName, one.input, one.map, one.inputs, one.collections === made.collections]),
    [
      ["a", input, a, [], true],
      ["b", other, b, [], true],
    ],
  );
  for (const one of seen) assert.equal(jobOfInput(one, 1), one);
  for (const input of [2, undefined]) assert.throws(() => jobOfInput(made, input), { code: "INTERNAL" });
});

test("job() tells aggregators from functions, and map-only from sorting", () => {
  const aggregator = sum();
  const [plan] = job({ input, reduce: aggregator, output, partitions: 10_000 }).collections;
  assert.ok(
    plan!.aggregator === aggregator &&
      plan!.reduce === undefined &&
      plan!.output === output &&
      !plan!.mapOnly,
  );
  const free = job({ input, reduce, combine: reduce, groupBy: 2 }).collections[0]!;
  assert.ok(
    free.aggregator === undefined && free.reduce === reduce && free.combine === reduce && free.groupBy === 2,
  );
  for (const order of ["hash", "total"] as const) {
    const sorted = job({ input, order }).collections[0]!;
    assert.ok(sorted.order === order && !sorted.mapOnly);
  }
});

test("job() keeps collections in the order they are written, and cannot be changed after", () => {
  const made = job({
    input,
    map,
    collections: { b: { reduce: count() }, a: { reduce: sum() }, "c-1_x": {} },
  });
  assert.deepEqual(
    made.collections.map((plan) => plan.name),
    ["b", "a", "c-1_x"],
  );
  assert.deepEqual(
    made.collections.map((plan) => plan.mapOnly),
    [false, false, true],
  );
  assert.ok(
    made.named &&
      Object.isFrozen(made) &&
      Object.isFrozen(made.collections) &&
      Object.isFrozen(made.collections[0]),
  );
});
