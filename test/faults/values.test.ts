import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { LocalRunOptions } from "#src/engine/options.js";
import type { RunResult } from "#src/engine/run-result.js";
import { runJob } from "#src/runner/run.js";
import { assertFailed as assertRunFailed, Bench, inputText, wordCount } from "../runner/support.ts";
import { assertFailed, Place } from "./support.ts";

type Pair = [key: unknown, value: unknown];

/** Runs a job of this text, without an output directory, and gives its results. */
async function results(bench: Bench, text: string, options: LocalRunOptions = {}): Promise<Pair[]> {
  const result = await runCollected(bench, text, options);
  assert.equal(result.status, "SUCCEEDED", result.error?.report);
  const pairs: Pair[] = [];
  for await (const pair of result.records()) pairs.push(pair);
  await result.dispose();
  return pairs;
}

function runCollected(bench: Bench, text: string, options: LocalRunOptions = {}): Promise<RunResult> {
  return runJob(bench.file("job.ts", text), { stateDirectory: bench.state, attempts: 2, ...options });
}

/** What user code may emit, as it stands in a job file. */
const KEYS = [
  '"__proto__"',
  '"constructor"',
  '""',
  "null",
  "true",
  "false",
  "0",
  "-1.5",
  "Infinity",
  "5e-324",
  '"1"',
  "1",
  '"a\\0b"',
  '"\\ufffd"',
  '"😀"',
  "new Uint8Array(0)",
  "new Uint8Array([0, 255])",
  "[]",
  "[[]]",
  '["a", [1, null], "b"]',
  '["a\\0", "b"]',
  '["a", "\\0b"]',
];
const VALUES = [
  "undefined",
  "null",
  "true",
  "false",
  "0",
  "-0",
  "NaN",
  "-Infinity",
  "2 ** 53",
  "-(2 ** 53)",
  "1.5",
  "5e-324",
  '""',
  '"\\ud800"',
  '"😀\\0"',
  "12345678901234567890n",
  "-1n",
  "new Date(8.64e15)",
  "[]",
  "[undefined, null]",
  "{}",
  '{ ["__proto__"]: 1, constructor: { a: [{ b: undefined }] } }',
  "Object.create(null)",
  "Buffer.from([1, 2])",
  "new Uint8Array([1, 2])",
  "new Uint8ClampedArray([255])",
  "new Float64Array([NaN, -0])",
  "new BigInt64Array([-1n])",
  'new Map<unknown, unknown>([[NaN, { a: -0 }], ["x", new Map()]])',
  'new Set([1n, "1"])',
];

const emitAll = (keys: readonly string[], values: readonly string[], more = ""): string => `
  import { isDeepStrictEqual } from "node:util";
  import { generate, job } from "sheaf";
  const keys = [${keys.join(", ")}];
  const values: unknown[] = [${values.join(",\n")}];
  export default job({
    input: generate({ tasks: 3, *records() { yield* keys.keys(); } }),
    map(at: number, emit) { for (const value of values) emit(keys[at]!, value); },
    ${more}
    reduce(key: unknown, received: Iterable<unknown>) {
      const all = [...received];
      const wrong = all.findIndex((value, i) => !isDeepStrictEqual(value, values[i % values.length]));
      if (wrong >= 0 || all.length !== 3 * values.length) throw new Error("value " + wrong + " of " + all.length);
      return all.slice(0, values.length);
    },
  });
`;

/** The same, for the test to hold results against. */
function literals(texts: readonly string[]): unknown[] {
  return texts.map((text) => new Function(`return (${text.replace("<unknown, unknown>", "")})`)() as unknown);
}

describe("D10: odd keys and values", () => {
  for (const [what, options] of [
    ["on threads", { isolate: "thread" }],
    ["in processes", { isolate: "process" }],
    ["while bad records are kept", { maxBad: 1 }],
  ] as const) {
    test(`D10: ${what} they come back exactly, and different keys stay apart`, async (t) => {
      const pairs = await results(new Bench(t), emitAll(KEYS, VALUES), { partitions: 2, ...options });
      const values = literals(VALUES);
      const byKey = new Map(pairs.map(([key, value]) => [keyText(key), value]));
      assert.deepEqual([...byKey.keys()].sort(), literals(KEYS).map(keyText).sort());
      assert.equal(pairs.length, KEYS.length);
      for (const value of byKey.values()) assert.deepStrictEqual(value, values);
    });
  }

  test("D10: as results they are the same in every part of the way out", async (t) => {
    const job = `
      import { generate, job } from "sheaf";
      const values: unknown[] = [${VALUES.join(",\n")}];
      export default job({
        input: generate({ *records() { yield* values.keys(); } }),
        map(at: number, emit) { emit(at, values[at]); },
      });
    `;
    const pairs = await results(new Bench(t), job, { isolate: "inline" });
    const values = literals(VALUES);
    for (const [at, value] of pairs) assert.deepStrictEqual(value, values[at as number]);
    assert.equal(pairs.length, VALUES.length);
  });

  const REFUSED: readonly [emits: string, code: string, says: RegExp][] = [
    ["emit(undefined as never, 1);", "KEY_INVALID", /undefined/],
    ["emit(NaN, 1);", "KEY_INVALID", /NaN/],
    ["emit(1n as never, 1);", "KEY_INVALID", /a bigint: 1n/],
    ["emit(new Date(0) as never, 1);", "KEY_INVALID", /Date/],
    ["emit({} as never, 1);", "KEY_INVALID", /object/],
    ["emit((() => 1) as never, 1);", "KEY_INVALID", /function/],
    ['emit("\\ud800", 1);', "KEY_INVALID", /surrogate/],
    ["const cycle: any = []; cycle.push(cycle); emit(cycle, 1);", "KEY_INVALID", /itself/],
    ["emit(1, () => 1);", "VALUE_INVALID", /function/],
    ["emit(1, Symbol());", "VALUE_INVALID", /symbol/],
    ["emit(1, new (class Account {})());", "VALUE_INVALID", /Account/],
    ["emit(1, Promise.resolve(1));", "VALUE_INVALID", /Promise/],
    ["emit(1, /x/.exec('x'));", "VALUE_INVALID", /fields of its own/],
    ["const cycle: any = {}; cycle.cycle = cycle; emit(1, cycle);", "VALUE_INVALID", /itself/],
    ["emit(1, [1, , 2]);", "VALUE_INVALID", /holes/],
  ];

  const refusing = (cases: string): string => `
    import { job, text } from "sheaf";
    export default job({
      input: text(),
      map(line, emit: (key: never, value: unknown) => void) {
        const emitAny = emit as (key: unknown, value: unknown) => void;
        ${cases.replaceAll("emit(", "emitAny(").replaceAll(" as never", "")}
      },
      order: "hash",
      reduce(key: unknown, values: Iterable<unknown>) { return [...values].length; },
    });
  `;

  for (const [emits, code, says] of REFUSED) {
    test(`D10: ${emits} is refused at emit, with the record`, async (t) => {
      const bench = new Bench(t);
      const inputs = bench.file("in.txt", "first\n");
      const result = await bench.run(refusing(emits), { inputs, attempts: 1, isolate: "inline" });
      assertRunFailed(bench, result, code);
      assert.match(result.error!.message, says);
      const { failure } = result.error!;
      assert.deepEqual(
        [failure?.phase, failure?.path, failure?.offset, failure?.record],
        ["map", inputs, 0, "first"],
      );
      // Where it nests too deep the stack is full of the encoder.
      if (!says.test("itself")) assert.match(result.error!.report, /job\.ts:\d+:\d+/);
    });
  }

  test("D10: each of them is a bad record like others, where those are kept", async (t) => {
    const bench = new Bench(t);
    const inputs = bench.file("in.txt", REFUSED.map((_, i) => `${i}\n`).join("") + "good\n");
    const cases = REFUSED.map(([emits], i) => `case "${i}": { emit("before", 1); ${emits} break; }`).join(
      "\n",
    );
    const job = refusing(`switch (line) { ${cases} default: emit(line, 1); }`);
    const result = await bench.run(job, { inputs, maxBad: REFUSED.length });
    assert.equal(result.status, "SUCCEEDED", result.error?.report);
    assert.equal(result.badRecords, REFUSED.length);
    assert.deepEqual(bench.lines(), ["good\t1"]);
  });
});

/** Told apart by type and content. */
function keyText(key: unknown): string {
  return JSON.stringify(key, (_name, value: unknown) => {
    if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString("hex")}`;
    return typeof value === "number" ? `number ${value}` : typeof value === "string" ? `"${value}` : value;
  });
}

describe("D11: what a partitioner must not answer", () => {
  for (const [answer, says] of [
    ["NaN", /answered NaN/],
    ["-1", /answered -1/],
    ["partitions", /answered 3/],
    ["1.5", /answered 1\.5/],
    ["Promise.resolve(0) as never", /answered a promise/],
    ["undefined as never", /answered undefined/],
    ['"0" as never', /answered 0/],
  ] as const) {
    test(`D11: ${answer} is an error at emit, with key and record`, async (t) => {
      const bench = new Bench(t);
      const inputs = bench.file("in.txt", inputText);
      const more = `partition: (key, partitions) => (key === "not" ? ${answer} : 0),`;
      const options = { inputs, partitions: 3, attempts: 1, isolate: "inline" } as const;
      const result = await bench.run(wordCount({ more }), options);
      assertRunFailed(bench, result, "PARTITION_INVALID");
      assert.match(result.error!.message, says);
      assert.match(result.error!.message, /"not"/);
      assert.deepEqual([result.error!.failure?.offset, result.error!.failure?.record], [9, "not to be"]);
    });
  }

  test("D11: what it throws is told with key, record and its own line", async (t) => {
    const place = new Place(t);
    place.file(
      "job.ts",
      wordCount({ more: 'partition(key) { if (key === "not") throw new RangeError("lost"); return 0; },' }),
    );
    place.file("in.txt", inputText);
    const result = await place.here(["run", "job.ts", "in.txt", "-o", "out", "-p", "3"]);
    await assertFailed(place, result, "USER_CODE", /RangeError: lost/);
    for (const told of [/job\.ts:\d+:\d+/, /in\.txt:9/, /not to be/, /key.*"not"/])
      assert.match(result.stderr, told);
  });

  test("D11: -0 is a partition", async (t) => {
    const bench = new Bench(t);
    const inputs = bench.file("in.txt", inputText);
    const result = await bench.run(wordCount({ more: "partition: () => -0," }), { inputs, partitions: 3 });
    assert.equal(result.status, "SUCCEEDED", result.error?.report);
    assert.equal(bench.lines().length, 8);
  });
});
