import assert from "node:assert/strict";
import { test } from "node:test";
import { collect } from "#src/aggregate/collect.js";
import { count } from "#src/aggregate/count.js";
import { sum } from "#src/aggregate/sum.js";
import { isSheafError } from "#src/base/errors.js";
import { text } from "#src/format/text.js";
import { job } from "#src/job/define.js";
import type { Job } from "#src/job/job-plan.js";
import { Stage, badOf } from "./support.js";

const LINES = ["a b a", "", "b c", "a"].join("\n") + "\n";
const COUNTS = "a\t3\nb\t2\nc\t1\n";

function wordsOf(line: string): string[] {
  return line.split(" ").filter((word) => word !== "");
}

const forms: [name: string, job: Job][] = [
  [
    "calls emit",
    job({
      input: text(),
      map: (line, emit) => {
        for (const word of wordsOf(line)) emit(word, 1);
      },
      reduce: sum(),
    }),
  ],
  [
    "returns pairs",
    job({ input: text(), map: (line) => wordsOf(line).map((word) => [word, 1] as const), reduce: sum() }),
  ],
  [
    "is a generator",
    job({
      input: text(),
      *map(line) {
        for (const word of wordsOf(line)) yield [word, 1] as const;
      },
      reduce: sum(),
    }),
  ],
  [
    "is async and emits",
    job({
      input: text(),
      async map(line, emit) {
        await Promise.resolve();
        for (const word of wordsOf(line)) emit(word, 1);
      },
      reduce: sum(),
    }),
  ],
  [
    "returns a promise of pairs",
    job({
      input: text(),
      map: (line) => Promise.resolve(wordsOf(line).map((word) => [word, 1] as const)),
      reduce: sum(),
    }),
  ],
  [
    "is an async generator",
    job({
      input: text(),
      async *map(line) {
        for (const word of wordsOf(line)) {
          await Promise.resolve();
          yield [word, 1] as const;
        }
      },
      reduce: sum(),
    }),
  ],
  [
    "returns a promise only now and then",
    job({
      input: text(),
      map: (line, emit) => {
        for (const word of wordsOf(line)) emit(word, 1);
        return line === "" ? Promise.resolve() : undefined;
      },
      reduce: sum(),
    }),
  ],
];

for (const [name, made] of forms) {
  test(`a map that ${name}`, async (t) => {
    const stage = new Stage(t).file("in.txt", LINES);
    for (const options of [
      {},
      { splitSize: 3 },
      { settings: { keepBad: true } },
      { settings: { sample: 1 - 1e-12 } },
    ]) {
      const played = await stage.ok(made, options);
      assert.equal(played.text(), COUNTS);
      assert.equal(
        played.maps.reduce((records, { stats }) => records + stats.recordsIn, 0),
        4,
      );
      assert.equal(
        played.maps.reduce((pairs, { stats }) => pairs + stats.emitted, 0),
        6,
      );
    }
  });
}

test("without a map each record is a key", async (t) => {
  const stage = new Stage(t).file("in.txt", "b\na\nb\n");
  assert.equal((await stage.ok(job({ input: text(), reduce: count() }))).text(), "a\t1\nb\t2\n");
  assert.equal((await stage.ok(job({ input: text(), order: "total" }))).text(), "a\nb\nb\n");
});

test("async records are mapped one after the other, in order", async (t) => {
  const stage = new Stage(t).file("in.txt", "3\n1\n2\n");
  const seen: string[] = [];
  const made = job({
    input: text(),
    async map(line, emit) {
      seen.push(`begin ${line}`);
      for (let i = 0; i < Number(line); i++) await Promise.resolve();
      seen.push(`end ${line}`);
      emit(1, line);
    },
    reduce: collect<string>(),
  });
  assert.equal((await stage.ok(made)).text(), "1\t3\t1\t2\n");
  assert.deepEqual(seen, ["begin 3", "end 3", "begin 1", "end 1", "begin 2", "end 2"]);
});

const throwing: [name: string, map: (line: string, emit: (key: string, value: number) => void) => unknown][] =
  [
    [
      "throws",
      (line) => {
        if (line === "bad") throw new TypeError("no such thing");
      },
    ],
    [
      "throws after it emitted",
      (line, emit) => {
        emit(line, 1);
        if (line === "bad") throw new TypeError("no such thing");
      },
    ],
    [
      "rejects",
      async (line) => {
        await Promise.resolve();
        if (line === "bad") throw new TypeError("no such thing");
      },
    ],
    [
      "yields and throws",
      function* (line) {
        yield [line, 1];
        if (line === "bad") throw new TypeError("no such thing");
      },
    ],
    [
      "yields later and throws",
      async function* (line) {
        yield [line, 1];
        await Promise.resolve();
        if (line === "bad") throw new TypeError("no such thing");
      },
    ],
  ];

for (const [name, map] of throwing) {
  test(`a map that ${name} fails the task with the record and its place`, async (t) => {
    const stage = new Stage(t).file("one.txt", "good\n").file("two.txt", "good\nbad\ngood\n");
    const made = job({ input: text(), map: map as never, reduce: sum() });
    for (const settings of [{}, { sample: 1 - 1e-12 }]) {
      const failure = await stage.fails(made, { together: true, settings });
      assert.equal(failure.code, "USER_CODE");
      assert.equal(failure.name, "TypeError");
      assert.equal(failure.message, "no such thing");
      assert.equal(failure.phase, "map");
      assert.equal(failure.blame, "user");
      assert.equal(failure.path, "two.txt");
      assert.equal(failure.offset, 5);
      assert.equal(failure.record, "bad");
      assert.match(failure.stack ?? "", /map-task\.test/);
    }
  });

  test(`a map that ${name}: with keepBad what the record emitted is dropped, the rest counts`, async (t) => {
    const stage = new Stage(t).file("one.txt", "good\n").file("two.txt", "good\nbad\ngood\n");
    const played = await stage.ok(job({ input: text(), map: map as never, reduce: sum() }), {
      together: true,
      settings: { keepBad: true },
    });
    assert.ok(!played.text().includes("bad"));
    const [task] = played.maps;
    assert.equal(task!.stats.badRecords, 1);
    assert.equal(task!.stats.recordsIn, 4);
    assert.deepEqual(badOf(task!), [
      { path: "two.txt", offset: 5, phase: "map", code: "USER_CODE", error: "no such thing", record: "bad" },
    ]);
  });
}

for (const [name, thrown, message] of [
  ["undefined", undefined, /undefined/],
  ["a string", "just text", /^just text$/],
  [
    "an object with a cycle",
    (() => {
      const o: Record<string, unknown> = {};
      o["o"] = o;
      return o;
    })(),
    /thrown/,
  ],
  ["null", null, /null/],
  ["an error without a message", new RangeError(), /RangeError/],
] as const) {
  test(`${name} can be thrown`, async (t) => {
    const stage = new Stage(t).file("in.txt", "x\n");
    const made = job({
      input: text(),
      map() {
        throw thrown;
      },
      reduce: count(),
    });
    const failure = await stage.fails(made);
    assert.equal(failure.code, "USER_CODE");
    assert.match(failure.message, message);
    assert.equal(badOf((await stage.ok(made, { settings: { keepBad: true } })).maps[0]!).length, 1);
  });
}

test("the context tells place and task, counts, logs, and draws the same numbers in every attempt", async (t) => {
  const stage = new Stage(t).file("one.txt", "a\nbb\n").file("two.txt", "c\n");
  const seen: unknown[][] = [];
  const made = job({
    input: text(),
    params: { limit: 5 },
    aux: { stop: ["x"] },
    setup(ctx) {
      seen.push(["setup", ctx.path, ctx.offset, ctx.state]);
      return { from: "setup" };
    },
    map(line, emit: (key: string) => void, ctx) {
      seen.push([
        line,
        ctx.path,
        ctx.offset,
        ctx.task,
        ctx.index,
        ctx.attempt,
        ctx.params.limit,
        ctx.aux["stop"],
        ctx.state.from,
        ctx.random(),
      ]);
      ctx.count("lines");
      ctx.count("bytes", line.length);
      ctx.log(`saw ${line}`);
      ctx.progress();
      emit(line);
    },
    teardown(ctx, emit) {
      seen.push(["teardown", ctx.path, ctx.offset]);
      emit("end");
    },
    reduce: count(),
  });
  const played = await stage.ok(made, { together: true, attempt: 2 });
  assert.equal(played.text(), "a\t1\nbb\t1\nc\t1\nend\t1\n");
  assert.deepEqual(played.counters, { lines: 3, bytes: 4 });
  assert.deepEqual(played.log, ["saw a", "saw bb", "saw c"]);
  const first = seen.splice(0);
  assert.deepEqual(first[0], ["setup", "", 0, undefined]);
  assert.deepEqual(
    first.slice(1, 4).map((row) => row.slice(0, 9)),
    [
      ["a", "one.txt", 0, "map-00000", 0, 2, 5, ["x"], "setup"],
      ["bb", "one.txt", 2, "map-00000", 0, 2, 5, ["x"], "setup"],
      ["c", "two.txt", 0, "map-00000", 0, 2, 5, ["x"], "setup"],
    ],
  );
  assert.deepEqual(first[4], ["teardown", "", 0]);
  await stage.ok(made, { together: true, attempt: 1 });
  assert.deepEqual(
    seen.slice(1, 4).map((row) => row[9]),
    first.slice(1, 4).map((row) => row[9]),
  );
});

test("offsets are those in the file, whatever the splits, and with async maps too", async (t) => {
  const lines = Array.from({ length: 50 }, (_, i) => `é${"x".repeat(i % 7)}`);
  const stage = new Stage(t).file("in.txt", `${lines.join("\n")}\n`);
  const offsets: number[] = [];
  let at = 0;
  for (const line of lines) {
    offsets.push(at);
    at += Buffer.byteLength(line) + 1;
  }
  const sync = job({
    input: text(),
    map: (line, emit: (key: number, value: string) => void, ctx) => emit(ctx.offset, line),
    reduce: collect<string>(),
  });
  const later = job({
    input: text(),
    async map(line, emit: (key: number, value: string) => void, ctx) {
      await Promise.resolve();
      emit(ctx.offset, line);
    },
    reduce: collect<string>(),
  });
  const expected = lines.map((line, i) => `${offsets[i]}\t${line}\n`).join("");
  for (const made of [sync, later])
    for (const splitSize of [1, 5, 1000])
      assert.equal((await stage.ok(made, { splitSize })).text(), expected);
});

for (const [name, made, phase] of [
  [
    "setup",
    job({
      input: text(),
      setup() {
        throw new Error("oh");
      },
      map: (_, emit: (key: string) => void) => emit("a"),
      reduce: count(),
    }),
    "setup",
  ],
  [
    "teardown",
    job({
      input: text(),
      teardown() {
        throw new Error("oh");
      },
      map: (_, emit: (key: string) => void) => emit("a"),
      reduce: count(),
    }),
    "teardown",
  ],
] as const) {
  test(`an error in ${name} is told apart`, async (t) => {
    const failure = await new Stage(t).file("in.txt", "x\n").fails(made);
    assert.deepEqual(
      [failure.code, failure.phase, failure.path, failure.record, failure.offset],
      ["USER_CODE", phase, null, null, null],
    );
  });
}

test("emit after the task has ended is refused", async (t) => {
  const stage = new Stage(t).file("in.txt", "x\n");
  let late: ((key: string) => void) | undefined;
  await stage.ok(
    job({
      input: text(),
      map(_, emit: (key: string) => void) {
        late = emit;
        emit("a");
      },
      reduce: count(),
    }),
  );
  assert.throws(
    () => late!("b"),
    (error) => isSheafError(error) && error.code === "EMIT_LATE",
  );
  await stage.ok(
    job({
      input: text(),
      map(_, emit: (key: string) => void) {
        late = emit;
        emit("a");
      },
      reduce: count(),
    }),
    { settings: { keepBad: true } },
  );
  assert.throws(() => late!("b"), { code: "EMIT_LATE" });
});

test("counters count in integers", async (t) => {
  const stage = new Stage(t).file("in.txt", "x\n");
  const made = job({
    input: text(),
    map: (_, emit: (key: string) => void, ctx) => ctx.count("n", 0.5),
    reduce: count(),
  });
  assert.equal((await stage.fails(made)).code, "VALUE_INVALID");
});
