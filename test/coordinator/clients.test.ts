import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { SheafError, isSheafError } from "#src/base/errors.js";
import type { ErrorCode } from "#src/base/errors.js";
import { openDatabase } from "#src/coordinator/database.js";
import type { Submission } from "#src/protocol/submission.js";
import { Stage, client } from "./stage.js";

function refuses(code: ErrorCode, says: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isSheafError(error), String(error));
    assert.deepEqual([error.code, says.test(error.message)], [code, true], error.message);
    assert.ok(error.hint);
    return true;
  };
}

test("the same key submits one job, also when the coordinator was killed in between", async (t) => {
  const stage = new Stage(t);
  const submission = await stage.submission();
  const first = stage.coordinator.clients.submit(submission, "once", client);
  assert.equal(first.isNew, true);
  stage.restart();
  assert.deepEqual(stage.coordinator.clients.submit(submission, "once", client), {
    job: first.job,
    isNew: false,
  });
  assert.notEqual(stage.coordinator.clients.submit(submission, "twice", client).job, first.job);
  assert.equal(stage.coordinator.clients.jobs({}).jobs.length, 2);
});

test("every submission and every cancellation leaves one line: who, from where, which code, what came of it", async (t) => {
  const stage = new Stage(t);
  const submission = await stage.submission();
  const { job } = stage.coordinator.clients.submit(submission, "a", client);
  stage.coordinator.clients.submit(submission, "a", client);
  assert.throws(() => stage.coordinator.clients.submit({ ...submission, protocol: 2 }, "b", client));
  stage.coordinator.clients.kill(job, "not needed", client);
  await stage.ended(job);
  stage.coordinator.clients.kill(job, "again", client);
  const lines = stage.logged.filter(({ event }) => event === "submit" || event === "cancel");
  assert.deepEqual(
    lines.map(({ event, outcome }) => [event, outcome]),
    [
      ["submit", "accepted"],
      ["submit", "refused (VERSION_MISMATCH)"],
      ["cancel", "accepted"],
      ["cancel", "it had ended"],
    ],
  );
  const { submitter, remote, bundle } = lines[0]!;
  assert.deepEqual(
    { submitter, remote, bundle },
    { submitter: "somebody", remote: "127.0.0.1", bundle: submission.bundle },
  );
});

test("submissions that cannot be right are refused, naming what is wrong", async (t) => {
  const stage = new Stage(t, { limits: { tasksMax: 100, partitionsMax: 10, jobsMax: 1 } });
  const good = await stage.submission();
  const data = join(stage.root, "data");
  symlinkSync("/etc", join(data, "elsewhere"));
  mkdirSync(join(data, "a+b (1)"));
  const cases: [Partial<Submission>, ErrorCode, RegExp][] = [
    [{ protocol: 7 }, "VERSION_MISMATCH", /protocol 7, this coordinator \(sheaf 0.0.0-test\) speaks 1/],
    [{ inputs: ["/etc/passwd"] }, "FORBIDDEN", /input \/etc\/passwd: lies outside of /],
    [{ inputs: [`${data}/../x`] }, "FORBIDDEN", /holds "\.\."/],
    [{ inputs: [`${data}/{../../etc,x}/passwd`] }, "FORBIDDEN", /holds "\.\."/],
    [{ inputs: [`${data}/elsewhere/passwd`] }, "FORBIDDEN", /lies outside of/],
    [{ inputs: [`${data}/elsewhere/*.conf`] }, "FORBIDDEN", /lies outside of/],
    [{ inputs: [`${data}-more/x`] }, "FORBIDDEN", /lies outside of/],
    [{ inputs: ["/*"] }, "FORBIDDEN", /lies outside of/],
    [{ inputs: ["in"] }, "FORBIDDEN", /not an absolute path/],
    [{ inputs: [`${data}/a\0b`] }, "FORBIDDEN", /NUL/],
    [{ inputs: ["agent:../../etc"] }, "FORBIDDEN", /not an absolute path/],
    [{ inputs: ["agent:/data/../etc"] }, "FORBIDDEN", /holds "\.\."/],
    [{ output: { kind: "shared", path: "/tmp/out", overwrite: true } }, "FORBIDDEN", /output \/tmp\/out/],
    [
      { output: { kind: "shared", path: "s3://b/out", overwrite: true } },
      "FORBIDDEN",
      /output s3:\/\/b\/out: is not open to jobs/,
    ],
    [{ options: { ...good.options, partitions: [1, 2] } }, "USAGE", /2 entries, the job has 1/],
    [{ options: { ...good.options, partitions: [11] } }, "LIMIT_EXCEEDED", /11 partitions/],
    [{ options: { ...good.options, mappers: 101 } }, "LIMIT_EXCEEDED", /101 map tasks/],
    [
      { outline: { ...good.outline, input: { kind: "generate", tasks: 1_000_000 } } },
      "LIMIT_EXCEEDED",
      /1000000 map/,
    ],
    [{ bundle: "0".repeat(64) }, "NOT_FOUND", /the blob 0{64}/],
    [{ aux: [{ path: "x", blob: "1".repeat(64), bytes: 1 }] }, "NOT_FOUND", /the blob 1{64}/],
  ];
  for (const [changes, code, says] of cases)
    assert.throws(
      () => stage.coordinator.clients.submit({ ...good, ...changes }, "bad", client),
      refuses(code, says),
    );
  const { job } = stage.coordinator.clients.submit(
    { ...good, inputs: [`${data}/a+b (1)/*.txt`] },
    "good",
    client,
  );
  assert.throws(
    () => stage.coordinator.clients.submit(good, "more", client),
    refuses("LIMIT_EXCEEDED", /1 jobs wait or run/),
  );
  assert.equal(stage.coordinator.clients.jobs({}).jobs.length, 1);
  assert.equal(stage.coordinator.clients.job(job).state, "QUEUED");
});

test("a plan beyond the limits fails the job", async (t) => {
  const stage = new Stage(t, { limits: { tasksMax: 3 } });
  stage.agent("a", {
    errand: async (errand, agent) =>
      errand.kind === "plan" ? agent.planned(errand, 4) : agent.answer(errand),
  });
  const view = await stage.ended(await stage.submit());
  assert.deepEqual([view.state, view.error?.code], ["FAILED", "LIMIT_EXCEEDED"]);
  assert.match(view.error?.message ?? "", /4 map tasks, 3 are allowed/);
});

test("an attached job ends when its client is silent for three leases, a detached one does not", async (t) => {
  const stage = new Stage(t, { timings: { leaseMs: 10_000 } });
  const attached = await stage.submit({ attached: true }, "attached");
  const detached = await stage.submit({}, "detached");
  for (let beat = 0; beat < 10; beat++) {
    stage.clock.pass(10_000);
    stage.coordinator.tick();
    assert.equal(stage.coordinator.clients.clientBeat(attached), "QUEUED");
  }
  stage.clock.pass(30_000);
  stage.coordinator.tick();
  assert.equal(stage.coordinator.clients.job(attached).state, "QUEUED");
  stage.restart();
  stage.clock.pass(30_000);
  stage.coordinator.tick();
  assert.equal(
    stage.coordinator.clients.job(attached).state,
    "QUEUED",
    "the time the coordinator was away does not count",
  );
  stage.clock.pass(1);
  stage.coordinator.tick();
  const view = await stage.ended(attached);
  assert.equal(view.state, "CANCELLED");
  assert.match(view.error?.message ?? "", /its client is gone/);
  assert.equal(stage.coordinator.clients.job(detached).state, "QUEUED");
  assert.equal(stage.coordinator.clients.attach(detached, true).attached, true);
  stage.clock.pass(30_001);
  stage.coordinator.tick();
  assert.equal((await stage.ended(detached)).state, "CANCELLED");
});

test("silence counts only while the coordinator listens: a pause, or a disk it cannot write to, ends nothing", async (t) => {
  let full = false;
  const stage = new Stage(t, {
    timings: { heartbeatMs: 1_000, leaseMs: 10_000, absentAfterMs: 1_000 },
    openDatabase: (stateDirectory, pid) => {
      const sql = openDatabase(stateDirectory, pid);
      const transaction = (work: () => void): void => {
        if (full) throw new SheafError("DISK_FULL", "no space left", { hint: "Free some." });
        sql.transaction(work);
      };
      return { ...sql, transaction };
    },
  });
  const agent = stage.agent("a", {
    errand: async (errand, self) =>
      errand.kind === "plan" ? new Promise(() => undefined) : self.answer(errand),
  });
  const attached = await stage.submit({ attached: true });
  stage.coordinator.tick();
  for (const pauseMs of [4_500, 60_000, 3_600_000]) {
    stage.clock.pass(pauseMs);
    stage.coordinator.tick();
    assert.equal(agent.isAlive, true, `after ${pauseMs} ms`);
    assert.notEqual(stage.coordinator.clients.job(attached).state, "CANCELLED", `after ${pauseMs} ms`);
    stage.beat();
    stage.coordinator.clients.clientBeat(attached);
  }
  // Stopped while it starts: before its first tick.
  stage.restart();
  stage.clock.pass(60_000);
  stage.coordinator.tick();
  const [view] = stage.coordinator.operations.nodes();
  assert.equal(view?.state, "up", "after a start that was stopped");
  assert.notEqual(
    stage.coordinator.clients.job(attached).state,
    "CANCELLED",
    "after a start that was stopped",
  );
  stage.beat();
  stage.coordinator.clients.clientBeat(attached);
  full = true;
  await assert.rejects(stage.submit({}, "another"), refuses("DISK_FULL", /no space left/));
  for (let tick = 0; tick < 100; tick++) {
    stage.clock.pass(250);
    stage.coordinator.tick();
  }
  full = false;
  stage.coordinator.tick();
  assert.equal(agent.isAlive, true, "after a full disk");
  assert.notEqual(stage.coordinator.clients.job(attached).state, "CANCELLED", "after a full disk");
  for (let second = 0; second < 7; second++) {
    stage.clock.pass(900);
    stage.coordinator.tick();
  }
  // The agent still plans: its answer is not waited for without end.
  assert.equal((await stage.ended(attached, 500)).state, "CANCELLED", "while it listens silence counts");
});

test("a job that waits longer than it wants to fails, saying for what", async (t) => {
  const stage = new Stage(t);
  const { options } = await stage.submission();
  const job = await stage.submit({ options: { ...options, queueTimeoutMs: 10_000 } });
  stage.clock.pass(9_999);
  stage.coordinator.tick();
  assert.equal(stage.coordinator.clients.job(job).state, "QUEUED");
  stage.clock.pass(1);
  stage.coordinator.tick();
  const view = await stage.ended(job);
  assert.deepEqual([view.state, view.error?.code], ["FAILED", "NO_AGENTS"]);
  assert.match(view.error?.message ?? "", /none has joined/);
});

test("events are numbered, and go on behind the last one heard, over restarts and after the end", async (t) => {
  const stage = new Stage(t);
  const heard: [number, string][] = [];
  const listen = (job: string, after: number) =>
    new Promise<void>((resolve) => {
      stage.coordinator.clients.listen(
        job,
        after,
        (number, event) => void heard.push([number, (JSON.parse(event) as { kind: string }).kind]),
        resolve,
      );
    });
  const job = await stage.submit();
  void listen(job, 0);
  await stage.until("job-started is heard", () => heard.length > 0);
  stage.restart();
  stage.agent("a");
  const last = heard.at(-1)![0];
  const over = listen(job, last);
  await stage.ended(job);
  await over;
  const numbers = heard.filter(([, kind]) => kind !== "progress").map(([number]) => number);
  assert.deepEqual(
    numbers,
    Array.from({ length: numbers.length }, (_, at) => at + 1),
  );
  assert.equal(heard.at(-1)![1], "job-finished");
  const count = heard.length;
  await listen(job, numbers.at(-1)! - 2);
  assert.deepEqual(heard.slice(count), heard.filter(([, kind]) => kind !== "progress").slice(-2));
});

test("what tasks print is read while they print it, and afterwards", async (t) => {
  const stage = new Stage(t);
  let print: (() => void) | null = null;
  stage.agent("a", {
    task: async (order, self) => {
      if (order.work.kind === "map" && order.attempt.task === 1) {
        const lines = [{ task: "map-00001", attempt: 1, stream: "stdout" as const, text: "first\nsecond" }];
        stage.coordinator.agents.takeLogs(order.attempt.job, { lines });
        await new Promise<void>((resolve) => (print = resolve));
      }
      return self.succeed(order);
    },
  });
  const job = await stage.submit();
  const { signal } = new AbortController();
  const followed: string[] = [];
  const following = (async () => {
    for await (const line of stage.coordinator.clients.logs(job, null, true, signal)) followed.push(line);
  })();
  await stage.until("lines are read", () => followed.length === 2 && print !== null);
  stage.coordinator.agents.takeLogs(job, {
    lines: [{ task: "map-00002", attempt: 3, stream: "log", text: "last" }],
  });
  print!();
  await stage.ended(job);
  await following;
  const all = ["[map-00001.1 stdout] first", "[map-00001.1 stdout] second", "[map-00002.3 log] last"];
  assert.deepEqual(followed, all);
  const ofTask: string[] = [];
  for await (const line of stage.coordinator.clients.logs(job, "map-00001", false, signal)) ofTask.push(line);
  assert.deepEqual(ofTask, all.slice(0, 2));
});

test("jobs are listed newest first, by what they are, and as many are kept as are to be", async (t) => {
  const stage = new Stage(t, { limits: { retention: 3 }, timings: { blobUnusedMs: 0 } });
  const ended: string[] = [];
  for (let at = 0; at < 5; at++) {
    stage.clock.pass(1_000);
    const job = await stage.submit(
      { name: at % 2 === 0 ? "even" : "odd", group: at === 4 ? "g" : null },
      `key ${at}`,
    );
    stage.coordinator.clients.kill(job, "not needed", client);
    await stage.ended(job);
    ended.push(job);
  }
  const names = (filter: Parameters<typeof stage.coordinator.clients.jobs>[0]) =>
    stage.coordinator.clients.jobs(filter).jobs.map(({ job }) => job);
  const kept = ended.slice(2).reverse();
  assert.deepEqual(names({}), kept);
  assert.deepEqual(names({ name: "even" }), [ended[4], ended[2]]);
  assert.deepEqual(names({ group: "g" }), [ended[4]]);
  assert.deepEqual(names({ state: "SUCCEEDED" }), []);
  assert.deepEqual(stage.coordinator.clients.jobs({ limit: 2 }), {
    jobs: stage.coordinator.clients.jobs({}).jobs.slice(0, 2),
    truncated: true,
  });
  assert.throws(() => stage.coordinator.clients.job(ended[0]!), refuses("NOT_FOUND", /is kept/));
  await stage.until("directories are gone", () => readdirSync(join(stage.state, "jobs")).length === 3);
  assert.deepEqual(readdirSync(join(stage.state, "jobs")).sort(), [...kept].sort());
  stage.restart();
  assert.deepEqual(names({}), kept);
  assert.throws(
    () => stage.coordinator.clients.resultFile(ended[4]!, "output", 0),
    refuses("NOT_FOUND", /CANCELLED/),
  );
});

test("blobs are kept under their hash, whole or not at all, for as long as a job names them", async (t) => {
  const stage = new Stage(t, { limits: { retention: 1 }, timings: { blobUnusedMs: 60_000 } });
  const content = Buffer.from("side data");
  const hash = createHash("sha256").update(content).digest("hex");
  await assert.rejects(
    stage.coordinator.clients.putBlob(hash, Readable.from(["other"])),
    refuses("USAGE", /SHA-256/),
  );
  const cut = new Readable({ read: () => undefined });
  const put = stage.coordinator.clients.putBlob(hash, cut);
  cut.push("side");
  cut.destroy(new Error("the connection was cut"));
  await assert.rejects(put);
  assert.equal(await stage.coordinator.clients.hasBlob(hash), false);
  assert.deepEqual(readdirSync(join(stage.state, "blobs")), []);
  await stage.coordinator.clients.putBlob(hash, Readable.from([content]));
  await stage.coordinator.clients.putBlob(hash, Readable.from([content]));
  assert.equal((await stage.coordinator.clients.blob(hash)).bytes, content.length);
  await assert.rejects(stage.coordinator.clients.blob("../../etc/passwd"), refuses("NOT_FOUND", /no blob/));
  const aux = [{ path: "side.txt", blob: hash, bytes: content.length }];
  const job = await stage.submit({ aux });
  stage.clock.pass(120_000);
  const end = async (id: string): Promise<void> => {
    stage.clock.pass(1_000);
    stage.coordinator.clients.kill(id, "not needed", client);
    await stage.ended(id);
  };
  const isThere = (): boolean => existsSync(join(stage.state, "blobs", hash));
  await end(await stage.submit({}, "second"));
  assert.equal(isThere(), true, "a job that waits names it");
  await end(job);
  assert.equal(isThere(), true, "a job that is kept names it");
  await end(await stage.submit({}, "third"));
  assert.equal(isThere(), false);
});

test("a blob that was changed on disk is not handed out, goes, and can be sent again", async (t) => {
  const stage = new Stage(t);
  const content = Buffer.from("side data");
  const hash = createHash("sha256").update(content).digest("hex");
  const path = join(stage.state, "blobs", hash);
  for (const damage of ["side dat\u0000", "", "side data and more"]) {
    await stage.coordinator.clients.putBlob(hash, Readable.from([content]));
    assert.equal(await stage.coordinator.clients.hasBlob(hash), true);
    assert.equal((await stage.coordinator.clients.blob(hash)).path, path);
    writeFileSync(path, damage);
    await assert.rejects(stage.coordinator.clients.blob(hash), refuses("BLOCK_CORRUPT", /damaged/));
    assert.equal(await stage.coordinator.clients.hasBlob(hash), false);
    await stage.coordinator.clients.putBlob(hash, Readable.from([content]));
    writeFileSync(path, damage);
    assert.equal(await stage.coordinator.clients.hasBlob(hash), false, "a client is told to send it");
    assert.equal(existsSync(path), false);
  }
  await stage.coordinator.clients.putBlob(hash, Readable.from([content]));
  writeFileSync(path, "changed while nobody ran");
  stage.restart();
  assert.equal(
    await stage.coordinator.clients.hasBlob(hash),
    false,
    "nothing is believed of an earlier life",
  );
});

test("result files are taken only whole, and under plain names", async (t) => {
  const stage = new Stage(t);
  const job = await stage.submit();
  const send = (attempt: string, name: string, text: string, expected: { crc32c: number; bytes: number }) =>
    stage.coordinator.agents.putResult(job, attempt, name, expected, Readable.from([text]));
  const right = { crc32c: 0x364b_3fb7, bytes: 3 };
  await send("reduce-00000.1", "part-0.tsv", "abc", right);
  const results = join(stage.state, "jobs", job, "results");
  assert.deepEqual(readdirSync(join(results, "reduce-00000.1")), ["part-0.tsv"]);
  const bad: [string, string, string, { crc32c: number; bytes: number }, RegExp][] = [
    ["reduce-00000.1", "p", "abcd", right, /more than 3 bytes/],
    ["reduce-00000.1", "p", "ab", right, /2 of 3 bytes/],
    ["reduce-00000.1", "p", "abd", right, /CRC-32C/],
    ["reduce-00000.1", "../p", "abc", right, /names no result file/],
    ["../reduce-00000.1", "p", "abc", right, /names no result file/],
    ["reduce-00000.1", ".incoming-x", "abc", right, /names no result file/],
    ["reduce-00000.1", "a/b", "abc", right, /names no result file/],
  ];
  for (const [attempt, name, text, expected, says] of bad)
    await assert.rejects(send(attempt, name, text, expected), refuses("USAGE", says));
  assert.deepEqual(readdirSync(join(results, "reduce-00000.1")), ["part-0.tsv"]);
});
