import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { limits } from "#src/base/limits.js";
import { nameParts } from "#src/engine/commit.js";
import { formatFailure } from "#src/engine/error-report.js";
import { BadRecordBudget } from "#src/engine/job-checks.js";
import { makeJobId } from "#src/engine/job-directory.js";
import type { LocalRunOptions } from "#src/engine/options.js";
import { paramsOf, partitionsOf } from "#src/engine/outline-options.js";
import { chooseBounds } from "#src/engine/plan-job.js";
import { resolveOptions } from "#src/engine/resolve-options.js";
import { job, text } from "#src/index.js";
import { emptyStats } from "#src/task/task-spec.js";
import type { OutputPart, TaskStats, TaskSuccess } from "#src/task/task-spec.js";
import { failureOfExit } from "#src/worker/exit-cause.js";
import { taskFailure } from "#src/worker/failure.js";
import { faultFor } from "#src/worker/fault-injection.js";
import type { JobOutline } from "#src/worker/messages.js";
import { outlineOf } from "#src/worker/outline.js";
import { OutputCapture } from "#src/worker/output-capture.js";

function success(changes: Partial<TaskStats>, parts: OutputPart[] = []): TaskSuccess {
  return {
    kind: "success",
    stats: { ...emptyStats, ...changes },
    counters: {},
    output: null,
    parts,
    keys: [],
    partitionBytes: [],
    pairs: [],
    hotKeys: [],
    badPath: null,
  };
}

const outline: JobOutline = {
  name: "outline",
  input: { kind: "generate", tasks: 1 },
  collections: [
    { name: "byCity", partitions: null, order: "hash", mapOnly: false },
    { name: "byAge", partitions: 4, order: "hash", mapOnly: false },
    { name: "broken", partitions: null, order: "hash", mapOnly: true },
  ],
  params: { limit: "number", strict: "boolean", word: "string", list: "array", by: "object", more: "null" },
  aux: [],
  hasExpect: false,
  seed: 0,
};

test("bounds are ascending, come from the sample and do not depend on its order", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 3 })),
      fc.integer({ min: 1, max: 9 }),
      (keys, partitions) => {
        const sample = keys.map((key) => Buffer.from(key).toString("base64"));
        const bounds = chooseBounds(sample, partitions);
        assert.deepEqual(chooseBounds([...sample].reverse(), partitions), bounds);
        assert.ok(bounds.length <= Math.max(0, partitions - 1));
        for (const [index, bound] of bounds.entries()) {
          assert.ok(sample.includes(bound));
          const before = bounds[index - 1];
          if (before !== undefined) {
            assert.ok(Buffer.compare(Buffer.from(before, "base64"), Buffer.from(bound, "base64")) < 0);
          }
        }
      },
    ),
  );
});

test("bounds cut a sample of many keys into nearly equal shares", () => {
  const keys = Array.from({ length: 1000 }, (_, i) => Buffer.from([i >> 8, i & 255]).toString("base64"));
  const bounds = chooseBounds(keys, 4).map((bound) => Buffer.from(bound, "base64").readUInt16BE());
  assert.deepEqual(bounds, [250, 500, 750]);
});

test("a count of bad records is overdrawn as soon as it is, a share when all has been read", () => {
  const count = new BadRecordBudget({ kind: "count", max: 2 });
  assert.equal(count.add("map", success({ recordsIn: 10, badRecords: 2 }), false), null);
  assert.equal(count.add("map", success({ recordsIn: 10, badRecords: 1 }), false)?.code, "BAD_BUDGET");
  const share = new BadRecordBudget({ kind: "share", max: 0.1 });
  assert.equal(share.add("map", success({ recordsIn: 10, badRecords: 2 }), false), null);
  assert.equal(share.add("map", success({ recordsIn: 10, badRecords: 0 }), true), null);
  assert.equal(share.add("reduce", success({ badRecords: 1 }), false)?.code, "BAD_BUDGET");
});

test("options that make no sense are refused by name", () => {
  const cases: [LocalRunOptions, RegExp][] = [
    [{ workers: 0 }, /workers: 0/],
    [{ workers: 1.5 }, /workers/],
    [{ memory: "1MiB" }, /memory: 1048576 bytes are too few/],
    [{ memory: "much" }, /memory: "much" is not a size/],
    [{ splitSize: 0 }, /splitSize/],
    [{ sample: 0 }, /sample/],
    [{ sample: 1.1 }, /sample/],
    [{ maxBad: "1.5" }, /maxBad/],
    [{ maxBad: "101%" }, /maxBad/],
    [{ maxBad: -1 }, /maxBad/],
    [{ attempts: 0 }, /attempts/],
    [{ maxFailedTasks: "100%" }, /maxFailedTasks/],
    [{ noProgressMs: 0 }, /noProgressMs/],
  ];
  for (const [options, message] of cases) {
    assert.throws(() => resolveOptions(options, "thread"), { code: "USAGE", message });
  }
});

test("params become what their defaults are, and unknown names get a suggestion", () => {
  const params = { limit: "12", strict: "true", word: "12", list: "[1,2]", by: '{"a":1}', more: '"x"' };
  const made = { limit: 12, strict: true, word: "12", list: [1, 2], by: { a: 1 }, more: "x" };
  assert.deepEqual(paramsOf({ params }, outline), made);
  assert.throws(() => paramsOf({ params: { limit: "x" } }, outline), /"x" is not a number/);
  for (const limit of ["9007199254740993", "-12345678901234567890", "1e400", "-1E999"])
    assert.throws(() => paramsOf({ params: { limit } }, outline), /rounded|more than a double holds/);
  for (const limit of ["9007199254740991", "1e300", "-0.1234567890123456789", "Infinity"])
    assert.deepEqual(paramsOf({ params: { limit } }, outline), { limit: Number(limit) });
  assert.throws(() => paramsOf({ params: { strict: "yes" } }, outline), /"yes" is neither/);
  assert.throws(() => paramsOf({ params: { limt: "1" } }, outline), { hint: 'Did you mean "limit"?' });
  for (const [name, given, says] of [
    ["list", "1", /param list: 1 is not an array/],
    ["list", '{"a":1}', /is not an array/],
    ["list", "null", /is not an array/],
    ["list", "a,b", /param list: "a,b" is not JSON/],
    ["by", "[1]", /param by: \[1\] is not an object/],
    ["by", "null", /is not an object/],
    ["by", "1", /is not an object/],
    ["more", "x", /param more: "x" is not JSON/],
    ["more", '{"id":12345678901234567}', /param more: id: the integer 12345678901234567 is beyond 2\^53/],
    ["list", "[1e400]", /param list: \[0\]: the number 1e400 is larger/],
  ] as const) {
    const hint = new RegExp(`--set '${name}=`);
    assert.throws(() => paramsOf({ params: { [name]: given } }, outline), { message: says, hint });
  }
});

test("an outline tells of what kind the defaults of params are", () => {
  const params = { a: 1, b: [1], c: { d: 1 }, e: null, f: "x", g: true };
  const { params: kinds } = outlineOf(job({ input: text(), params, map: () => undefined }));
  assert.deepEqual(kinds, { a: "number", b: "array", c: "object", e: "null", f: "string", g: "boolean" });
});

test("partitions are asked for all collections or by name, else they are the job's", () => {
  assert.deepEqual(partitionsOf({}, outline), [null, 4, null]);
  assert.deepEqual(partitionsOf({ partitions: 3 }, outline), [3, 3, 3]);
  assert.deepEqual(partitionsOf({ partitions: { byCity: 2 } }, outline), [2, 4, null]);
  assert.throws(() => partitionsOf({ partitions: { broken: 2 } }, outline), {
    code: "USAGE",
    message: /collection "broken" has neither reduce nor order/,
    hint: /--split-size/,
  });
  assert.throws(() => partitionsOf({ partitions: { byCty: 2 } }, outline), {
    hint: 'Did you mean "byCity"?',
  });
});

test("parts are named by partition and roll, whatever the order in which tasks ended", () => {
  const part = (collection: number, partition: number, roll: number): OutputPart => ({
    kind: "output",
    collection,
    partition,
    roll,
    path: `${collection}-${partition}-${roll}`,
    extension: ".tsv",
    bytes: 1,
    records: 1,
    crc32c: 255,
  });
  const results = [
    success({}, [part(1, 0, 0)]),
    success({}, [part(0, 1, 0)]),
    success({}, [part(0, 0, 0), part(0, 0, 1)]),
  ];
  const named = nameParts(results, ["", "byAge"], "output");
  assert.deepEqual(
    named.map(({ source, part: { file, crc32c } }) => [source, file, crc32c]),
    [
      ["0-0-0", "part-00000.tsv", "000000ff"],
      ["0-0-1", "part-00001.tsv", "000000ff"],
      ["0-1-0", "part-00002.tsv", "000000ff"],
      ["1-0-0", "byAge/part-00000.tsv", "000000ff"],
    ],
  );
});

test("job ids sort by time and hold the name", () => {
  const random = (): number => 0.5;
  const early = makeJobId("Word Count!", Date.UTC(2026, 0, 2, 3, 4, 5, 6), random);
  assert.equal(early, "20260102-030405006-word-count-ssss");
  assert.ok(early < makeJobId("a", Date.UTC(2026, 0, 2, 3, 4, 5, 7), random));
  assert.match(makeJobId("日本", 0, random), /^19700101-000000000-job-/);
});

test("a worker's end is blamed on user code unless a signal from outside may have done it", () => {
  const exit = { code: null, signal: null, outOfMemory: false, message: null };
  const of = (change: object) =>
    failureOfExit({ ...exit, ...change }, "map", "process", null, ["last words"]);
  assert.deepEqual([of({ code: 0 }).code, of({ code: 0 }).blame], ["USER_EXITED", "user"]);
  assert.equal(of({ signal: "SIGABRT" }).code, "USER_EXITED");
  assert.deepEqual(
    [of({ signal: "SIGKILL" }).code, of({ signal: "SIGKILL" }).blame],
    ["WORKER_LOST", "system"],
  );
  assert.equal(of({ code: 134, outOfMemory: true }).code, "OUT_OF_MEMORY");
  assert.match(of({ outOfMemory: true }).hint ?? "", /--heap/);
  assert.deepEqual(of({ code: 1 }).log, ["last words"]);
});

test("captured output is whole lines, capped, and keeps its tail", () => {
  const sent: [string, string][] = [];
  const capture = new OutputCapture((stream, text) => sent.push([stream, text]));
  capture.write("stdout", "one\ntwo\nthr");
  capture.write("stdout", "ee\n");
  capture.write("stderr", "unfinished");
  capture.end();
  assert.deepEqual(sent, [
    ["stdout", "one\ntwo"],
    ["stdout", "three"],
    ["stderr", "unfinished"],
  ]);
  assert.deepEqual(capture.tail(), ["one", "two", "three", "unfinished"]);

  sent.length = 0;
  capture.reset();
  for (let i = 0; i < 100_000; i++) capture.write("stdout", `${"x".repeat(20)}\n`);
  capture.write("stdout", "y".repeat(1_000_000));
  capture.end();
  const chars = sent.reduce((sum, [, text]) => sum + text.length, 0);
  assert.ok(chars <= limits.taskLogBytesMax + 200, `${chars} characters were sent`);
  assert.match(sent.at(-1)![1], /characters more were printed and dropped/);
});

test("the report shows place, record, key and log on one screen, control characters escaped", () => {
  const failure = taskFailure("USER_CODE", "no such field", {
    name: "TypeError",
    phase: "map",
    path: "in/a.txt",
    offset: 1024,
    record: "a\u001b[31m\tb\r",
    key: '"k"',
    log: Array.from({ length: 50 }, (_, i) => `line ${i}`),
    stack: "TypeError: no such field\n    at map (job.ts:3:1)",
    hint: "Look at the record.",
  });
  const excerpt = [
    { line: 2, text: "const x = 1;" },
    { line: 3, text: "x.y.z();" },
  ];
  const mapped = { text: failure.stack!, place: { path: "/p/job.ts", line: 3, column: 5, excerpt } };
  const report = formatFailure(failure, {
    task: "map-00003",
    attempt: 4,
    mapped,
    replay: "sheaf replay @:map-3",
  });
  assert.ok(report.split("\n").length <= 24, report);
  for (const part of [
    "map-00003 failed (attempt 4): TypeError: no such field",
    "/p/job.ts:3:5",
    ">    3 | x.y.z();\n         |     ^",
    "in/a.txt:1024",
    "a\\u001b[31m\tb\\r",
    '"k"',
    "line 49",
    "Look at the record.",
    "sheaf replay @:map-3",
  ]) {
    assert.ok(report.includes(part), `${part} is not in\n${report}`);
  }
  const long = { ...failure, record: "x".repeat(500) };
  const cut = formatFailure(long, { task: "map-00003", attempt: 4, mapped, replay: null });
  assert.match(cut, /^ {2}record {2}x{240}\.\.\. \(500 characters\)$/m);
});

test("a fault hits the attempts it names", () => {
  const fault = { phase: "map", task: 3, untilAttempt: 2, how: "kill" } as const;
  const hit = (kind: string, index: number, attempt: number, when: "start" | "end" = "start"): boolean =>
    faultFor([fault], { kind, index, attempt }, when) !== undefined;
  assert.deepEqual([hit("map", 3, 1), hit("map", 3, 2), hit("map", 3, 3)], [true, true, false]);
  assert.deepEqual([hit("map", 2, 1), hit("reduce", 3, 1), hit("map", 3, 1, "end")], [false, false, false]);
});
