import assert from "node:assert/strict";
import { test } from "node:test";
import { collect } from "#src/aggregate/collect.js";
import { count } from "#src/aggregate/count.js";
import { job } from "#src/job/define.js";
import type { Key } from "#src/job/key.js";
import type { Source } from "#src/job/reader.js";
import { interpret } from "#src/testing/interpret.js";
import { testOnRecords } from "#src/testing/test-job.js";
import { reader } from "./reader.js";

test("secondary sort gives values in the order of whole keys, under the prefix", async () => {
  const latest = job({
    input: reader<[string, number]>(),
    map: (pair, emit) => emit(pair, pair[1] * 10),
    groupBy: 1,
    reduce: (key: readonly [string, number], values: Iterable<number>) =>
      `${key.length} ${[...values].join()}`,
  });
  const { results } = await testOnRecords(latest, [
    ["b", 2],
    ["a", 3],
    ["b", 1],
    ["a", 10],
  ]);
  assert.deepEqual(results, [
    [["a"], "1 30,100"],
    [["b"], "1 10,20"],
  ]);
  const short = job({ input: reader<string>(), groupBy: 1, reduce: count() });
  await assert.rejects(testOnRecords(short, ["a"]), {
    code: "KEY_INVALID",
    message: /groupBy is 1, but "a"/,
  });
});

test("sorting without a reduce keeps every value, equal keys in the order of the input", async () => {
  const sorted = job({
    input: reader<Key>(),
    map: (key, emit, ctx) => emit(key, ctx.offset),
    order: "total",
  });
  const keys: Key[] = ["b", 2, "a", null, 1, "b", [1], "\u{1F600}", "\uFF5E", true, Uint8Array.of(1), 2];
  const { results } = await testOnRecords(sorted, keys);
  const wanted: Key[] = [null, true, 1, 2, 2, "a", "b", "b", "\uFF5E", "\u{1F600}", Uint8Array.of(1), [1]];
  assert.deepEqual(
    results.map(([key]) => key),
    wanted,
  );
  assert.deepEqual(
    results.filter(([key]) => key === 2 || key === "b").map(([, at]) => at),
    [1, 11, 0, 5],
  );
});

test("generated input needs no records", async () => {
  const source: Source<number> = {
    kind: "generate",
    tasks: 3,
    *records({ index, random }) {
      for (let i = 0; i < 4; i++) yield index * 10 + Math.floor(random() * 2);
    },
  };
  const spins = job({ input: source, map: (n, emit) => emit(Math.floor(n / 10), 1), reduce: count() });
  assert.deepEqual((await testOnRecords(spins)).results, [
    [0, 4],
    [1, 4],
    [2, 4],
  ]);
  assert.deepEqual((await testOnRecords(spins, [10, 11])).results, [[1, 2]]);
});

test("params and aux can be given, and aux files must be", async () => {
  const filtered = job({
    input: reader<string>(),
    params: { least: 3 },
    aux: { stop: { file: "stop.txt" } },
    map(line, emit, ctx) {
      if (line.length >= ctx.params.least && !(ctx.aux["stop"] as string[]).includes(line)) emit(line);
    },
    reduce: count(),
  });
  const { results } = await testOnRecords(filtered, ["a", "bb", "cc"], {
    params: { least: 2 },
    aux: { stop: ["cc"] },
  });
  assert.deepEqual(results, [["bb", 1]]);
  await assert.rejects(testOnRecords(filtered, ["a"]), {
    code: "USAGE",
    message: /no content for aux\.stop/,
  });
});

test("a map that emits after its task ended is refused", async () => {
  let late: (() => void) | undefined;
  const leaky = job({
    input: reader<string>(),
    map(line, emit) {
      late = () => emit(line);
    },
    reduce(_key: string, values: Iterable<undefined>) {
      return [...values].length;
    },
  });
  await testOnRecords(leaky, ["a"]);
  assert.throws(late!, { code: "EMIT_LATE", message: /"a"/ });
});

test("async user functions are awaited", async () => {
  const slow = job({
    input: reader<string>(),
    setup: async () => ({ add: await Promise.resolve(2) }),
    async map(line, emit, ctx) {
      await Promise.resolve();
      emit(line, ctx.state.add);
    },
    async reduce(key: string, values: Iterable<number>) {
      await Promise.resolve();
      return [key, ...values];
    },
  });
  assert.deepEqual((await testOnRecords(slow, ["b", "a", "b"])).results, [
    ["a", ["a", 2]],
    ["b", ["b", 2, 2]],
  ]);
});

test("values are what they were when emitted, and reduces cannot change those of others", async () => {
  const reused = job({
    input: reader<number>(),
    setup: () => ({ box: { n: 0 } }),
    map(n, emit, ctx) {
      ctx.state.box.n = n;
      emit("all", ctx.state.box);
    },
    reduce(_key: string, values: Iterable<{ n: number }>) {
      let total = 0;
      for (const value of values) {
        total += value.n;
        value.n = 1000;
      }
      return total;
    },
  });
  assert.deepEqual((await testOnRecords(reused, [1, 2, 3])).results, [["all", 6]]);
});

test("errors of the job name the record or the key", async () => {
  const fault = (): never => {
    throw new TypeError("no such thing");
  };
  const inMap = job({
    input: reader<string>(),
    map: (line) => (line === "b" ? fault() : undefined),
    reduce: count(),
  });
  await assert.rejects(testOnRecords(inMap, ["a", "b"]), (error: Error & { code: string }) => {
    assert.equal(error.code, "USER_CODE");
    assert.equal(error.message, 'map, record "b" at records:1: no such thing');
    assert.ok(error.cause instanceof TypeError);
    return true;
  });
  const inReduce = job({ input: reader<string>(), reduce: (key: string) => fault() || key });
  await assert.rejects(testOnRecords(inReduce, ["a"]), { message: 'reduce, key "a": no such thing' });
  const badKey = job({ input: reader<string>(), map: (_line, emit) => emit(Number.NaN), reduce: count() });
  await assert.rejects(testOnRecords(badKey, ["a"]), { code: "KEY_INVALID" });
  const badValue = job({
    input: reader<string>(),
    map: (line, emit) => emit(line, () => 1),
    reduce: collect(),
  });
  await assert.rejects(testOnRecords(badValue, ["a"]), { code: "VALUE_INVALID" });
  const badCount = job({
    input: reader<string>(),
    map: (_line, _emit, ctx) => ctx.count("a", 0.5),
    reduce: count(),
  });
  await assert.rejects(testOnRecords(badCount, ["a"]), {
    code: "VALUE_INVALID",
    message: /ctx\.count\("a", 0\.5\)/,
  });
  const later = (_key: string, values: Iterable<number>): Promise<number> =>
    Promise.resolve([...values].length);
  const combine = later as never;
  const lateCombine = job({
    input: reader<string>(),
    map: (line, emit) => emit(line, 1),
    reduce: later,
    combine,
  });
  await assert.rejects(testOnRecords(lateCombine, ["a"]), {
    code: "VALUE_INVALID",
    message: /combine gave Promise/,
  });
  const badNamed = job({
    input: reader<string>(),
    collections: { a: { reduce: count() } },
    map: (() => [["a", 1]]) as never,
  });
  await assert.rejects(testOnRecords(badNamed, ["a"]), {
    code: "VALUE_INVALID",
    message: /no \[key, value\] pair/,
  });
  const badPair = job({ input: reader<string>(), map: () => [5] as never, reduce: count() });
  await assert.rejects(testOnRecords(badPair, ["a"]), {
    code: "VALUE_INVALID",
    message: /no \[key, value\] pair/,
  });
});

test("interpret, the oracle of engine tests, runs given map tasks", async () => {
  const perTask = job({
    input: reader<string>(),
    map: (line, _emit, ctx) => [[`${ctx.task} ${ctx.path}:${ctx.offset}`, line]],
    reduce: collect<string>(),
  });
  const tasks = [[{ record: "x", path: "a", offset: 7 }], [], [{ record: "y", path: "b", offset: 0 }]];
  const { results, counters } = await interpret(perTask, tasks);
  assert.deepEqual(results, [
    [
      ["map-00000 a:7", ["x"]],
      ["map-00002 b:0", ["y"]],
    ],
  ]);
  assert.deepEqual(counters, {});
});
