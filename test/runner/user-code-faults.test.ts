import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Isolation } from "#src/worker/worker.js";
import { assertCounted, assertFailed, Bench, inputText, wordCount } from "./support.ts";

/** Where it happens, what user code does, how that is told. faults.md N10 and N11. */
const FAULTS: readonly [
  isolation: Isolation,
  where: "map" | "reduce" | "top",
  does: string,
  code: string,
  says: RegExp,
][] = [
  ["thread", "map", "process.exit(0);", "USER_EXITED", /user code exited.*exit code 0/],
  ["thread", "map", "process.exit(1);", "USER_EXITED", /user code exited.*exit code 1/],
  ["thread", "reduce", "process.exit(0);", "USER_EXITED", /user code exited/],
  ["thread", "top", "process.exit(0);", "USER_EXITED", /user code exited/],
  ["process", "map", "process.exit(0);", "USER_EXITED", /user code exited.*exit code 0/],
  ["process", "reduce", "process.abort();", "USER_EXITED", /user code exited.*SIGABRT/],
  ["process", "map", 'process.kill(process.pid, "SIGKILL");', "USER_EXITED", /user code exited.*SIGKILL/],
  ["process", "top", "process.exit(3);", "USER_EXITED", /user code exited.*exit code 3/],
  ["thread", "map", 'void Promise.reject(new Error("nobody catches me"));', "USER_CODE", /nobody catches me/],
  [
    "process",
    "map",
    'void Promise.reject(new Error("nobody catches me"));',
    "USER_CODE",
    /nobody catches me/,
  ],
  ["thread", "map", "throw undefined;", "USER_CODE", /undefined/],
  ["thread", "reduce", 'const e: any = new Error("a circle"); e.self = e; throw e;', "USER_CODE", /a circle/],
  ["thread", "map", "const o: any = {}; o.o = o; throw o;", "USER_CODE", /thrown value: \{ o: \{ o: /],
  ["thread", "map", 'setTimeout(() => { throw new Error("just after"); }, 0);', "USER_CODE", /just after/],
  ["thread", "map", "const f = (n: number): number => f(n + 1) + 1; f(0);", "USER_CODE", /call stack/],
  ["thread", "map", "Buffer.alloc(2 ** 50);", "USER_CODE", /out of range/],
];

for (const [isolate, where, does, code, says] of FAULTS) {
  test(`${isolate}: ${does} in ${where} fails the job after its attempts, and is told`, async (t) => {
    const bench = new Bench(t);
    const result = await bench.run(wordCount({ [where]: does }), {
      inputs: bench.file("in.txt", inputText),
      isolate,
    });
    assertFailed(bench, result, code);
    assert.match(result.error!.message, says);
    assert.ok(result.error!.report.includes(result.error!.message));
    // Whether user code or somebody else sent a SIGKILL cannot be told: it takes more of them.
    if (where !== "top") assert.equal(result.failedAttempts.length, does.includes("SIGKILL") ? 4 : 2);
  });
}

for (const [where, does, says] of [
  ["map", 'void Promise.reject(new Error("nobody catches me"));', /nobody catches me/],
  ["reduce", 'setTimeout(() => { throw new Error("just after"); }, 0);', /just after/],
  ["map", "return new Promise<void>(() => {});", /never settles/],
  [
    "map",
    'void Promise.reject(new Error("nobody catches me")); ' +
      'return new Promise<void>((end) => setTimeout(() => { end(); void Promise.reject("again"); }, 200));',
    // What the first attempt has left behind may come before what the second does.
    /nobody catches me|again/,
  ],
] as const) {
  test(`inline: ${does} in ${where} fails the job, not its process`, async (t) => {
    const bench = new Bench(t);
    const options = { inputs: bench.file("in.txt", inputText), isolate: "inline" } as const;
    const told = await bench.runElsewhere(wordCount({ [where]: does }), options);
    assert.deepEqual(
      [told.exit, told.status, told.code, told.failed],
      [0, "FAILED", "USER_CODE", 2],
      told.stderr,
    );
    assert.match(told.message!, says);
    assert.deepEqual(bench.left(), []);
  });
}

for (const isolate of ["thread", "process", "inline"] as const) {
  test(`${isolate}: what is thrown just after a task has ended is that task's failure`, async (t) => {
    const bench = new Bench(t);
    // The last thing the map does: nothing of it is written to disk behind that.
    const more = 'teardown() { setTimeout(() => { throw new Error("just after"); }, 0); },';
    const options = { inputs: bench.file("in.txt", inputText), isolate };
    const told = await bench.runElsewhere(wordCount({ more }), options);
    assert.deepEqual([told.status, told.code, told.failed], ["FAILED", "USER_CODE", 2], told.stderr);
    assert.match(told.message!, /just after/);
    assert.deepEqual(bench.left(), []);
  });
}

for (const isolate of ["thread", "process"] as const) {
  test(`${isolate}: a promise that nothing can settle is noticed before the timeout`, async (t) => {
    const bench = new Bench(t);
    const map = "return new Promise<void>(() => {});";
    const result = await bench.run(wordCount({ map }), { inputs: bench.file("in.txt", inputText), isolate });
    assertFailed(bench, result, "USER_CODE");
    assert.match(result.error!.message, /never settles/);
  });
}

describe("what hangs", { concurrency: true }, () => {
  const hangs = { attempts: 1, noProgressMs: 1_000 };

  for (const isolate of ["thread", "process"] as const) {
    test(`${isolate}: an endless loop is ended by the timeout, and what it printed is told`, async (t) => {
      const bench = new Bench(t);
      const inputs = bench.file("in.txt", inputText);
      const map = 'console.log("before the loop"); for (;;);';
      const result = await bench.run(wordCount({ map }), { inputs, isolate, ...hangs });
      assertFailed(bench, result, "NO_PROGRESS");
      assert.match(result.error!.report, /before the loop/);
      assert.match(result.error!.hint!, /ctx\.progress/);
    });
  }

  test("an endless loop in reduce is ended, too", async (t) => {
    const bench = new Bench(t);
    const result = await bench.run(wordCount({ reduce: "for (;;);" }), {
      inputs: bench.file("in.txt", inputText),
      ...hangs,
    });
    assertFailed(bench, result, "NO_PROGRESS");
    assert.match(result.error!.message, /reduce-00000/);
  });

  test("waiting for something that may still come is ended by the no-progress timeout", async (t) => {
    const bench = new Bench(t);
    const map = "setInterval(() => {}, 50); return new Promise<void>(() => {});";
    const result = await bench.run(wordCount({ map }), { inputs: bench.file("in.txt", inputText), ...hangs });
    assertFailed(bench, result, "NO_PROGRESS");
  });

  test("an endless loop at the top level of the job file ends the run", async (t) => {
    const bench = new Bench(t);
    const result = await bench.run(wordCount({ top: "for (;;);" }), {
      inputs: bench.file("in.txt", inputText),
      ...hangs,
    });
    assertFailed(bench, result, "NO_PROGRESS");
    assert.match(result.error!.message, /load took longer than 1000 ms/);
  });

  test("a stopped process is killed, and its task run again", async (t) => {
    const bench = new Bench(t);
    const map = 'if (ctx.attempt === 1) process.kill(process.pid, "SIGSTOP");';
    const options = {
      inputs: bench.file("in.txt", inputText),
      isolate: "process",
      noProgressMs: 1_000,
    } as const;
    const result = await bench.run(wordCount({ map }), options);
    assertCounted(bench, result);
    // Its first record stops it: what a worker may need to start, a minute, is not waited for.
    const lostMs = bench.of("attempt-failed")[0]!.atMs - bench.of("attempt-started")[0]!.atMs;
    assert.ok(lostMs < 60_000, `${lostMs} ms`);
  });
});

for (const isolate of ["thread", "process"] as const) {
  test(`${isolate}: a full heap ends the attempt only, and names the setting`, async (t) => {
    const bench = new Bench(t);
    const inputs = bench.file("in.txt", inputText);
    const map =
      "const all: unknown[] = []; " +
      "for (let i = ctx.attempt > 1 ? 40_000 : 0; i < 40_000; i++) all.push(new Array(1000).fill(0.5));";
    const result = await bench.run(wordCount({ map }), { inputs, isolate, heap: "64MiB" });
    assertCounted(bench, result);
    assert.equal(result.failedAttempts[0]?.failure.code, "OUT_OF_MEMORY");
    assert.match(result.failedAttempts[0]?.failure.hint ?? "", /--heap.*--memory/);
    assert.match(result.failedAttempts[0]?.failure.message ?? "", /64 MiB/);
  });
}

test("a flood of output is capped and blocks nobody", async (t) => {
  const bench = new Bench(t);
  const inputs = bench.file("in.txt", inputText);
  const map =
    'for (let i = 0; i < 50_000; i++) console.log("some line " + i + "x".repeat(20));' +
    'console.error("y".repeat(2 ** 24));';
  for (const isolate of ["thread", "process"] as const) {
    // One task: a slow one would hand over its rest to others, which may print as much.
    const result = await bench.run(wordCount({ map }), { inputs, isolate, overwrite: true, mappers: 1 });
    assertCounted(bench, result);
    const chars = bench.of("log").reduce((sum, event) => sum + event.text.length, 0);
    assert.ok(chars > 1_000_000 && chars < 1_100_000, `${chars} characters`);
    assert.match(bench.of("log").at(-1)!.text, /printed and dropped/);
  }
});

test("what user code prints reaches the events and the task's log, not standard output", async (t) => {
  const bench = new Bench(t);
  const inputs = bench.file("in.txt", inputText);
  const map =
    'if (line === "that is") ' +
    '{ console.log("printed %d", 1); console.error("complained"); ctx.log("logged"); }';
  const result = await bench.run(wordCount({ map }), { inputs });
  assertCounted(bench, result);
  const heard = bench.of("log").map(({ task, attempt, stream, text }) => [task, attempt, stream, text]);
  assert.deepEqual(heard, [
    ["map-00000", 1, "stdout", "printed 1"],
    ["map-00000", 1, "stderr", "complained"],
    ["map-00000", 1, "log", "logged"],
  ]);
});
