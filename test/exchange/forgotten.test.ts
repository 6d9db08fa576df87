import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "#src/base/clock.js";
import { startShuffleNode } from "#src/exchange/shuffle-node.js";
import { tempDir } from "../cli/support.js";

test("a job forgotten while a cancelled reduce waits for its list of outputs ends nothing else", async (t) => {
  let asked: AbortSignal | null = null;
  const node = await startShuffleNode({
    agent: "a0",
    incarnation: () => 1,
    host: "127.0.0.1",
    port: 0,
    tls: null,
    // A coordinator that does not answer.
    outputs: (_job, _after, signal) => {
      asked = signal;
      return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    },
    clock: systemClock,
    random: () => 0.5,
    log: () => undefined,
  });
  t.after(() => node.close());
  const job = "20260101-000000000-forgotten-aaaa";
  node.prepared({ job, directory: tempDir(t), shuffleKey: "k".repeat(43), maps: 2, expected: [] });
  const cancelled = AbortSignal.abort(new Error("cancelled"));
  const question = { job, task: 0, collection: 0, partition: 0, version: 2, signal: cancelled };
  await assert.rejects(node.inputs({ ...question, moved: () => undefined }), /cancelled/);
  assert.ok(asked !== null);
  // Nobody waits for the answer any more: that it does not come must not be an error that nobody handles.
  const unhandled: unknown[] = [];
  const note = (error: unknown): unknown => unhandled.push(error);
  process.on("unhandledRejection", note);
  t.after(() => process.off("unhandledRejection", note));
  await node.forget(job);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(unhandled, []);
});
