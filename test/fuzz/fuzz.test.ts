import assert from "node:assert/strict";
import { test } from "node:test";
import { runFuzz } from "./fuzz.js";

// For longer: npm run fuzz.
// The same messages are changed in the same way each time; SHEAF_FUZZ_SEED gives others.
const seed = Number(process.env["SHEAF_FUZZ_SEED"] ?? 20_260);

test(`some seconds of messages that nobody of sheaf sends break nothing (seed ${seed})`, async (t) => {
  const report = await runFuzz({ ms: 4_000, requestsMin: 50, seed, tell: (line) => t.diagnostic(line) });
  t.diagnostic(JSON.stringify(report));
  const { answers, jobs, workerMessages, changedAnswers } = report;
  for (const status of ["200", "400", "404"])
    assert.ok((answers[status] ?? 0) > 0, `none was answered ${status}`);
  assert.ok(changedAnswers > 0 && workerMessages > 0);
  for (const kind of ["good SUCCEEDED", "together SUCCEEDED"]) assert.ok((jobs[kind] ?? 0) > 0, `no ${kind}`);
});
