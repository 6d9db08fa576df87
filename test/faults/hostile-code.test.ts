import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Value } from "typebox/value";
import { TaskReportSchema } from "#src/protocol/task-messages.js";
import { TASK_STATUS } from "#src/protocol/version.js";
import type { TaskFailure } from "#src/task/task-spec.js";
import { mapOrder, Stage, wordCount as agentWordCount } from "../agent/support.js";
import { assertCounted, assertFailed, Bench, inputText, wordCount } from "../runner/support.ts";

/* What a job may do to the process that runs it, to its parent, and to whoever reads its failure. */

const fs = 'const fs = process.getBuiltinModule?.("fs") ?? (await import("node:fs"));';
const v8 = 'const v8 = await import("node:v8");';
const frame =
  "const frame = (m: unknown) => { const b = v8.serialize(m); const l = Buffer.alloc(4);" +
  " l.writeUInt32BE(b.length); return Buffer.concat([l, b]); };";
const stats =
  "{ recordsIn: 1, bytesIn: 1, recordsOut: 0, bytesOut: 0, emitted: 0, shuffleBytes: 0, spills: 0," +
  " badRecords: 0, groups: 0, elapsedMs: 1, cpuMs: 1 }";
const forged = (more: string): string =>
  `for (let id = 0; id < 50; id++) fs.writeSync(4, frame({ kind: "result", id, spoiled: false, result: { ` +
  `kind: "success", stats: ${stats}, counters: {}, output: null, parts: [], keys: [], partitionBytes: [], pairs: [],` +
  ` hotKeys: [], badPath: null, ${more} } })); await new Promise((done) => setTimeout(done, 60_000));`;

/** Errors that are not what they seem. `says` is what the failure's message must match. */
const THROWN: readonly [name: string, throws: string, says: RegExp, code?: string][] = [
  [
    "a message that is an object",
    'throw Object.assign(new Error("x"), { message: { status: 500 } });',
    /message is no text: \{ status: 500 \}/,
  ],
  ["a name that is a number", 'throw Object.assign(new Error("x"), { name: 7 });', /^x$|: x$/],
  ["a stack that is an object", 'throw Object.assign(new Error("no stack"), { stack: {} });', /no stack/],
  [
    "a message of 3 million characters",
    'throw new Error("head" + "m".repeat(3e6) + "tail");',
    /^.*head.*left out.*tail$/s,
  ],
  [
    "a SheafError with a code of its own",
    'throw Object.assign(new Error("mine"), { name: "SheafError", code: "NO_SUCH_CODE", hint: 4 });',
    /mine/,
  ],
  [
    "a SheafError with a hint that is no text",
    'const code = "KEY_INVALID"; ' +
      'throw Object.assign(new Error("odd"), { name: "SheafError", code, hint: { a: 1 }, details: 3 });',
    /odd/,
    "KEY_INVALID",
  ],
  [
    "getters that throw",
    'throw Object.defineProperty(new Error("x"), "message", { get() { throw new Error("y"); } });',
    /Error/,
  ],
  [
    "a revoked proxy",
    "const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); throw proxy;",
    /cannot be printed/,
  ],
  [
    "a log line of 3 MB before it",
    'ctx.log("l".repeat(3e6)); throw new Error("after the log");',
    /after the log/,
  ],
  ["a counter's name of 1 MB", 'ctx.count("c".repeat(1e6));', /a counter's name/, "VALUE_INVALID"],
  [
    "a counter per record and number",
    'for (let n = 0; n < 2_000; n++) ctx.count("n" + n);',
    /1000 counters already/,
    "VALUE_INVALID",
  ],
];

/** Nothing of this reaches anybody. */
const HARMLESS: readonly [name: string, does: string][] = [
  ["process.send", "for (const m of [null, 1, { kind: 'result' }]) (process as any).send?.(m);"],
  [
    "parentPort",
    `const { parentPort, workerData } = await import("node:worker_threads");
     if (workerData !== null) throw new Error("there is data");
     for (const m of [null, { kind: "result", id: 1 }]) parentPort?.postMessage(m);`,
  ],
];

/** Bytes on the descriptor that is the engine's own. */
const CHANNEL: readonly [name: string, writes: string, says: RegExp][] = [
  ["bytes that are no message", 'fs.writeSync(4, Buffer.from("\\0\\0\\0\\x04junkjunk"));', /cannot be read/],
  ["a length of gigabytes", "fs.writeSync(4, Buffer.alloc(4, 0xff));", /not 64 MiB at most/],
  ["null", "fs.writeSync(4, frame(null));", /null is not an object/],
  ["a message of another kind", 'fs.writeSync(4, frame({ kind: "toString" }));', /no kind of message/],
  [
    "a result with a file that is not its own",
    forged(
      'badPath: null, parts: [{ kind: "output", collection: 0, partition: 0, roll: 0, path: "/etc/passwd",' +
        ' extension: ".tsv", bytes: 1, records: 1, crc32c: 0 }]',
    ),
    /no file of map \d+/,
  ],
  ["a result with counters that are none", forged("counters: { a: NaN }"), /NaN is not a finite number/],
  [
    "a result with the output of another task",
    forged("output: { task: 9, attempt: 1, path: null }"),
    /that of map 9/,
  ],
];

const map = (does: string): string => `return (async () => { ${fs} ${v8} ${frame} ${does} })();`;

describe("hostile code on this machine", { concurrency: 2 }, () => {
  for (const [name, throws, says, code = "USER_CODE"] of THROWN) {
    test(`${name} is a failure that can be shown and kept`, async (t) => {
      const bench = new Bench(t);
      const options = { inputs: bench.file("in.txt", inputText), attempts: 1 };
      const result = await bench.run(wordCount({ map: throws }), options);
      assertFailed(bench, result, code);
      const failure = result.failedAttempts[0]!.failure;
      assert.match(failure.message, says);
      assert.ok(JSON.stringify(failure).length < 100_000, "cut to size");
    });
  }

  for (const isolate of ["thread", "process"] as const) {
    for (const [name, does] of HARMLESS) {
      test(`${isolate}: what is sent by ${name} reaches nobody`, async (t) => {
        const bench = new Bench(t);
        const code = wordCount({ more: `async setup() { ${does} },` });
        const result = await bench.run(code, { inputs: bench.file("in.txt", inputText), isolate });
        assertCounted(bench, result);
      });
    }
  }

  for (const [name, writes, says] of CHANNEL) {
    test(`process: ${name} on the channel ends that worker with the job's failure`, async (t) => {
      const bench = new Bench(t);
      const options = { inputs: bench.file("in.txt", inputText), isolate: "process", attempts: 1 } as const;
      const result = await bench.run(wordCount({ map: map(writes) }), options);
      assertFailed(bench, result, "USER_CODE");
      assert.match(result.error!.message, says);
    });
  }

  test("what expect answers is cut before it is told", async (t) => {
    const bench = new Bench(t);
    const code = wordCount({ more: 'expect: () => "head" + "x".repeat(2_000_000) + "tail",' });
    const result = await bench.run(code, { inputs: bench.file("in.txt", inputText) });
    assertFailed(bench, result, "EXPECT_FAILED");
    assert.match(result.error!.message, /head.*left out.*tail/s);
    assert.ok(result.error!.message.length < 30_000);
  });
});

test("an agent survives all of it, reports what its coordinator understands, and works on", async (t) => {
  const stage = new Stage(t);
  await stage.start();
  const cases = [
    ...THROWN.map(([name, does, says, code]) => [name, does, says, code ?? "USER_CODE"] as const),
    ...CHANNEL.map(([name, does, says]) => [name, map(does), says, "USER_CODE"] as const),
  ];
  const dispatch = cases.map(([, does], index) => `if (line === "case ${index}") { ${does} }`).join("\n");
  await stage.prepare(agentWordCount({ map: dispatch }));
  for (const [index, [name, , says, code]] of cases.entries()) {
    const report = await stage.coordinator.run(mapOrder(stage.split(`case ${index}\n`, index)));
    assert.ok(Value.Check(TaskReportSchema, report), `${name}: the report is of the schema's form`);
    const failure = report.result as TaskFailure;
    assert.equal(report.status, TASK_STATUS.FAILED, name);
    assert.equal(failure.code, code, name);
    assert.match(failure.message, says, name);
  }
  for (const [index, [name, does]] of HARMLESS.entries()) {
    await stage.prepare(agentWordCount({ more: `async setup() { ${does} },` }));
    const report = await stage.coordinator.run(mapOrder(stage.split("well\n", 100 + index)));
    assert.equal(report.status, TASK_STATUS.FINISHED, `${name}: ${JSON.stringify(report)}`);
  }
});
