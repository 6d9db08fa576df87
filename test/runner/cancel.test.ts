import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { RunEvent } from "#src/engine/events.js";
import { Bench, inputText, wordCount } from "./support.ts";

/** faults.md N24: cancelled when, and in what way user code is busy then. */
const MOMENTS: readonly [when: string, is: (event: RunEvent) => boolean, job: string][] = [
  ["loading", (event) => event.kind === "job-started", wordCount()],
  ["planning", (event) => event.kind === "planned", wordCount()],
  ["mapping", (event) => event.kind === "log", wordCount({ map: 'console.log("here"); for (;;);' })],
  ["reducing", (event) => event.kind === "log", wordCount({ reduce: 'console.log("here"); for (;;);' })],
];

for (const [when, is, job] of MOMENTS) {
  for (const isolate of ["thread", "process"] as const) {
    test(`${isolate}: a job cancelled while ${when} stops, and leaves nothing`, async (t) => {
      const bench = new Bench(t);
      const controller = new AbortController();
      const result = await bench.run(job, {
        inputs: bench.file("in.txt", inputText),
        isolate,
        signal: controller.signal,
        onEvent: (event) => {
          if (!is(event)) return;
          controller.abort();
          controller.abort();
        },
      });
      assert.deepEqual([result.status, result.error?.code], ["CANCELLED", "CANCELLED"]);
      assert.deepEqual(bench.left(), []);
      assert.throws(() => result.throwIfFailed(), { code: "CANCELLED" });
      assert.equal(bench.of("job-finished")[0]?.status, "CANCELLED");
    });
  }
}

test("a job cancelled in its commit has one outcome: the whole output, or none", async (t) => {
  const bench = new Bench(t);
  const controller = new AbortController();
  const result = await bench.run(wordCount(), {
    inputs: bench.file("in.txt", inputText),
    signal: controller.signal,
    onEvent: (event) => event.kind === "phase-started" && event.phase === "commit" && controller.abort(),
  });
  assert.equal(result.status, "SUCCEEDED");
  assert.ok(existsSync(join(bench.output, "_SUCCESS")));
  assert.deepEqual(bench.left(), ["out"]);
});

test("a signal that was aborted before ends the run before it begins", async (t) => {
  const bench = new Bench(t);
  const result = await bench.run(wordCount(), {
    inputs: bench.file("in.txt", inputText),
    signal: AbortSignal.abort(),
  });
  assert.equal(result.status, "CANCELLED");
  assert.deepEqual(bench.left(), []);
});
