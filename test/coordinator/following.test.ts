import assert from "node:assert/strict";
import { test } from "node:test";
import { isSheafError } from "#src/base/errors.js";
import { seededRandom } from "#src/base/random.js";
import type { FakeAgent, FakeWork, TaskOrder } from "./fake-agent.js";
import { Stage, client } from "./stage.js";

const says =
  (code: string, text: RegExp) =>
  (error: unknown): boolean =>
    isSheafError(error) && error.code === code && text.test(error.message) && error.hint !== undefined;

/** Holds the tasks of jobs until they are let go; those in `bad` fail. */
class Held {
  readonly free = new Set<string>();
  readonly bad = new Set<string>();
  /** Jobs by when their first task was begun. */
  readonly begun: string[] = [];

  readonly task = async (order: TaskOrder, agent: FakeAgent) => {
    const { job } = order.attempt;
    if (!this.begun.includes(job)) this.begun.push(job);
    while (!this.free.has(job) && agent.isAlive) await new Promise((resolve) => setImmediate(resolve));
    return this.bad.has(job) ? agent.fail(order, "as asked") : agent.succeed(order);
  };
}

test("a job that follows others begins when all of them have succeeded, also when the coordinator is killed", async (t) => {
  const stage = new Stage(t);
  const held = new Held();
  stage.agent("a", { task: held.task }, 4);
  const first = await stage.submit({}, "first");
  const second = await stage.submit({}, "second");
  const last = await stage.submit({ after: [first, second] }, "last");
  const { state, waitingFor, after } = stage.coordinator.clients.job(last);
  const both = `the success of ${first}, ${second}`;
  assert.deepEqual([state, waitingFor, after], ["QUEUED", both, [first, second]]);
  assert.equal(stage.coordinator.clients.jobs({ limit: 1 }).jobs[0]?.waitingFor, both);
  stage.restart();
  held.free.add(first);
  await stage.ended(first);
  const still = `the success of ${second}`;
  await stage.until("it waits for one", () => stage.coordinator.clients.job(last).waitingFor === still);
  stage.restart();
  assert.equal(stage.coordinator.clients.job(last).waitingFor, still);
  assert.deepEqual(held.begun.toSorted(), [first, second].toSorted());
  held.free.add(second).add(last);
  const view = await stage.ended(last);
  assert.deepEqual([view.state, view.waitingFor, held.begun.at(-1)], ["SUCCEEDED", null, last]);
  const waits = (await stage.events(last)).flatMap((event) => (event.kind === "waiting" ? [event.for] : []));
  assert.deepEqual([...new Set(waits)], [both, still]);
});

test("a job whose predecessor fails or is cancelled fails, and so do those that follow it", async (t) => {
  const stage = new Stage(t);
  const held = new Held();
  stage.agent("a", { task: held.task });
  for (const how of ["FAILED", "CANCELLED"] as const) {
    const first = await stage.submit({}, `first ${how}`);
    const second = await stage.submit({ after: [first] }, `second ${how}`);
    const third = await stage.submit({ after: [second] }, `third ${how}`);
    held.bad.add(first);
    held.free.add(first);
    if (how === "CANCELLED") stage.coordinator.clients.kill(first, "not wanted", client);
    const view = await stage.ended(third);
    assert.deepEqual([view.state, view.error?.code], ["FAILED", "PREDECESSOR_FAILED"]);
    assert.match(view.error?.message ?? "", new RegExp(`when ${second} has succeeded, which is FAILED`));
    const { error } = stage.coordinator.clients.job(second);
    assert.match(error?.message ?? "", new RegExp(`when ${first} has succeeded, which is ${how}`));
    assert.ok(!held.begun.includes(second) && !held.begun.includes(third));
  }
});

test("a job cannot follow one that is not there, or that did not succeed; one that did holds nobody up", async (t) => {
  const stage = new Stage(t);
  const held = new Held();
  stage.agent("a", { task: held.task });
  await assert.rejects(
    stage.submit({ after: ["20260101-000000000-none-abcd"] }, "none"),
    says("NOT_FOUND", /no job "20260101-000000000-none-abcd" is kept, which the job is to follow/),
  );
  const good = await stage.submit({}, "good");
  const bad = await stage.submit({}, "bad");
  held.bad.add(bad);
  held.free.add(good).add(bad);
  await stage.ended(good);
  await stage.ended(bad);
  await assert.rejects(
    stage.submit({ after: [good, bad] }, "x"),
    says("PREDECESSOR_FAILED", /which is FAILED/),
  );
  const last = await stage.submit({ after: [good, good] }, "last");
  held.free.add(last);
  assert.equal((await stage.ended(last)).state, "SUCCEEDED");
});

test("a predecessor that succeeded and is no longer kept has still succeeded", async (t) => {
  const stage = new Stage(t, { limits: { retention: 1 } });
  const held = new Held();
  stage.agent("a", { task: held.task }, 4);
  const first = await stage.submit({}, "first");
  const slow = await stage.submit({}, "slow");
  const last = await stage.submit({ after: [first, slow] }, "last");
  const other = await stage.submit({}, "other");
  held.free.add(first);
  await stage.ended(first);
  held.free.add(other);
  await stage.ended(other);
  assert.throws(() => stage.coordinator.clients.job(first), says("NOT_FOUND", /./));
  stage.restart();
  held.free.add(slow).add(last);
  assert.equal((await stage.ended(last)).state, "SUCCEEDED");
});

test("the queue timeout counts from when a job waits for nothing but agents", async (t) => {
  const stage = new Stage(t);
  const agent = stage.agent("a", { task: new Held().task });
  const options = { ...(await stage.submission()).options, queueTimeoutMs: 5_000 };
  const first = await stage.submit({}, "first");
  const last = await stage.submit({ after: [first], options }, "last");
  stage.clock.pass(60_000);
  stage.beat();
  assert.equal(stage.coordinator.clients.job(last).state, "QUEUED");
  agent.stop();
  stage.coordinator.clients.kill(first, "x", client);
  assert.equal((await stage.ended(last, 100)).error?.code, "PREDECESSOR_FAILED");
  const alone = await stage.submit({ options }, "alone");
  assert.equal((await stage.ended(alone, 100)).error?.code, "NO_AGENTS");
});

test("any order of jobs that follow each other comes out as their predecessors did", async (t) => {
  for (const seed of [1, 2, 3]) {
    const random = seededRandom(`following ${seed}`);
    const stage = new Stage(t);
    const held = new Held();
    const errand: FakeWork["errand"] = async (one, agent) =>
      one.kind === "plan" ? agent.planned(one, 1) : agent.answer(one);
    stage.agent("a", { task: held.task, errand }, 3);
    const jobs: { readonly id: string; readonly after: readonly number[]; readonly isBad: boolean }[] = [];
    for (let index = 0; index < 7; index++) {
      const after = jobs.map((_, before) => before).filter(() => random.below(3) === 0);
      const named = after.map((one) => jobs[one]!.id);
      const id = await stage.submit({ after: named }, `job ${index}`);
      const isBad = random.below(4) === 0;
      if (isBad) held.bad.add(id);
      jobs.push({ id, after, isBad });
    }
    for (const { id } of jobs.toSorted(() => random.next() - 0.5)) {
      held.free.add(id);
      if (random.below(4) === 0) stage.restart();
      for (let turn = random.below(60); turn > 0; turn--)
        await new Promise((resolve) => setImmediate(resolve));
    }
    const expected: boolean[] = [];
    for (const { after, isBad } of jobs) expected.push(!isBad && after.every((one) => expected[one]));
    const states: string[] = [];
    for (const { id } of jobs) states.push((await stage.ended(id)).state);
    assert.deepEqual(
      states,
      expected.map((good) => (good ? "SUCCEEDED" : "FAILED")),
      `seed ${seed}`,
    );
    for (const { id, after } of jobs) {
      const at = held.begun.indexOf(id);
      const early = after.filter((one) => at >= 0 && held.begun.indexOf(jobs[one]!.id) > at);
      assert.deepEqual(early, [], `seed ${seed}: ${id} began before what it follows`);
      assert.equal(
        at >= 0,
        after.every((one) => expected[one]),
        `seed ${seed}: ${id}`,
      );
    }
  }
});
