import assert from "node:assert/strict";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { limits } from "#src/base/limits.js";
import type { JobRecord } from "#src/engine/job-directory.js";
import { defaultStateDirectory, findJob, listJobs } from "#src/engine/job-history.js";
import { pruneJobs } from "#src/engine/prune-jobs.js";
import { replay } from "#src/runner/replay.js";
import { assertCounted, Bench, inputText, wordCount } from "./support.ts";

test("a job directory holds what its documentation says", async (t) => {
  const bench = new Bench(t);
  const inputs = bench.file("in.txt", inputText);
  const result = await bench.run(wordCount({ map: 'ctx.log("seen " + line);' }), { inputs, mappers: 1 });
  assertCounted(bench, result);
  const directory = result.directory!;
  assert.equal(directory, join(bench.state, "jobs", result.jobId));
  const read = (name: string): string => readFileSync(join(directory, name), "utf8");
  assert.equal(read("result"), "OK\n");
  const record = JSON.parse(read("job.json")) as JobRecord;
  assert.deepEqual(
    [record.jobId, record.name, record.status, record.file, record.inputs, record.output, record.counters],
    [result.jobId, "job", "SUCCEEDED", join(bench.root, "job.ts"), [inputs], bench.output, { lines: 4 }],
  );
  assert.deepEqual([record.recordsIn, record.recordsOut, record.mapTasks, record.reduceTasks], [4, 8, 1, 1]);
  assert.ok(record.endTime! >= record.startTime);
  assert.match(read("logs/map-00000.log"), /^seen to be or\nseen not to be\n/);
  const kinds = read("events.jsonl")
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as { kind: string }).kind);
  assert.equal(kinds.at(-1), "job-finished");
  assert.ok(kinds.includes("planned") && !kinds.includes("log"));
  assert.match(read("app.log"), /reduce: 1 tasks/);
  assert.equal((JSON.parse(read("progress/map-00000.json")) as { status: string }).status, "FINISHED");
  assert.match(read("app/job.mjs"), /emit\(word, 1\)/);
  assert.ok(existsSync(join(directory, "jobconfig.json")));
});

test("without a state directory nothing is kept", async (t) => {
  const bench = new Bench(t);
  const result = await bench.run(wordCount(), {
    inputs: bench.file("in.txt", inputText),
    stateDirectory: null,
  });
  assertCounted(bench, result);
  assert.deepEqual([result.directory, existsSync(bench.state)], [null, false]);
});

test("handles name the latest job, the latest of a name, the beginning of an id, and tasks", async (t) => {
  const bench = new Bench(t);
  const ids = [
    "20260101-000000000-apples-aaaa",
    "20260101-000000001-pears-bbbb",
    "20260102-000000000-apples-cccc",
  ];
  for (const jobId of ids) keep(bench.state, { jobId, name: jobId.split("-")[2]! });
  const found = async (handle: string): Promise<[string, string | null]> => {
    const job = await findJob(bench.state, handle);
    return [job.record.jobId, job.task];
  };
  assert.deepEqual(await found("@"), [ids[2], null]);
  assert.deepEqual(await found("@?pears"), [ids[1], null]);
  assert.deepEqual(await found("@?apples:reduce-3"), [ids[2], "reduce-00003"]);
  assert.deepEqual(await found("@:map-00017"), [ids[2], "map-00017"]);
  assert.deepEqual(await found("20260102"), [ids[2], null]);
  assert.deepEqual(await found(`${ids[0]!}:map-0`), [ids[0], "map-00000"]);
  assert.deepEqual(
    (await listJobs(bench.state)).map(({ record }) => record.jobId),
    [...ids].reverse(),
  );
  await assert.rejects(found("20260101"), { code: "NOT_FOUND", message: /begins 2 job ids/ });
  await assert.rejects(found("2027"), { code: "NOT_FOUND" });
  await assert.rejects(found("@?aples"), { code: "NOT_FOUND", hint: /@\?apples/ });
  await assert.rejects(findJob(join(bench.root, "nowhere"), "@"), {
    code: "NOT_FOUND",
    message: /no job has run/,
  });
  assert.deepEqual(await listJobs(join(bench.root, "nowhere")), []);
});

test("a job whose process is gone is listed as failed, one that runs as running", async (t) => {
  const bench = new Bench(t);
  // Process ids end below 2^22 on Linux.
  keep(bench.state, { jobId: "a", status: "RUNNING", pid: 2 ** 22 + 1 });
  keep(bench.state, { jobId: "b", status: "RUNNING", pid: process.pid });
  const jobs = await listJobs(bench.state);
  assert.deepEqual(
    jobs.map(({ record }) => record.status),
    ["RUNNING", "FAILED"],
  );
  assert.match(jobs[1]!.record.exception!, /was killed/);
});

test("the oldest jobs go when there are more than are kept", async (t) => {
  const bench = new Bench(t);
  for (let i = 0; i < limits.jobsKept + 3; i++)
    keep(bench.state, { jobId: `job-${String(i).padStart(4, "0")}` });
  await pruneJobs(bench.state, limits.jobsKept);
  const left = readdirSync(join(bench.state, "jobs")).sort();
  assert.deepEqual([left.length, left[0]], [limits.jobsKept, "job-0003"]);
});

test("a job with a time of its own stays until then, whatever else comes; one that runs stays, too", async (t) => {
  const bench = new Bench(t);
  const names = (): string[] => readdirSync(join(bench.state, "jobs")).sort();
  const job = `import { job, generate, count } from "sheaf";
    export default job({ input: generate({ tasks: 1, *records() { yield 1; } }), map(n, emit) { emit(n); },
      reduce: count() });`;
  await bench.run(job, { name: "week", keepMs: 7 * 86_400_000, keepBundle: true });
  const [week = ""] = names();
  const until = Number(readFileSync(join(bench.state, "jobs", week, "keep-until"), "utf8"));
  assert.ok(Math.abs(until - Date.now() - 7 * 86_400_000) < 60_000);
  const bundles = readdirSync(join(bench.state, "bundles")).filter((name) => !name.startsWith("."));
  assert.ok(bundles.some((name) => existsSync(join(bench.state, "bundles", name, "keep"))));
  keep(bench.state, { jobId: "20990101-over" });
  writeFileSync(join(bench.state, "jobs", "20990101-over", "keep-until"), `${Date.now() - 1}\n`);
  keep(bench.state, { jobId: "0-runs", status: "RUNNING", pid: process.pid, host: hostname() });
  writeFileSync(join(bench.state, "jobs", "0-runs", "result"), "INCOMPLETE\n");
  for (const jobId of ["1-old", "2-new", "3-new"]) keep(bench.state, { jobId });
  await pruneJobs(bench.state, 2);
  assert.deepEqual(names(), ["0-runs", week, "2-new", "3-new"].sort());
  // A disk that was full, or a hand, has left this: it says nothing, so these are as others.
  const unclear = ["", "\n", "soon\n", "Infinity\n", "-1\n", `${until + 1e9}`];
  for (const [i, text] of unclear.entries()) {
    keep(bench.state, { jobId: `4-unclear-${i}` });
    writeFileSync(join(bench.state, "jobs", `4-unclear-${i}`, "keep-until"), text);
  }
  await pruneJobs(bench.state, 5);
  const left = ["1", "2", "3", "4", "5"].map((i) => `4-unclear-${i}`);
  assert.deepEqual(names(), ["0-runs", week, ...left].sort());
  await assert.rejects(bench.run(job, { keepMs: 1 }), { code: "USAGE", message: /keepMs: 1 is not/ });
});

test("the state directory comes from the environment, else lies in the home", () => {
  assert.equal(defaultStateDirectory({ SHEAF_STATE: "/s", XDG_STATE_HOME: "/x" }, "/h"), "/s");
  assert.equal(defaultStateDirectory({ XDG_STATE_HOME: "/x" }, "/h"), "/x/sheaf");
  assert.equal(defaultStateDirectory({}, "/h"), "/h/.local/state/sheaf");
});

describe("replay", () => {
  const job = wordCount({
    map: 'if (line === "that is" && ctx.params.mode === "map") throw new RangeError("map broke");',
    reduce: 'if (key === "that" && ctx.params.mode === "reduce") throw new RangeError("reduce broke");',
  });

  for (const mode of ["map", "reduce"] as const) {
    test(`a failed ${mode} is run again from its capsule, with the same error`, async (t) => {
      const bench = new Bench(t);
      const inputs = bench.file("in.txt", inputText);
      const failed = await bench.run(job, { inputs, mappers: 1, params: { mode } });
      assert.equal(failed.status, "FAILED");
      assert.equal(
        failed.failedAttempts.at(-1)?.capsule,
        join(failed.directory!, "capsules", `${mode}-00000`),
      );
      assert.match(failed.error!.report, new RegExp(`sheaf replay ${failed.jobId}:${mode}-0`));
      rmSync(join(bench.root, "job.ts"));
      const again = await replay("@", { stateDirectory: bench.state });
      assert.deepEqual([again.jobId, again.task, again.attempt], [failed.jobId, `${mode}-00000`, 2]);
      assert.equal(again.result.kind === "failure" && again.result.message, `${mode} broke`);
      assert.match(again.report!, new RegExp(`RangeError: ${mode} broke`));
      assert.match(again.report!, /job\.ts:\d+:\d+/);
    });
  }

  test("a replay of other input than what failed is refused", async (t) => {
    const bench = new Bench(t);
    const inputs = bench.file("in.txt", inputText);
    await bench.run(job, { inputs, mappers: 1, params: { mode: "map" } });
    appendFileSync(inputs, "more\n");
    await assert.rejects(replay("@:map-0", { stateDirectory: bench.state }), { code: "INPUT_CHANGED" });
    rmSync(inputs);
    await assert.rejects(replay("@:map-0", { stateDirectory: bench.state }), {
      code: "INPUT_CHANGED",
      message: /is gone/,
    });
  });

  test("a job that succeeded has nothing to replay, a task that did not fail no capsule", async (t) => {
    const bench = new Bench(t);
    const inputs = bench.file("in.txt", inputText);
    assertCounted(bench, await bench.run(job, { inputs }));
    await assert.rejects(replay("@", { stateDirectory: bench.state }), {
      code: "NOT_FOUND",
      hint: /succeeded/,
    });
    await assert.rejects(replay("@:map-0", { stateDirectory: bench.state }), { code: "NOT_FOUND" });
  });
});

/** Writes a job directory with a record of these values. */
function keep(state: string, values: Partial<JobRecord>): void {
  const record: JobRecord = {
    jobId: "",
    name: "job",
    status: "SUCCEEDED",
    submitter: "me",
    host: hostname(),
    pid: 1,
    file: null,
    code: null,
    inputs: [],
    output: null,
    startTime: "2026-01-01T00:00:00.000Z",
    endTime: null,
    elapsedMs: null,
    currentPhase: "finished",
    counters: {},
    mapTasks: 0,
    reduceTasks: 0,
    recordsIn: 0,
    recordsOut: 0,
    bytesIn: 0,
    bytesOut: 0,
    badRecords: 0,
    exception: null,
    capsules: [],
    settings: {},
    ...values,
  };
  mkdirSync(join(state, "jobs", record.jobId), { recursive: true });
  writeFileSync(join(state, "jobs", record.jobId, "job.json"), JSON.stringify(record));
}
