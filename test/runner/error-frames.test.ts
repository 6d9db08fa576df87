import assert from "node:assert/strict";
import { test } from "node:test";
import { mapFailure, withoutEngineFrames } from "#src/engine/error-report.js";
import { taskFailure } from "#src/worker/failure.js";
import { assertFailed, Bench } from "./support.ts";

const engine = new URL("../../../modules/format/line-decoder.js", import.meta.url).href;
const frames = {
  engine: `    at LineDecoder.decode (${engine}:29:33)`,
  mapped: `    at async runMap (${engine.replace("file://", "").replace("/modules/", "/src/")}:40:17)`,
  node: "    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)",
  own: "    at decode (file:///jobs/job.mjs:3:1)",
};
const stackOf = (...lines: readonly string[]): string => ["SheafError: bad", ...lines].join("\n");

test("what the data is to blame for shows no frames of the engine, but those of a job's own reader", () => {
  const failure = (stack: string, blame: "data" | "user") =>
    taskFailure("RECORD_INVALID", "bad", { stack, blame });
  const { engine: first, mapped, node, own } = frames;
  const told = withoutEngineFrames(failure(stackOf(first, own, mapped, node), "data"));
  assert.equal(told.stack, stackOf(own));
  assert.equal(withoutEngineFrames(failure(stackOf(first, mapped, node), "data")).stack, null);
  const users = failure(stackOf(first), "user");
  assert.equal(withoutEngineFrames(users), users);
});

test("a report has no frames of the engine nor of Node, unless the bug is the engine's", async () => {
  const stack = stackOf(frames.engine, frames.own, frames.node);
  const user = await mapFailure(taskFailure("USER_CODE", "bad", { stack }), null);
  assert.equal(user?.text, "SheafError: bad\n    at decode (/jobs/job.mjs:3:1)");
  const bug = await mapFailure(taskFailure("INTERNAL", "bad", { stack, blame: "system" }), null);
  assert.match(bug!.text, /line-decoder\.js:29:33/);
});

for (const isolate of ["thread", "process", "inline"] as const) {
  test(`${isolate}: a record that cannot be decoded is told without a stack, to events and callers, too`, async (t) => {
    const bench = new Bench(t);
    const job = `
      import { count, job, text } from "sheaf";
      export default job({ input: text(), map(line, emit) { emit(line); }, reduce: count() });
    `;
    const inputs = bench.file("in.txt", Buffer.from([0x61, 0xff, 10]));
    const result = await bench.run(job, { inputs, isolate });
    assertFailed(bench, result, "RECORD_INVALID");
    // The same bytes would fail again.
    assert.equal(result.failedAttempts.length, 1);
    assert.match(result.error!.report, /\(attempt 1, not tried again: the input would be the same\)/);
    assert.equal(bench.of("attempt-failed")[0]?.failure.stack, null);
    assert.equal(result.error?.failure?.stack, null);
    assert.equal(
      (result.error!.cause as Error).stack,
      `SheafError: ${inputs}:0: byte 1 of the record (0xff) is not valid UTF-8`,
    );
    assert.doesNotMatch(result.error!.report, /^ +at /m);
  });
}
