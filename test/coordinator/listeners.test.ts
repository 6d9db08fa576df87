import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { partsToTell } from "#src/coordinator/ending.js";
import { Stage } from "./stage.js";

test("a listener that takes its time hears every kept event, in order, though it misses what is not kept", async (t) => {
  const stage = new Stage(t);
  const numbers: number[] = [];
  const kinds: string[] = [];
  let isTaking = false;
  const job = await stage.submit();
  const over = new Promise<void>((resolve) => {
    stage.coordinator.clients.listen(
      job,
      0,
      async (number, event) => {
        assert.ok(!isTaking, "told of one while it takes another");
        isTaking = true;
        numbers.push(number);
        kinds.push((JSON.parse(event) as { kind: string }).kind);
        for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate);
        isTaking = false;
      },
      resolve,
    );
  });
  stage.agent("a");
  await stage.ended(job);
  await over;
  assert.deepEqual(
    numbers.filter((number, at) => number !== numbers[at - 1]),
    Array.from({ length: numbers.at(-1)! }, (_, at) => at + 1),
  );
  assert.equal(kinds.at(-1), "job-finished");
  assert.equal(kinds.filter((kind) => kind === "job-finished").length, 1);
});

test("a listener that fails is told that there is no more; the job and the others go on", async (t) => {
  const stage = new Stage(t);
  const job = await stage.submit();
  const fails = () => Promise.reject(new Error("the reader is broken"));
  const ends: Promise<void>[] = [];
  const listen = (tell: () => Promise<void> | void) => {
    ends.push(new Promise<void>((resolve) => stage.coordinator.clients.listen(job, 0, tell, resolve)));
  };
  let heard = 0;
  listen(fails);
  listen(() => {
    throw new Error("the reader is gone");
  });
  listen(() => void heard++);
  stage.agent("a");
  await stage.ended(job);
  await Promise.all(ends);
  assert.ok(heard > 3, String(heard));
  await new Promise<void>((resolve) => stage.coordinator.clients.listen(job, 0, fails, resolve));
});

test("whoever listens to a job that has ended hears its end, also when there was no room to write it down", async (t) => {
  const stage = new Stage(t);
  stage.agent("a");
  const job = await stage.submit();
  await stage.ended(job);
  const whole = await stage.events(job);
  const file = join(stage.state, "jobs", job, "events.jsonl");
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  for (const kept of [lines.length, lines.length - 1, 1, 0]) {
    writeFileSync(
      file,
      lines
        .slice(0, kept)
        .map((line) => `${line}\n`)
        .join(""),
    );
    const heard = await stage.events(job);
    assert.deepEqual(heard.slice(0, -1), whole.slice(0, Math.min(kept, lines.length - 1)));
    assert.deepEqual({ ...heard.at(-1), atMs: 0 }, { ...whole.at(-1), atMs: 0 }, `${kept} lines are there`);
  }
  // One that had heard more than was written.
  assert.equal((await stage.events(job, lines.length - 1)).at(-1)?.kind, "job-finished");
});

test("the last event of a job of very many files has room for some of them, and says how many more there are", () => {
  const part = {
    file: "x".repeat(200),
    collection: "",
    partition: 1,
    bytes: 1,
    records: 1,
    crc32c: "00000000",
  };
  const told = partsToTell(Array.from({ length: 100_000 }, () => part));
  assert.ok(JSON.stringify(told).length < 10 * 1024 * 1024);
  assert.equal(told.parts.length + told.moreParts!, 100_000);
  assert.ok(told.parts.length > 10_000);
  assert.deepEqual(partsToTell([part]), { parts: [part] });
});
