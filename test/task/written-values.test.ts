import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { csv } from "#src/format/csv.js";
import { jsonArray } from "#src/format/json-array.js";
import { jsonl } from "#src/format/jsonl.js";
import { text } from "#src/format/text.js";
import { tsv } from "#src/format/tsv.js";
import { job } from "#src/job/define.js";
import type { Job } from "#src/job/job-plan.js";
import type { Key } from "#src/job/key.js";
import type { Writer } from "#src/job/writer.js";
import { Stage } from "./support.js";

type EmitAny = (key: Key, value: unknown) => void;

class Money {
  amount = 1;
  toJSON(): number {
    return this.amount;
  }
}
class Rows extends Array<number> {}
const circular: Record<string, unknown> = {};
circular["again"] = [circular];

const kinds: readonly [name: string, value: unknown, said: RegExp][] = [
  ["a promise", Promise.resolve(1), /cannot be an instance of Promise \(did you forget await\?\)/],
  ["a promise of another realm", runInNewContext("Promise.resolve(1)"), /Promise \(did you forget await\?\)/],
  ["an error", new RangeError("no"), /an instance of RangeError/],
  ["a regular expression", /x/, /an instance of RegExp/],
  ["an instance with a toJSON", new Money(), /an instance of Money/],
  ["an array of a class", Rows.of(1, 2), /an instance of Rows/],
  ["a WeakMap", new WeakMap(), /an instance of WeakMap/],
  ["a Proxy of an instance", new Proxy(new Money(), {}), /an instance of Money/],
  ["a boxed number", Object(1), /an instance of Number/],
  ["a function", () => 1, /a function/],
  ["a symbol", Symbol("s"), /a symbol \(Symbol\(s\)\)/],
  ["NaN", Number.NaN, /cannot be NaN/],
  ["an infinity", -Infinity, /cannot be -Infinity/],
  ["an invalid date", new Date("no"), /an invalid Date/],
  ["an object that holds itself", circular, /nested too deep/],
];
const wraps: readonly ((value: unknown) => unknown)[] = [
  (value) => value,
  (value) => ({ list: [1, { deep: value }] }),
  (value) => [new Map([["k", new Set([value])]])],
];
const writers: readonly (() => Writer<Key, unknown>)[] = [jsonl, csv, tsv, text];

for (const [name, value, said] of kinds) {
  test(`${name} is refused by every writer: of map-only jobs with its record, of a reduce with its key`, async (t) => {
    const stage = new Stage(t).file("in.txt", "good\nbad\n");
    for (const wrap of wraps) {
      for (const output of writers.map((make) => make())) {
        const emit = (line: string, emitTo: EmitAny): void => {
          if (line === "bad") emitTo(line, wrap(value));
        };
        const failure = await stage.fails(job({ input: text(), map: emit, output } as never));
        assert.match(failure.message, said, output.kind);
        assert.deepEqual(
          [failure.code, failure.phase, failure.path, failure.offset, failure.record],
          ["VALUE_INVALID", "write", "in.txt", 5, "bad"],
        );
      }
    }
    const reduce = (key: string): unknown => ({ all: key === "bad" ? value : 1 });
    const made = job({
      input: text(),
      map: (line: string, emit: EmitAny) => emit(line, 1),
      reduce,
      output: jsonl(),
    } as never);
    const failure = await stage.fails(made);
    assert.match(failure.message, said);
    assert.deepEqual([failure.code, failure.key], ["VALUE_INVALID", '"bad"']);
    assert.ok(failure.hint);
  });
}

test("texts that a slice or JSON has cut within a pair are refused with their record, and kept by jsonl", async (t) => {
  const stage = new Stage(t).file("in.jsonl", '{"t":"ok"}\n{"t":"cut \\ud83d"}\n');
  const made = (output: Writer<Key, unknown>, reduce?: unknown): Job => {
    const map = (row: { t: string }, emit: EmitAny): void => emit(row.t.length, row.t);
    return job({ input: jsonl(), map, output, ...(reduce !== undefined && { reduce }) } as never);
  };
  const texts = (_key: number, all: Iterable<string>): string => [...all].join();
  for (const output of [csv(), tsv(), text()]) {
    const failure = await stage.fails(made(output));
    assert.match(failure.message, /half of a surrogate pair/);
    assert.deepEqual([failure.code, failure.offset], ["VALUE_INVALID", 11]);
    const reduced = await stage.fails(made(output, texts));
    assert.deepEqual([reduced.code, reduced.key], ["VALUE_INVALID", "5"]);
  }
  const lines = '{"key":2,"value":"ok"}\n{"key":5,"value":"cut \\ud83d"}\n';
  assert.equal((await stage.ok(made(jsonl()))).text(), lines);
  assert.equal((await stage.ok(made(jsonl(), texts))).text(), lines);
});

test("typed arrays, bigints, foreign objects and bare ones are written", async (t) => {
  const stage = new Stage(t).file("in.txt", "x\n");
  const value = {
    floats: Float64Array.of(0.5, 2),
    big: 2n ** 70n,
    foreign: runInNewContext("({ a: [1] })") as unknown,
    bare: Object.assign(Object.create(null) as object, { b: 1 }),
    zero: -0,
    left: undefined,
    holes: [undefined, 1],
  };
  const made = (output: unknown): Job =>
    job({ input: text(), map: (line: string, emit: EmitAny) => emit(line, value), output } as never);
  assert.equal(
    (await stage.ok(made(jsonl()))).text(),
    '{"key":"x","value":{"floats":[0.5,2],"big":1180591620717411303424,"foreign":{"a":[1]},"bare":{"b":1},"zero":0,"holes":[null,1]}}\n',
  );
  assert.equal(
    (await stage.ok(made(tsv()))).text(),
    'x\t[0.5,2]\t1180591620717411303424\t{"a":[1]}\t{"b":1}\t0\t\t[null,1]\n',
  );
});

test("a parse or a column that answers with a promise makes a bad record of each", async (t) => {
  const stage = new Stage(t).file("in.jsonl", '{"a":1}\n');
  const later = (value: unknown): Promise<unknown> => Promise.resolve(value);
  const array = new Stage(t).file("in.json", '[{"a":1}]');
  const table = new Stage(t).file("in.csv", "a\n1\n");
  const emit = (record: unknown, emitTo: EmitAny): void => emitTo(null, record);
  for (const [from, input] of [
    [stage, jsonl({ parse: later })],
    [array, jsonArray({ parse: later })],
    [table, csv({ columns: { a: later } })],
  ] as const) {
    const failure = await from.fails(job({ input, map: emit, output: jsonl() } as never));
    assert.equal(failure.code, "RECORD_INVALID");
    assert.match(failure.message, /gave a promise: do what takes time in map/);
  }
});

test("jsonl: objects with null as key are records in a map-only job, and results of a job are all alike", async (t) => {
  const stage = new Stage(t).file("in.jsonl", '{"id":1}\n{"id":2}\n');
  interface Row {
    readonly id: number;
  }
  const run = (map: (row: Row, emit: EmitAny) => void, more: object = {}): Job =>
    job({ input: jsonl<Row>(), map, output: jsonl(), ...more } as never);
  const records = (row: Row, emit: EmitAny): void => emit(null, row);
  assert.equal((await stage.ok(run(records))).text(), '{"id":1}\n{"id":2}\n');
  assert.equal(
    (await stage.ok(run(records, { output: jsonl({ shape: "pair" }) }))).text(),
    '{"key":null,"value":{"id":1}}\n{"key":null,"value":{"id":2}}\n',
  );
  assert.equal(
    (await stage.ok(run(records, { reduce: (_key: null, rows: Iterable<Row>) => [...rows].length }))).text(),
    '{"key":null,"value":2}\n',
  );
  assert.equal(
    (await stage.ok(run((row, emit) => emit(row.id, { id: 0 })))).text(),
    '{"key":1,"value":{"id":0}}\n{"key":2,"value":{"id":0}}\n',
  );
  for (const first of [1, 2]) {
    const failure = await stage.fails(run((row, emit) => emit(row.id === first ? null : row.id, row)));
    assert.deepEqual([failure.code, failure.offset], ["VALUE_INVALID", 9]);
    assert.match(failure.hint ?? "", /shape: "record"/);
  }
});

test("a file begins with the header of its first result, and says what its files must agree on", async (t) => {
  const stage = new Stage(t).file("a.csv", "id,name\n1,ann\n").file("b.csv", "name,id\nbob,2\n");
  const made = (output: Writer<Key, unknown>): Job =>
    job({ input: csv(), map: (row: unknown, emit: EmitAny) => emit(null, row), output } as never);
  const layouts = async (output: Writer<Key, unknown>, together = false): Promise<unknown[]> =>
    (await stage.ok(made(output), { together })).parts.map(({ layout, headerBytes }) => [
      layout,
      headerBytes,
    ]);
  assert.deepEqual(await layouts(csv()), [
    ['["key","id","name"]', 12],
    ['["key","name","id"]', 12],
  ]);
  assert.deepEqual(await layouts(tsv()), [
    ['["key","id","name"]', undefined],
    ['["key","name","id"]', undefined],
  ]);
  const named = csv({ header: ["", "name", "id"] });
  assert.deepEqual(await layouts(named), [
    ['["","name","id"]', 9],
    ['["","name","id"]', 9],
  ]);
  const played = await stage.ok(made(csv()), { together: true });
  assert.equal(played.text(), "key,id,name\n,1,ann\n,2,bob\n");
});

test("a job without a map writes what it reads: objects are values, all else are keys", async (t) => {
  const stage = new Stage(t).file("in.csv", "id,name\n1,ann\n2,bob\n");
  const plain = (input: unknown, output: unknown, more: object = {}): Job =>
    job({ input, output, ...more } as never);
  assert.equal(
    (await stage.ok(plain(csv(), jsonl()))).text(),
    '{"id":"1","name":"ann"}\n{"id":"2","name":"bob"}\n',
  );
  assert.equal(
    (await stage.ok(plain(csv(), tsv({ header: true, shape: "record" })))).text(),
    "id\tname\n1\tann\n2\tbob\n",
  );
  assert.equal((await stage.ok(plain(csv({ header: false }), tsv()))).text(), "id\tname\n1\tann\n2\tbob\n");
  const failure = await stage.fails(plain(csv(), jsonl(), { order: "total" }));
  assert.equal(failure.message, 'a key cannot be an object: { id: "1", name: "ann" }');
});

test("what is no key is told with its value", async (t) => {
  const stage = new Stage(t).file("in.txt", "x\n");
  for (const [key, said] of [
    [undefined, "undefined"],
    [5n, "a bigint: 5n"],
    [Symbol("s"), "a symbol: Symbol(s)"],
    [new Map([[1, { a: Infinity }]]), "a Map: Map { 1 => { a: Infinity } }"],
    [Promise.resolve(), "a Promise (did you forget await?)"],
    [["a", undefined], "undefined"],
    [() => 1, "a function: function (anonymous)"],
  ] as const) {
    for (const more of [{}, { order: "total" }]) {
      const map = (_: string, emit: EmitAny): void => emit(key as never, 1);
      const failure = await stage.fails(job({ input: text(), map, ...more } as never));
      assert.deepEqual([failure.code, failure.message], ["KEY_INVALID", `a key cannot be ${said}`]);
    }
  }
});

test("a record is shown as it is, however little JSON can say of it", async (t) => {
  const stage = new Stage(t).file("in.txt", "x\n");
  const circular: unknown[] = [];
  circular.push(circular);
  for (const [record, shown] of [
    [{ n: 1, s: "x" }, '{"n":1,"s":"x"}'],
    [{ n: Infinity, b: 5n }, "{ n: Infinity, b: 5n }"],
    [{ at: new Date(5) }, "{ at: Date(5) }"],
    [new Map([["k", new Set([1n])]]), 'Map { "k" => Set { 1n } }'],
    [circular, "[[[[[…]]]]]"],
  ] as const) {
    const input = {
      ...text(),
      native: undefined,
      decoder: () => ({
        decode: (
          _bytes: Uint8Array,
          offset: number,
          _last: boolean,
          batch: { records: unknown[]; offsets: number[] },
        ) => {
          batch.records.push(record);
          batch.offsets.push(offset);
        },
      }),
    };
    const made = job({
      input,
      map: () => {
        throw new Error("no");
      },
    } as never);
    assert.equal((await stage.fails(made)).record, shown);
  }
});
