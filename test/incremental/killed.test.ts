import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { checkCommitted } from "#src/engine/committed-output.js";
import { sheaf } from "../cli/support.ts";
import { Days, few, tree } from "./support.ts";

test("killed at any point, the output is the one before or the one after, and the next run goes on from it", async (t) => {
  const days = new Days(t, few);
  const options = { on: "inline", inputs: days.logs, output: days.output, incremental: true, partitions: 2 };
  for (let day = 1; day <= 3; day++) days.day(day, day, 12);
  await days.go({ partitions: 2 });
  const kept = join(days.root, "kept");
  cpSync(days.output, kept, { recursive: true });
  days.day(2, 22, 30);
  days.day(4, 4, 12);
  const run = new URL("../../../dist/inside/runner/run.js", import.meta.url).href;
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
      (await checkCommitted(days.output)).parts.filter(({ damage }) => damage !== null),
      [],
    );
    const next = await days.same({ partitions: 2 });
    assert.deepEqual([next.kept.tasks, next.mappedTasks], [2, 2], `${kind} ${nth}`);
  }
});

test("of two runs into one output the later is refused, and what the earlier has made stays", async (t) => {
  const days = new Days(t, few);
  days.day(1, 1, 5);
  await days.go();
  const put = days.saved();
  days.day(2, 2, 5);
  await days.go();
  const made = join(days.root, "made");
  cpSync(days.output, made, { recursive: true });
  put();
  // When this one is about to commit, another run that began with the same output has done so.
  const late = await days.run(few, {
    on: "inline",
    inputs: days.logs,
    incremental: true,
    onEvent: (event) => {
      if (event.kind !== "phase-started" || event.phase !== "commit") return;
      rmSync(days.output, { recursive: true });
      cpSync(made, days.output, { recursive: true });
    },
  });
  assert.equal(late.error?.code, "OUTPUT_EXISTS", late.error?.report);
  assert.match(late.error.message, /another run has made .* anew while this one worked/);
  assert.deepEqual(tree(days.output), tree(made));
  assert.equal((await days.same()).bytesIn, 0);
});

test("the command says before it begins what it maps, and at the end what it took over", async (t) => {
  const days = new Days(t, few);
  const job = days.file("job.ts", few);
  for (let day = 1; day <= 4; day++) days.day(day, day, 12);
  const run = async (...more: string[]): Promise<string> => {
    const args = ["run", job, days.logs, "-o", days.output, "--incremental", "--inline", ...more];
    const { code, stderr } = await sheaf(args);
    assert.equal(code, 0, stderr);
    return stderr;
  };
  const first = await run();
  assert.match(first, /^plan {4}all of it is mapped: nothing is kept of an earlier run$/m);
  assert.match(
    first,
    /^ {2}kept {6}nothing: nothing is kept of an earlier run; .* for the next run in _state$/m,
  );
  rmSync(join(days.logs, "day-01.log"));
  days.day(4, 44, 12);
  const next = await run("--explain");
  assert.match(next, /^plan {4}2 map tasks of the run before kept, .* not read again$/m);
  assert.match(next, /^map-00000 {2}kept {2}.*day-02\.log: its input is what an earlier run has read$/m);
  assert.match(next, /^map-00002 {2}runs {2}.*day-04\.log: its content has changed$/m);
  assert.match(next, /^reduce-00000 {2}runs: it merges what is kept with what is mapped now$/m);
  assert.match(next, /^ {2}read {6}12 records, /m);
  assert.match(next, /^ {2}kept {6}24 records, .* \(2 map tasks\), 1 file gone; /m);
});
