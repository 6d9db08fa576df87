import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { until } from "../kit/wait.js";
import { Bench } from "./support.js";

/** Goes on when the file is there. */
const held = (go: string): string => `
  import { job, generate, sum } from "sheaf";
  import { existsSync } from "node:fs";
  export default job({ name: "first", input: generate({ tasks: 1, *records() {
      while (!existsSync(${JSON.stringify(go)}))
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
      yield 1; } }),
    map(n, emit) { if (existsSync(${JSON.stringify(`${go}-bad`)})) throw new Error("bad"); emit("n", n); },
    reduce: sum() });`;
const quick = `import { job, generate, sum } from "sheaf";
  export default job({ input: generate({ tasks: 1, *records() { yield 1; } }), map(n, emit) { emit("n", n); },
    reduce: sum() });`;

test("a run waits for the jobs of this machine that it follows, and for their success", async (t) => {
  const bench = new Bench(t);
  for (const isGood of [true, false]) {
    const go = join(bench.root, `go-${isGood}`);
    if (!isGood) writeFileSync(`${go}-bad`, "");
    const output = join(bench.root, `out-${isGood}`);
    const before = readdirSync(bench.root).includes("state")
      ? readdirSync(join(bench.state, "jobs")).length
      : 0;
    const first = bench.run(held(go), { output: `${output}-first` }, "first.ts");
    await until(
      "the first has begun",
      () => existsSync(join(bench.state, "jobs")) && readdirSync(join(bench.state, "jobs")).length > before,
    );
    const waits: string[] = [];
    const next = bench.run(quick, {
      output,
      after: ["@?first", "@"],
      onEvent: (event) => {
        if (event.kind === "waiting") waits.push(event.for);
        if (event.kind === "planned") waits.push("planned");
      },
    });
    await until("the second waits", () => waits.length > 0);
    assert.equal(existsSync(output), false);
    writeFileSync(go, "");
    const [{ jobId }, result] = await Promise.all([first, next]);
    assert.equal(waits[0], `the success of ${jobId}, ${jobId}`);
    assert.deepEqual(
      [result.status, result.error?.code, waits.length],
      isGood ? ["SUCCEEDED", undefined, 2] : ["FAILED", "PREDECESSOR_FAILED", 1],
    );
    assert.equal(existsSync(output), isGood);
    const again = await bench.run(quick, { output: `${output}-2`, after: jobId });
    assert.equal(again.error?.code, isGood ? undefined : "PREDECESSOR_FAILED");
  }
});

test("what cannot be waited for is refused, and a job whose process was killed has failed", async (t) => {
  const bench = new Bench(t);
  const refused = async (after: string, state?: null) =>
    (await bench.run(quick, { after, ...(state === null && { stateDirectory: null }) })).error;
  assert.equal((await refused("@"))?.code, "NOT_FOUND");
  assert.equal((await refused("@?none"))?.code, "NOT_FOUND");
  assert.equal((await refused("@:map-3"))?.code, "USAGE");
  assert.equal((await refused(""))?.code, "USAGE");
  assert.match((await refused("@", null))?.message ?? "", /no history of jobs is kept/);
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  const record = {
    jobId: "20250101-000000000-dead-abcd",
    name: "dead",
    status: "RUNNING",
    pid,
    host: hostname(),
  };
  const directory = join(bench.state, "jobs", record.jobId);
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "job.json"), JSON.stringify(record));
  assert.equal((await refused("@?dead"))?.code, "PREDECESSOR_FAILED");
  // Another host's jobs are what their records say; one that is being written is looked at again.
  writeFileSync(join(directory, "job.json"), JSON.stringify({ ...record, host: "elsewhere" }));
  const abort = new AbortController();
  const waiting = bench.run(quick, {
    after: "@?dead",
    signal: abort.signal,
    onEvent: (event) => {
      if (event.kind !== "waiting") return;
      writeFileSync(join(directory, "job.json"), '{"jobId": ');
      setTimeout(
        () => writeFileSync(join(directory, "job.json"), JSON.stringify({ ...record, status: "SUCCEEDED" })),
        300,
      );
    },
  });
  assert.equal((await waiting).status, "SUCCEEDED");
  writeFileSync(join(directory, "job.json"), JSON.stringify({ ...record, host: "elsewhere" }));
  const cancelled = bench.run(quick, {
    output: `${bench.output}-2`,
    after: "@?dead",
    signal: abort.signal,
    onEvent: (event) => event.kind === "waiting" && abort.abort(),
  });
  assert.equal((await cancelled).status, "CANCELLED");
  assert.equal(existsSync(`${bench.output}-2`), false);
});
