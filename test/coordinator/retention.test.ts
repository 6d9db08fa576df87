import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { isSheafError } from "#src/base/errors.js";
import type { ErrorCode } from "#src/base/errors.js";
import type { Submission } from "#src/protocol/submission.js";
import { Stage, client } from "./stage.js";

const refuses =
  (code: ErrorCode, says: RegExp) =>
  (error: unknown): boolean =>
    isSheafError(error) && error.code === code && says.test(error.message);

test("jobs with a time of their own are kept until then, across restarts; deleted ones go at once", async (t) => {
  const day = 86_400_000;
  const timings = { blobUnusedMs: 0, leaseMs: 100 * day };
  const stage = new Stage(t, { limits: { retention: 1 }, timings });
  stage.agent("a");
  const week = await stage.submit({ keepMs: 7 * day }, "week");
  assert.match((await stage.ended(week)).keptUntil ?? "", /^2023-11-21T/);
  const others: string[] = [];
  for (let at = 0; at < 3; at++) {
    stage.clock.pass(1_000);
    others.push(await stage.submit({}, `other ${at}`));
    await stage.ended(others.at(-1)!);
  }
  const listed = () => stage.coordinator.clients.jobs({}).jobs.map(({ job }) => job);
  assert.deepEqual(listed(), [others[2], week]);
  stage.restart();
  stage.clock.pass(7 * day - 60_000);
  stage.beat();
  assert.deepEqual(listed(), [others[2], week]);
  stage.clock.pass(120_000);
  stage.beat();
  assert.deepEqual(listed(), [others[2]]);
  await stage.until("its directory is gone", () => !readdirSync(join(stage.state, "jobs")).includes(week));

  const running = await stage.submit({ inputs: [join(stage.root, "data", "never")] }, "running");
  assert.throws(() => stage.coordinator.clients.delete(running, client), refuses("USAGE", /has not ended/));
  await stage.ended(running);
  assert.equal(stage.coordinator.clients.delete(running, client).state, "SUCCEEDED");
  assert.throws(() => stage.coordinator.clients.delete(running, client), refuses("NOT_FOUND", /is kept/));
  stage.restart();
  assert.ok(!listed().includes(running));
  await stage.until("its directory is gone", () => !readdirSync(join(stage.state, "jobs")).includes(running));
  assert.equal(stage.logged.filter(({ event }) => event === "delete").length, 1);
});

test("a bundle that is to stay stays when its job does not", async (t) => {
  const stage = new Stage(t, { limits: { retention: 1 }, timings: { blobUnusedMs: 0 } });
  stage.agent("a");
  const text = Buffer.from("side data");
  const hash = createHash("sha256").update(text).digest("hex");
  const aux = [{ path: "side.txt", blob: hash, bytes: text.length }];
  const ended = async (changes: Partial<Submission>, key: string): Promise<string> => {
    stage.clock.pass(1_000);
    const job = await stage.submit(changes, key);
    await stage.ended(job);
    return job;
  };
  for (const keepBundle of [true, false]) {
    await stage.coordinator.clients.putBlob(hash, Readable.from([text]));
    const job = await ended({ aux, keepBundle }, `kept ${keepBundle}`);
    if (!keepBundle) stage.coordinator.clients.delete(job, client);
    stage.clock.pass(1_000);
    await ended({}, `other ${keepBundle}`);
    stage.restart();
    await ended({}, `another ${keepBundle}`);
    assert.ok(readdirSync(join(stage.state, "blobs")).includes(hash), "kept for good by the first");
  }
});
