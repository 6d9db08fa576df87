import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { RunEvent } from "#src/engine/events.js";
import type { JobRecord } from "#src/engine/job-directory.js";
import { sheafHere, tempDir } from "./support.js";

const stats = {
  recordsIn: 10,
  bytesIn: 100,
  recordsOut: 2,
  bytesOut: 20,
  emitted: 30,
  shuffleBytes: 300,
  spills: 0,
  badRecords: 0,
  groups: 3,
  elapsedMs: 5,
  cpuMs: 4,
};

const failure = {
  kind: "failure",
  code: "USER_CODE",
  message: "x is not a function",
  hint: null,
  name: "TypeError",
  stack: null,
  phase: "map",
  blame: "user",
  path: "in.txt",
  offset: 42,
  record: "the record",
  key: null,
  log: [],
} as const;

function keepJob(
  state: string,
  jobId: string,
  changes: Partial<JobRecord>,
  events: readonly RunEvent[] = [],
): void {
  const directory = join(state, "jobs", jobId);
  mkdirSync(join(directory, "logs"), { recursive: true });
  const record: JobRecord = {
    jobId,
    name: "wordcount",
    status: "SUCCEEDED",
    submitter: "ann",
    host: "machine",
    pid: 1,
    file: "/jobs/wordcount.ts",
    code: "0123456789abcdef",
    inputs: ["in.txt"],
    output: "/out",
    startTime: "2026-01-31T12:05:09.123Z",
    endTime: "2026-01-31T12:05:10.000Z",
    elapsedMs: 877,
    currentPhase: "commit",
    counters: { zebras: 2, ants: 1234 },
    mapTasks: 1,
    reduceTasks: 0,
    recordsIn: 10,
    recordsOut: 2,
    bytesIn: 100,
    bytesOut: 20,
    badRecords: 0,
    exception: null,
    capsules: [],
    settings: {},
    ...changes,
  };
  writeFileSync(join(directory, "job.json"), JSON.stringify(record));
  // The last line is cut, as a crash leaves it.
  writeFileSync(
    join(directory, "events.jsonl"),
    `${events.map((e) => JSON.stringify(e)).join("\n")}\n{"atMs":9`,
  );
}

test("jobs: latest first, by name, and truncated when it is", async (t) => {
  const state = tempDir(t);
  const env = { SHEAF_STATE: state };
  const none = await sheafHere(["jobs"], { env });
  assert.equal(none.code, 0);
  assert.equal(none.stdout, "");
  assert.match(none.stderr, /^no jobs yet in /);

  for (let i = 10; i < 35; i++) keepJob(state, `20260131-1205${i}-wordcount-abcd`, {});
  keepJob(state, "20260131-130000-visits-abcd", { name: "visits", status: "FAILED" });
  const { stdout } = await sheafHere(["jobs"], { env });
  const lines = stdout.trimEnd().split("\n");
  assert.match(lines[0]!, /^JOB +STATUS +STARTED \(UTC\) +TIME +RECORDS IN +OUT$/);
  assert.match(lines[1]!, /^20260131-130000-visits-abcd +FAILED +2026-01-31 12:05:09 +0\.88 s +10 +2$/);
  assert.match(lines[2]!, /^20260131-120534-wordcount-abcd +SUCCEEDED/);
  assert.equal(lines.length, 1 + 20 + 1);
  assert.equal(lines.at(-1), "truncated: 6 earlier jobs not shown; sheaf jobs --all shows them");

  const all = await sheafHere(["jobs", "--all"], { env });
  assert.equal(all.stdout.trimEnd().split("\n").length, 27);
  const named = await sheafHere(["jobs", "--name", "visits", "--json"], { env });
  const parsed = JSON.parse(named.stdout) as { jobs: JobRecord[]; truncated: boolean; total: number };
  assert.deepEqual(
    parsed.jobs.map((job) => job.name),
    ["visits"],
  );
  assert.equal(parsed.truncated, false);
});

test("jobs are chosen by pattern of the name, state and labels", async (t) => {
  const state = tempDir(t);
  const running = { status: "RUNNING", endTime: null, elapsedMs: null, host: "elsewhere" } as const;
  keepJob(state, "20260131-120000-a-abcd", { name: "daily-visits", group: "etl", project: "shop" });
  keepJob(state, "20260131-120001-b-abcd", { name: "daily-sales", group: "etl", status: "FAILED" });
  keepJob(state, "20260131-120002-c-abcd", {
    name: "visits",
    project: "shop",
    ...running,
    currentPhase: "queue",
  });
  keepJob(state, "20260131-120003-d-abcd", { name: "weekly", ...running });
  const cases: readonly (readonly [readonly string[], string])[] = [
    [["--name", "daily-*"], "b a"],
    [["--name", "*visits"], "c a"],
    [["--name", "daily"], ""],
    [["--name", "?isits"], "c"],
    [["--group", "etl", "--state", "SUCCEEDED"], "a"],
    [["--project", "shop"], "c a"],
    [["--project", "shop", "--group", "etl"], "a"],
    [["--state", "QUEUED"], "c"],
    [["--state", "RUNNING"], "d"],
  ];
  await Promise.all(
    cases.map(async ([flags, expected]) => {
      const { code, stdout, stderr } = await sheafHere(["jobs", ...flags, "--json"], {
        env: { SHEAF_STATE: state },
      });
      assert.equal(code, 0, stderr);
      const { jobs } = JSON.parse(stdout) as { jobs: JobRecord[] };
      assert.equal(jobs.map(({ jobId }) => jobId.slice(16, 17)).join(" "), expected, flags.join(" "));
    }),
  );
  const shown = await sheafHere(["show", "20260131-120000"], { env: { SHEAF_STATE: state } });
  assert.match(shown.stdout, /\n {2}labels +etl shop\n/);
});

const task = "map-00000";
const events: readonly RunEvent[] = [
  { atMs: 1, kind: "phase-started", phase: "map", tasks: 1 },
  { atMs: 2, kind: "attempt-started", task, attempt: 1, worker: 0 },
  { atMs: 102, kind: "attempt-failed", task, attempt: 1, outcome: "failed", failure, willRetry: true },
  { atMs: 103, kind: "attempt-started", task, attempt: 2, worker: 0 },
  { atMs: 203, kind: "attempt-finished", task, attempt: 2, stats },
  { atMs: 203, kind: "maps-placed", maps: 4, local: 2, rack: 1 },
  { atMs: 204, kind: "phase-finished", phase: "map", elapsedMs: 203 },
];

test("show: a job and its tasks, by every handle", async (t) => {
  const state = tempDir(t);
  const env = { SHEAF_STATE: state };
  keepJob(state, "20260131-120509-wordcount-abcd", {}, events);
  const shown = await sheafHere(["show"], { env });
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /^wordcount {2}SUCCEEDED in 0\.88 s\n/);
  assert.match(shown.stdout, /^map-00000 +finished +2 +0\.20 s +10 +2 +x is not a function$/m);
  assert.match(shown.stdout, /^ants +1,234\nzebras +2$/m);
  assert.match(
    shown.stdout,
    /^2 of 4 maps were local: they ran on a host that has what they read, 1 in the rack of one$/m,
  );
  for (const handle of ["@", "@?wordcount", "20260131", "20260131-120509-wordcount-abcd"]) {
    assert.equal((await sheafHere(["show", handle], { env })).stdout, shown.stdout, handle);
  }

  writeFileSync(join(state, "jobs/20260131-120509-wordcount-abcd/logs/map-00000.log"), "said\n");
  const one = await sheafHere(["show", "@", "--task", "map-0"], { env });
  assert.match(one.stdout, /^attempt 1: failed after 0\.10 s/m);
  assert.match(
    one.stdout,
    /^ {2}USER_CODE in map: x is not a function\n {2}input {3}in\.txt:42\n {2}record {2}the record$/m,
  );
  assert.match(one.stdout, /^attempt 2: finished after 0\.10 s/m);
  assert.match(one.stdout, /^log\n {2}said$/m);
  assert.equal((await sheafHere(["show", "@:map-0"], { env })).stdout, one.stdout);

  writeFileSync(
    join(state, "jobs/20260131-120509-wordcount-abcd/logs/load.log"),
    "loaded\n\x1b[1mbold\nno end",
  );
  const all = await sheafHere(["logs"], { env });
  assert.equal(all.stdout, "[load] loaded\n[load] \x1b[1mbold\n[load] no end\n[map-00000] said\n");
  const followed = await sheafHere(["logs", "-f", "@?wordcount:map-0", "--json"], { env });
  assert.equal(followed.stdout, '{"task":"map-00000","attempt":null,"stream":null,"text":"said"}\n');

  const json = JSON.parse((await sheafHere(["show", "--json"], { env })).stdout) as {
    jobId: string;
    tasks: unknown[];
  };
  assert.equal(json.jobId, "20260131-120509-wordcount-abcd");
  assert.equal(json.tasks.length, 1);
});

test("show: many tasks are cut to those of interest, and it says so", async (t) => {
  const state = tempDir(t);
  const env = { SHEAF_STATE: state };
  const many = Array.from({ length: 30 }, (_, i): RunEvent[] => [
    { atMs: 0, kind: "attempt-started", task: `map-${String(i).padStart(5, "0")}`, attempt: 1, worker: 0 },
    { atMs: 100 + i, kind: "attempt-finished", task: `map-${String(i).padStart(5, "0")}`, attempt: 1, stats },
  ]).flat();
  keepJob(state, "20260131-120509-wordcount-abcd", {}, many);
  const { stdout } = await sheafHere(["show"], { env });
  assert.equal(stdout.match(/^map-/gm)?.length, 20);
  assert.match(stdout, /^map-00029/m);
  assert.match(stdout, /^truncated: 20 of 30 tasks, failed and slow ones first; --all lists all$/m);
  assert.equal((await sheafHere(["show", "--all"], { env })).stdout.match(/^map-/gm)?.length, 30);
});

test("a handle that names nothing is refused with the nearest", async (t) => {
  const state = tempDir(t);
  const env = { SHEAF_STATE: state };
  const none = await sheafHere(["show"], { env });
  assert.equal(none.code, 1);
  assert.match(none.stderr, /no job has run yet \[NOT_FOUND\]/);
  keepJob(state, "20260131-120509-wordcount-abcd", {}, events);
  const cases: readonly [readonly string[], number, RegExp][] = [
    [["show", "@?wordcuont"], 1, /Did you mean "@\?wordcount"\?/],
    [["show", "1999"], 1, /no job "1999" is kept/],
    [["show", "@:map-7"], 1, /has no task map-00007 \[NOT_FOUND\]\n {2}Did you mean map-00000\?/],
    [["show", "@", "--task", "mop"], 2, /"mop" is not a task/],
    [["show", "@:map-0", "--task", "map-0"], 2, /the task is given twice/],
  ];
  for (const [words, code, said] of cases) {
    const result = await sheafHere(words, { env });
    assert.equal(result.code, code, words.join(" "));
    assert.match(result.stderr, said);
  }
});
