import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { checkOutput } from "#src/engine/committed-output.js";
import { Days, few } from "./support.ts";

test("killed at any point, the output is the one before or the one after, and the next run goes on from it", async (t) => {
  const days = new Days(t, few);
  const options = { on: "inline", inputs: days.logs, output: days.output, incremental: true, partitions: 2 };
  for (let day = 1; day <= 3; day++) days.day(day, day, 12);
  await days.go({ partitions: 2 });
  const kept = join(days.root, "kept");
  cpSync(days.output, kept, { recursive: true });
  days.day(2, 22, 30);
  days.day(4, 4, 12);
  const run = new URL("../../../dist/runner/run.js", import.meta.url).href;
  // The event at which it is killed, and how many of its kind come before.
  for (const [kind, nth] of [
    ["planned", 0],
    ["attempt-finished", 1],
    ["attempt-finished", 5],
    ["phase-started", 2],
  ] as const) {
    rmSync(days.output, { recursive: true, force: true });
    cpSync(kept, days.output, { recursive: true });
    const script = days.file(
      "killed.mjs",
      `import { runJob } from ${JSON.stringify(run)};
       let left = ${nth};
       const onEvent = ({ kind }) => {
         if (kind === ${JSON.stringify(kind)} && left-- === 0) process.kill(process.pid, "SIGKILL");
       };
       const options = ${JSON.stringify({ ...options, stateDirectory: days.state })};
       await runJob(${JSON.stringify(days.file("job.ts", few))}, { ...options, onEvent });`,
    );
    const child = spawn(process.execPath, [script], { stdio: "ignore" });
    const [, signal] = (await once(child, "close")) as [number | null, string | null];
    assert.equal(signal, "SIGKILL", `${kind} ${nth}`);
    assert.ok(existsSync(days.output));
    assert.deepEqual(
      (await checkOutput(days.output)).parts.filter(({ damage }) => damage !== null),
      [],
    );
    const next = await days.same({ partitions: 2 });
    assert.deepEqual([next.kept.tasks, next.mappedTasks], [2, 2], `${kind} ${nth}`);
  }
});
