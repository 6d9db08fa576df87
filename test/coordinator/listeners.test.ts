import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { partsToTell } from "#src/coordinator/ending.js";
import { explainPlan } from "#src/coordinator/explain-plan.js";
import { JobEvents } from "#src/coordinator/job-events.js";
import { recordOfNew } from "#src/coordinator/job-record.js";
import type { Plan } from "#src/coordinator/job-row.js";
import { SplitList } from "#src/coordinator/split-list.js";
import { JobDirectory } from "#src/engine/job-directory.js";
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

test("why the tasks of a large job run is told bit by bit: others have their turn, and the file has all", async (t) => {
  const stage = new Stage(t);
  const map = new SplitList();
  for (let index = 0; index < 1_201; index++)
    map.push({ index, pieces: [], bytes: 0, why: `because ${index}` });
  const plan = { sample: new SplitList(), map, reduce: [{ collection: 0, partition: 0 }], incremental: {} };
  const batches: number[] = [];
  const why: string[] = [];
  let turns = 0;
  setImmediate(() => turns++);
  const emitAll = (told: readonly { readonly task: string; readonly why: string }[]): void => {
    batches.push(told.length);
    if (batches.length === 2) assert.equal(turns, 1);
    why.push(...told.map((one) => `${one.task} ${one.why}`));
  };
  const isOver = (): boolean => false;
  assert.equal(await explainPlan(plan as unknown as Plan, { emitAll } as never, isOver), true);
  assert.deepEqual(batches, [500, 500, 202]);
  assert.equal(why[1_200], "map-01200 because 1200");
  assert.equal(why[1_201], "reduce-00000 it merges what is kept with what is mapped now");
  assert.equal(new Set(why).size, 1_202);
  batches.length = 0;
  assert.equal(await explainPlan(plan as unknown as Plan, { emitAll } as never, () => true), false);
  assert.deepEqual(batches, [500]);

  // Of those that are told at once each has a number of its own, for who listens now and later.
  const directory = new JobDirectory(
    stage.state,
    recordOfNew("told", (await stage.submission()) as never, ""),
    () => undefined,
  );
  const clock = { nowMs: () => 0 } as never;
  const events = new JobEvents(directory, 0, clock);
  const heard: string[] = [];
  const listen = (name: string): Promise<void> =>
    new Promise(
      (resolve) =>
        void events.listen(
          0,
          (number, text) => {
            heard.push(`${name} ${number} ${(JSON.parse(text) as { message: string }).message}`);
            if (number === 3) resolve();
          },
          resolve,
        ),
    );
  const now = listen("now");
  await new Promise(setImmediate);
  events.emitAll(["a", "b", "c"].map((message) => ({ kind: "warning", message })));
  await now;
  await listen("later");
  assert.deepEqual(heard, ["now 1 a", "now 2 b", "now 3 c", "later 1 a", "later 2 b", "later 3 c"]);
});
