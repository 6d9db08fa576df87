import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { divide } from "#src/coordinator/granting.js";
import type { Submission } from "#src/protocol/submission.js";
import { TASK_STATUS } from "#src/protocol/version.js";
import { formatAttempt } from "#src/scheduler/ids.js";
import type { FakeWork } from "./fake-agent.js";
import { Stage, client } from "./stage.js";

/** Work that never ends, so that what runs can be counted. */
const endless: Partial<FakeWork> = {
  errand: async (errand, agent) =>
    errand.kind === "plan" ? agent.planned(errand, 20) : agent.answer(errand),
  task: () => new Promise(() => undefined),
};

/** The same, but an attempt that is killed lets its slot go. */
const untilKilled: Partial<FakeWork> = {
  ...endless,
  task: async ({ attempt }, agent) => {
    const name = formatAttempt(attempt);
    const isKilled = (): boolean =>
      agent.had.some(
        (order) =>
          order.kind === "kill" && order.attempt.job === attempt.job && formatAttempt(order.attempt) === name,
      );
    while (agent.isAlive && !isKilled()) await new Promise((resolve) => setImmediate(resolve));
    return { status: TASK_STATUS.CANCELLED, attempt };
  },
};

async function submit(stage: Stage, name: string, options: Partial<Submission["options"]>): Promise<string> {
  const submission = await stage.submission();
  return stage.submit({ name, options: { ...submission.options, ...options } }, name);
}

test("a job gets the cores it asks for, on the agents that bid most, and its view shows the rounds", async (t) => {
  const stage = new Stage(t);
  for (const name of ["a", "b", "c"]) stage.agent(name, endless, 2);
  const job = await submit(stage, "few", { cores: 3 });
  await stage.until("attempts run", () => (stage.coordinator.clients.job(job).phases[0]?.running ?? 0) === 3);
  for (let turn = 0; turn < 10; turn++) stage.beat();
  const { bidding, phases } = stage.coordinator.clients.job(job);
  assert.equal(phases[0]!.running, 3);
  assert.deepEqual(bidding!.grants, { a: 1, b: 1, c: 1 });
  assert.deepEqual([bidding!.wanted, bidding!.granted, bidding!.used, bidding!.note], [3, 3, 3, null]);
  assert.equal(bidding!.rounds[0]!.bar, 100);
  assert.equal(bidding!.rounds[0]!.answers.length, 3);
});

test("jobs share by priority; one that comes later takes new tasks from those that run", async (t) => {
  const stage = new Stage(t);
  stage.agent("a", endless, 6);
  const first = await submit(stage, "first", { priority: 0 });
  await stage.until("all slots run it", () => stage.coordinator.clients.job(first).phases[0]?.running === 6);
  const second = await submit(stage, "second", { priority: 1 });
  await stage.until("it is planned", () => stage.coordinator.clients.job(second).state === "RUNNING");
  const granted = (job: string): number | undefined => stage.coordinator.clients.job(job).bidding?.granted;
  await stage.until("all have bid again", () => granted(first) === 2);
  assert.equal(granted(second), 4);
  assert.equal(stage.coordinator.clients.job(first).phases[0]!.running, 6, "what runs goes on");
  assert.match(
    stage.coordinator.clients.job(second).waitingFor ?? "",
    /all 6 slots of agent a run other jobs/,
  );
  stage.coordinator.clients.kill(second, "enough", client);
  await stage.ended(second);
  await stage.until("it has them back", () => granted(first) === 6);
});

test("a job alone uses all cores, however low its priority; a more important one gets its share soon", async (t) => {
  const stage = new Stage(t);
  stage.agent("a", untilKilled, 3);
  stage.agent("b", untilKilled, 3);
  const low = await submit(stage, "low", { priority: -10 });
  await stage.until("all slots run it", () => stage.coordinator.clients.job(low).phases[0]?.running === 6);
  assert.equal(stage.coordinator.clients.job(low).bidding!.note, "its priority or share allows 6 of 20");
  const high = await submit(stage, "high", { priority: 2 });
  await stage.until(
    "it has its share",
    () => stage.coordinator.clients.job(high).phases[0]?.running === 5,
    100,
  );
  const { phases, barred, failedTasks } = stage.coordinator.clients.job(low);
  assert.deepEqual([phases[0]!.running, phases[0]!.ready, phases[0]!.failed], [1, 19, 0]);
  assert.deepEqual([barred, failedTasks], [[], []]);
  const ended = stage.coordinator.clients.attempts(low).filter(({ state }) => state !== "RUNNING");
  assert.equal(ended.length, 5);
  for (const { state, cause } of ended)
    assert.deepEqual([state, /a job of higher priority/.test(cause ?? "")], ["CANCELLED", true], cause ?? "");
});

test("agents that come, are barred or are lost change what jobs are granted", async (t) => {
  const stage = new Stage(t);
  stage.agent("a", endless, 2);
  const job = await submit(stage, "words", {});
  const grants = () => stage.coordinator.clients.job(job).bidding?.grants ?? {};
  await stage.until("it runs", () => grants()["a"] === 2);
  const b = stage.agent("b", endless, 3);
  await stage.until("b is granted", () => grants()["b"] === 3);
  stage.coordinator.operations.bar("a", "loud");
  await stage.until("a is not granted any more", () => grants()["a"] === undefined);
  stage.coordinator.operations.admit("a");
  await stage.until("a is again", () => grants()["a"] === 2);
  b.stop();
  await stage.until("b is lost", () => grants()["b"] === undefined, 50);
  assert.deepEqual(grants(), { a: 2 });
});

test("cores are divided by weight, nobody gets more than it asks for, and none is left while one is lacking", () => {
  const share = fc.record({
    asked: fc.integer({ min: 1, max: 50 }),
    priority: fc.integer({ min: -3, max: 3 }),
  });
  fc.assert(
    fc.property(fc.array(share, { maxLength: 12 }), fc.integer({ min: 0, max: 100 }), (asking, total) => {
      const shares = asking.map(({ asked, priority }) => ({ asked, weight: 2 ** priority, cores: 0 }));
      shares.sort((a, b) => b.weight - a.weight);
      divide(shares, total);
      const given = shares.reduce((sum, { cores }) => sum + cores, 0);
      const wanted = shares.reduce((sum, { asked }) => sum + asked, 0);
      assert.equal(given, Math.min(total, wanted));
      for (const [at, one] of shares.entries()) {
        assert.ok(one.cores <= one.asked);
        const heavier = shares.slice(0, at).filter(({ asked }) => asked >= one.asked);
        assert.ok(
          heavier.every(({ cores }) => cores >= one.cores),
          JSON.stringify({ shares, total }),
        );
      }
    }),
  );
});
