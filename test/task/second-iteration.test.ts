import assert from "node:assert/strict";
import { test } from "node:test";
import { text } from "#src/format/text.js";
import { job } from "#src/job/define.js";
import type { Job } from "#src/job/job-plan.js";
import { testJob } from "#src/testing.js";
import { Stage } from "./support.js";

type Values = Iterable<number>;
const TWICE = /iterates its values a second time, but they are a stream that comes once/;

const twice: readonly [name: string, use: (values: Values) => unknown][] = [
  [
    "two loops",
    (values) => {
      for (const _ of values);
      for (const _ of values);
    },
  ],
  [
    "a copy, then a loop",
    (values) => {
      void [...values];
      for (const _ of values);
    },
  ],
  [
    "a loop that was left early, then another",
    (values) => {
      for (const _ of values) break;
      for (const _ of values);
    },
  ],
  [
    "destructuring, then a loop",
    (values) => {
      const [first] = values;
      for (const _ of values) return first;
    },
  ],
  [
    "two iterators side by side",
    (values) => {
      values[Symbol.iterator]();
      values[Symbol.iterator]();
    },
  ],
  ["Math.max and Math.min", (values) => Math.max(...values) - Math.min(...values)],
  ["Array.from twice", (values) => [Array.from(values).length, Array.from(values).length]],
  [
    "values that are returned after a loop",
    (values) => {
      for (const _ of values);
      return values;
    },
  ],
  [
    "next, then a loop",
    (values) => {
      (values as IterableIterator<number>).next();
      for (const _ of values);
    },
  ],
  [
    "a generator",
    function* (values) {
      yield* values;
      yield* values;
    },
  ],
  [
    "an async reduce",
    async (values) => {
      for (const _ of values) await Promise.resolve();
      return [...values];
    },
  ],
];

const once: readonly [name: string, use: (values: Values) => unknown, result: string][] = [
  [
    "one loop",
    (values) => {
      let sum = 0;
      for (const value of values) sum += value;
      return sum;
    },
    "k\t10\n",
  ],
  [
    "a copy that is read often",
    (values) => {
      const all = [...values];
      return all.length + Math.max(...all);
    },
    "k\t8\n",
  ],
  ["the values themselves", (values) => values, "k\t1\nk\t2\nk\t3\nk\t4\n"],
  [
    "an iterator that goes on where a loop over it ended",
    (values) => {
      const rest = values[Symbol.iterator]() as IterableIterator<number>;
      for (const value of rest) if (value === 2) break;
      return [...rest];
    },
    "k\t3\t4\n",
  ],
  ["none at all", () => 1, "k\t1\n"],
];

function made(use: (values: Values) => unknown, more: object = {}): Job {
  return job({
    input: text(),
    map: (line: string, emit: (key: string, value: number) => void) => emit("k", Number(line)),
    reduce: (_key: string, values: Values) => use(values),
    ...more,
  } as never);
}

const LINES = "1\n2\n3\n4\n";

for (const [name, use] of twice) {
  test(`a reduce that reads its values twice is told so: ${name}`, async (t) => {
    const stage = new Stage(t).file("in.txt", LINES);
    const failure = await stage.fails(made(use));
    assert.deepEqual([failure.code, failure.key, failure.blame], ["USER_CODE", '"k"', "user"]);
    assert.match(failure.message, TWICE);
    assert.match(failure.message, /^reduce/);
    assert.match(failure.hint ?? "", /\[\.\.\.values\].*aggregator/);
    await assert.rejects(testJob(made(use), ["1", "2"], { rounds: 1 }), {
      code: "USER_CODE",
      message: TWICE,
    });
  });
}

for (const [name, use, result] of once) {
  test(`a reduce that reads its values once works: ${name}`, async (t) => {
    const stage = new Stage(t).file("in.txt", LINES);
    assert.equal((await stage.ok(made(use))).text(), result);
    if (name !== "none at all")
      assert.ok((await testJob(made(use), LINES.trim().split("\n"), { rounds: 1 })).results.length > 0);
  });
}

test("a combine that reads its values twice is told so, and one that reads them once works", async (t) => {
  const stage = new Stage(t).file("in.txt", LINES);
  const sum = (values: Values): number => [...values].reduce((a, b) => a + b, 0);
  const combining = (combine: (key: string, values: Values) => unknown): Job => made(sum, { combine });
  const failure = await stage.fails(combining((_key, values) => sum(values) + sum(values)));
  assert.deepEqual([failure.code, failure.phase, failure.key], ["USER_CODE", "combine", '"k"']);
  assert.match(failure.message, /^combine iterates/);
  assert.equal((await stage.ok(combining((_key, values) => sum(values)))).text(), "k\t10\n");
  assert.equal((await stage.ok(combining((_key, values) => values))).text(), "k\t10\n");
});

test("values that are read when their reduce has ended are an error, not none", async (t) => {
  const stage = new Stage(t).file("in.txt", "1\n2\n3\n");
  let kept: Values | undefined;
  const late = job({
    input: text(),
    map: (line: string, emit: (key: string, value: number) => void) => emit(line, 1),
    reduce(_key: string, values: Values) {
      if (kept !== undefined) return [...kept].length;
      kept = values;
      return undefined;
    },
  } as never);
  const failure = await stage.fails(late);
  assert.deepEqual([failure.code, failure.key], ["USER_CODE", '"2"']);
  assert.match(failure.message, /read after its reduce had ended/);
});
