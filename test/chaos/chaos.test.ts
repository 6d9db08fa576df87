import assert from "node:assert/strict";
import { test } from "node:test";
import { MiB } from "#src/base/size.js";
import { runChaos } from "./chaos.js";

const seed = Number(process.env["SHEAF_CHAOS_SEED"] ?? Date.now() % 1_000_000);

test(`90 seconds of faults break no invariant (seed ${seed})`, async (t) => {
  const report = await runChaos({
    ms: 90_000,
    seed,
    inputBytes: 6 * MiB,
    tell: (line) => t.diagnostic(line),
  });
  t.diagnostic(JSON.stringify(report));
  const sum = (counts: Readonly<Record<string, number>>): number =>
    Object.values(counts).reduce((total, count) => total + count, 0);
  assert.ok(sum(report.jobs) >= 4, "not each kind of job was run");
  assert.ok(sum(report.faults) >= 10, "hardly any faults came");
  const failed = Object.entries(report.jobs).filter(([ending]) => !ending.endsWith(" SUCCEEDED"));
  assert.ok(
    sum(Object.fromEntries(failed)) * 4 <= sum(report.jobs),
    "more than a quarter of the jobs failed",
  );
});
