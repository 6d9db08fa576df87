import assert, { AssertionError } from "node:assert/strict";
import { test } from "node:test";
import { collect } from "#src/aggregate/collect.js";
import { count } from "#src/aggregate/count.js";
import { first } from "#src/aggregate/first-last.js";
import { mean } from "#src/aggregate/mean.js";
import { quantiles } from "#src/aggregate/quantiles.js";
import { stats } from "#src/aggregate/stats.js";
import { sum } from "#src/aggregate/sum.js";
import { topK } from "#src/aggregate/top-k.js";
import { job } from "#src/job/define.js";
import type { Job } from "#src/job/job-plan.js";
import type { ReduceContext } from "#src/job/job.js";
import type { TestInput, TestJobOptions } from "#src/testing/test-job.js";
import { testOnRecords } from "#src/testing/test-job.js";
import { reader } from "./reader.js";

const lines = ["the cat", "the dog and the cat", "", "a dog", "and the cat and the dog"];
const ages = Array.from({ length: 40 }, (_, i) => ({
  city: ["Bern", "Chur", "Zug"][i % 3]!,
  age: (i * 7) % 50,
}));

const wordCount = job({
  input: reader<string>(),
  *map(line, _emit, ctx) {
    ctx.count("lines");
    for (const word of line.split(" ")) if (word !== "") yield [word, 1];
  },
  reduce: sum(),
});

/** Asserts that testJob refuses the job, with a message that matches and the seed. */
async function fails(
  tested: Job,
  input: TestInput,
  message: RegExp,
  options?: TestJobOptions,
): Promise<void> {
  await assert.rejects(testOnRecords(tested, input, options), (error: unknown) => {
    assert.ok(error instanceof AssertionError, String(error));
    assert.match(error.message, message);
    assert.match(error.message, /\(seed \d+, round \d+\)$/);
    return true;
  });
}

test("a right job passes and gives its results in key order, and its counters", async () => {
  const result = await testOnRecords(wordCount, lines);
  assert.deepEqual(result.results, [
    ["a", 1],
    ["and", 3],
    ["cat", 3],
    ["dog", 3],
    ["the", 5],
  ]);
  assert.deepEqual(result.counters, { lines: 5 });
  assert.deepEqual(result.collections, {});
});

test("no records give no results", async () => {
  assert.deepEqual((await testOnRecords(wordCount, [])).results, []);
});

test("records come from arrays, iterables, async iterables and objects with a path", async () => {
  const places = job({
    input: reader<string>(),
    map: (line, _emit, ctx) => [[`${ctx.path}:${ctx.offset}`, line]],
    reduce: first<string>(),
  });
  async function* stream(): AsyncGenerator<string> {
    yield* ["x", "y"];
  }
  const wanted = [
    ["records:0", "x"],
    ["records:1", "y"],
  ];
  for (const input of [["x", "y"], new Set(["x", "y"]), stream()]) {
    assert.deepEqual((await testOnRecords(places, input)).results, wanted);
  }
  const { results } = await testOnRecords(places, { records: ["x"], path: "a.txt" });
  assert.deepEqual(results, [["a.txt:0", "x"]]);
  for (const bad of ["a line", 5, {}, { records: "a line" }, undefined] as unknown[]) {
    await assert.rejects(testOnRecords(places, bad as TestInput), { code: "USAGE", message: /^testJob: / });
  }
});

test("collections, aggregators of all kinds, and free-form reduces with a right combiner pass", async () => {
  const many = job({
    input: reader<{ city: string; age: number }>(),
    collections: {
      byCity: { reduce: count() },
      byAge: { reduce: stats({ mean: mean(), q: quantiles([0.5]) }), partitions: 4 },
      oldest: { reduce: topK<number>(2) },
      inOrder: { reduce: collect<number>() },
      longest: {
        reduce: (_key: string, values: Iterable<number>) => Math.max(...values),
        combine: (_key: string, values: Iterable<number>) => Math.max(...values),
      },
      thirds: {
        *reduce(key: number, values: Iterable<number>, ctx: ReduceContext) {
          let total = 0;
          for (const value of values) total += value;
          yield total;
          ctx.emit("all", key);
          ctx.count("thirds");
        },
        *combine(_key: number, values: Iterable<number>) {
          for (const value of values) yield value;
        },
      },
    },
    map({ city, age }, emit) {
      emit.byCity(city);
      emit.byAge(city, age);
      emit.oldest(city, age);
      emit.inOrder(city, age);
      emit.longest(city, age);
      emit.thirds(age % 3, age / 10);
    },
  });
  const { collections, results, counters } = await testOnRecords(many, ages);
  const chur = ages.filter(({ city }) => city === "Chur").map(({ age }) => age);
  assert.deepEqual(results, []);
  assert.deepEqual(collections["byCity"], [
    ["Bern", 14],
    ["Chur", 13],
    ["Zug", 13],
  ]);
  assert.deepEqual(collections["inOrder"]![1], ["Chur", chur]);
  assert.deepEqual(collections["oldest"]![1], ["Chur", chur.toSorted((a, b) => b - a).slice(0, 2)]);
  assert.deepEqual(collections["longest"]![1], ["Chur", Math.max(...chur)]);
  assert.deepEqual(collections["thirds"]!.slice(3), [
    ["all", 0],
    ["all", 1],
    ["all", 2],
  ]);
  assert.equal(counters["thirds"], 3);
});

test("a combiner that is not associative is found, by key", async () => {
  const average = (_key: string, values: Iterable<number>): number => {
    const all = [...values];
    return all.reduce((a, b) => a + b, 0) / all.length;
  };
  const wrong = job({
    input: reader<{ city: string; age: number }>(),
    map: (row, emit) => emit(row.city, row.age),
    reduce: average,
    combine: average,
  });
  await fails(
    wrong,
    ages,
    /^testJob: key "\w+": the result depends on where values are combined: in one piece \d/,
  );
  await fails(wrong, ages, /\(seed 7, round 1\)$/, { seed: 7 });
});

test("a combiner that counts its own results as values is found", async () => {
  const wrong = job({
    input: reader<string>(),
    map: (line, emit) => emit(line.length, line),
    reduce: (_key: number, values: Iterable<string>) => [...values].length,
    combine: (_key, values) => [...values].join(),
  });
  await fails(
    wrong,
    ["a", "b", "c", "d", "e"],
    /key 1: the result depends on where values are combined: in one piece 5/,
  );
});

test("an aggregator that breaks the laws of a monoid is found", async () => {
  const noIdentity = { ...collect<number>(), merge: (left: { values: number[]; bytes: number }) => left };
  const wrong = job({ input: reader<number>(), map: (n, emit) => emit(n % 2, n), reduce: noIdentity });
  await fails(wrong, [1, 2, 3, 4, 5, 6, 7, 8], /where values are combined/);
  const claims = job({
    input: reader<number>(),
    map: (n, emit) => emit(n % 2, n),
    reduce: { ...first<number>(), commutative: true },
  });
  await fails(claims, [1, 2, 3, 4, 5, 6, 7, 8], /the result depends on the order of values/);
});

test("a map that keeps state across records is found, one that empties it in teardown passes", async () => {
  const running = job({
    input: reader<string>(),
    setup: () => ({ seen: 0 }),
    map(line, emit, ctx) {
      ctx.state.seen++;
      emit(line, ctx.state.seen);
    },
    reduce: sum(),
  });
  await fails(running, ["a", "b", "c", "d"], /key "\w": the result depends on how the input is split/);
  const buffered = job({
    input: reader<string>(),
    setup: () => ({ seen: 0 }),
    map(_line, _emit, ctx) {
      ctx.state.seen++;
    },
    teardown: (ctx, emit) => emit("seen", ctx.state.seen),
    reduce: sum(),
  });
  assert.deepEqual((await testOnRecords(buffered, lines)).results, [["seen", 5]]);
});

test("a map-only job that depends on splits is found at its record", async () => {
  const numbered = job({ input: reader<string>(), map: (line, emit, ctx) => emit(line, ctx.index) });
  await fails(numbered, ["a", "b", "c"], /record \d: the result depends on how the input is split/);
  const right = job({ input: reader<string>(), map: (line, emit) => emit(line.length, line) });
  assert.deepEqual(
    (await testOnRecords(right, ["bb", "a"])).results,
    [
      [2, "bb"],
      [1, "a"],
    ],
    "in the order of the records",
  );
});

test("a reduce that keeps state across keys is found", async () => {
  // Reset by a key that comes first in a partition: the same in every run with the same partitions.
  let before = "";
  const chained = job({
    input: reader<string>(),
    setup() {
      before = "";
    },
    map: (line, emit) => emit(line, 1),
    reduce(key: string, _values: Iterable<number>, ctx: ReduceContext) {
      const answer = `${ctx.index} ${before}`;
      before = key;
      return answer.slice(0, 1);
    },
  });
  await fails(chained, ["a", "b", "c", "d"], /key "\w": the result depends on the number of partitions/);
});

test("a partition function that tears groups apart is found", async () => {
  const torn = job({
    input: reader<[string, number]>(),
    map: (pair, emit) => emit(pair, 1),
    groupBy: 1,
    partition: (key, partitions) => key[1] % partitions,
    reduce: (_key: readonly [string, number], values: Iterable<number>) => [...values].length,
  });
  const pairs: [string, number][] = [
    ["a", 1],
    ["a", 2],
    ["b", 3],
    ["b", 5],
    ["b", 8],
  ];
  await fails(torn, pairs, /key \["\w"\]: the result depends on the number of partitions/);
});

test("a partition function that names no partition is refused with the key", async () => {
  for (const answer of [Number.NaN, -1, 99, 1.5, Promise.resolve(0)]) {
    const wrong = job({ input: reader<string>(), reduce: count(), partition: () => answer as number });
    await assert.rejects(testOnRecords(wrong, ["a"]), {
      code: "PARTITION_INVALID",
      message: /^partition\("a", 1\) gave/,
    });
  }
});

test("a free-form reduce may depend on the order of values, unless it is tested as free of it", async () => {
  const joined = job({
    input: reader<string>(),
    map: (line, emit) => emit(line.length, line),
    reduce: (_key: number, values: Iterable<string>) => [...values].join(""),
  });
  const input = ["a", "b", "c", "dd"];
  assert.deepEqual((await testOnRecords(joined, input)).results, [
    [1, "abc"],
    [2, "dd"],
  ]);
  await fails(joined, input, /key 1: the result depends on the order of values/, { orderFree: true });
});

test("a job that is different every time is found", async () => {
  let calls = 0;
  const random = job({ input: reader<string>(), map: (line, emit) => emit(line, calls++), reduce: sum() });
  await fails(random, ["a"], /key "a": the result changes from run to run: in one piece 0, here 1/);
});

test("keys that come and go are shown as nothing", async () => {
  let calls = 0;
  const growing = job({
    input: reader<string>(),
    map: (_line, emit) => emit(calls++ > 0 ? "b" : "a"),
    reduce: count(),
  });
  await fails(growing, ["x"], /key "a": .*in one piece 1, here nothing/);
});

test("floats of free-form reduces may differ within the tolerance, of aggregators not", async () => {
  const total = (_key: string, values: Iterable<number>): number => {
    let result = 0;
    for (const value of values) result += value;
    return result;
  };
  const floats = job({
    input: reader<number>(),
    map: (n, emit) => emit("all", n),
    reduce: total,
    combine: total,
  });
  const numbers = Array.from({ length: 50 }, (_, i) => 0.1 * i);
  await testOnRecords(floats, numbers);
  await fails(floats, numbers, /where values are combined/, { tolerance: 0 });
  const exact = job({ input: reader<number>(), map: (n, emit) => emit("all", n), reduce: sum() });
  await testOnRecords(exact, numbers);
  const bad = {
    ...sum(),
    result: (row: Float64Array) => row[0]!,
    merge: (a: Float64Array, b: Float64Array) => a.map((x, i) => x + b[i]!),
  };
  await fails(
    job({ input: reader<number>(), map: (n, emit) => emit("all", n), reduce: bad }),
    numbers,
    /key "all"/,
  );
});

const join = job({
  inputs: { names: reader<[id: number, name: string]>(), ages: reader<[id: number, age: number]>() },
  setup: () => ({ seen: 0 }),
  map: {
    *names([id, name], _emit, ctx) {
      ctx.state.seen++;
      yield [id, `${ctx.input} ${name}`];
    },
    ages([id, age], emit, ctx) {
      ctx.state.seen++;
      emit(id, `${ctx.input} ${age} ${ctx.path}`);
    },
  },
  teardown(ctx) {
    ctx.count(ctx.input, ctx.state.seen);
  },
  reduce: (_id: number, sides: Iterable<string>) => [...sides].join(", "),
});

test("a job of several inputs is tested on the records of each, in the order of the inputs", async () => {
  const ages = {
    records: [
      [2, 30],
      [1, 40],
      [2, 31],
    ],
    path: "ages.txt",
  };
  const { results, counters } = await testOnRecords(join, {
    ages,
    names: [
      [1, "Ada"],
      [2, "Bo"],
    ],
  });
  assert.deepEqual(results, [
    [1, "names Ada, ages 40 ages.txt"],
    [2, "names Bo, ages 30 ages.txt, ages 31 ages.txt"],
  ]);
  assert.deepEqual(counters, { names: 2, ages: 3 });
  assert.deepEqual((await testOnRecords(join, { ages: [[1, 1]], names: [] })).results, [
    [1, "ages 1 records"],
  ]);
});

test("records of inputs that the job does not have, or lacks, are refused", async () => {
  const wrong: readonly [TestInput | undefined, RegExp][] = [
    [undefined, /no records for input "names"/],
    [[[1, "Ada"]], /no records for input "names"/],
    [{ names: [] }, /no records for input "ages"/],
    [{ names: [], ages: [], agse: [] }, /the job has no input "agse"/],
  ];
  for (const [input, message] of wrong) {
    await assert.rejects(testOnRecords(join, input), {
      code: "USAGE",
      message,
      hint: /names: \[\.\.\.\], ages/,
    });
  }
});
