import assert from "node:assert/strict";
import { test } from "node:test";
import { isSheafError } from "#src/base/errors.js";
import { taskFailure } from "#src/worker/failure.js";
import { HeldReduces } from "./fake-agent.js";
import { Stage } from "./stage.js";

test("an agent that says it leaves is gone at once, and what it still had runs elsewhere", async (t) => {
  const stage = new Stage(t);
  const held = new HeldReduces();
  const a = stage.agent("a", held.work);
  const job = await stage.submit();
  await stage.until("reduces run", () => stage.coordinator.clients.job(job).phases[1]?.running === 2);
  const b = stage.agent("b");
  held.letGo();
  a.stop();
  stage.coordinator.agents.leave("a", { incarnation: 1 });
  const state = (): string | undefined =>
    stage.coordinator.operations.nodes().find(({ agent }) => agent === "a")?.state;
  assert.equal(state(), "lost");
  // No time has passed: the lease had nothing to do with it.
  const view = await stage.ended(job);
  assert.equal(view.state, "SUCCEEDED");
  const causes = stage.coordinator.clients
    .attempts(job)
    .flatMap(({ outputLost, cause }) => [outputLost, cause]);
  assert.ok(causes.includes("a is lost: it has left the cluster"), causes.join("; "));
  assert.ok([...b.ran.keys()].some((name) => name.includes("map-")));
  for (const incarnation of [1, 0])
    assert.throws(
      () => stage.coordinator.agents.leave("a", { incarnation }),
      (error) => isSheafError(error) && error.code === "FENCED",
    );
});

test("an agent that drains is told when nothing it has is needed", async (t) => {
  const stage = new Stage(t);
  const a = stage.agent("a", {
    task: async (order, self) => {
      if (order.work.kind === "map") return self.succeed(order);
      self.draining = true;
      self.beat();
      return self.fail(order, "it is leaving", "WORKER_LOST");
    },
  });
  assert.equal(a.beat().needed, undefined);
  const job = await stage.submit();
  await stage.until("it drains", () => a.draining && a.running.size === 0);
  assert.equal(a.beat().needed, 3);
  let hold = true;
  stage.agent("b", {
    task: async (order, self) => {
      while (hold) await new Promise((resolve) => setImmediate(resolve));
      return self.succeed(order);
    },
  });
  await stage.until("b reduces", () => stage.coordinator.clients.job(job).phases[1]?.running === 2);
  assert.equal(a.beat().needed, 3);
  hold = false;
  await stage.ended(job);
  assert.equal(a.beat().needed, 0);
});

const late = {
  ...taskFailure("EMIT_LATE", "emit was called after the task had ended", { phase: "uncaught" }),
  log: [],
};

test("a late emit fails the job while it runs, told by a life of its agent that counts", async (t) => {
  const stage = new Stage(t);
  const held = new HeldReduces();
  const agent = stage.agent("a", {
    task: async (order, self) => {
      await held.pass(order, self);
      return order.work.kind === "map" ? self.succeed(order) : self.fail(order, "too late");
    },
  });
  const job = await stage.submit();
  await stage.until("reduces run", () => stage.coordinator.clients.job(job).phases[1]?.running === 2);
  const attempt = { job, phase: "map", task: 0, attempt: 1 } as const;
  const stray = { agent: "a", incarnation: 1, attempt, failure: late };
  for (const other of [
    { ...stray, incarnation: 2 },
    { ...stray, agent: "b" },
    { ...stray, attempt: { ...attempt, attempt: 2 } },
    { ...stray, attempt: { ...attempt, task: 99 } },
  ])
    assert.equal(stage.coordinator.tasks.stray(job, other), false);
  assert.equal(stage.coordinator.clients.job(job).state, "RUNNING");
  for (const wrong of [{ ...stray, failure: { ...late, code: "USER_CODE" } }])
    assert.throws(() => stage.coordinator.tasks.stray(job, wrong), /only late emits/);
  assert.equal(stage.coordinator.tasks.stray(job, stray), true);
  assert.equal(stage.coordinator.tasks.stray(job, stray), false, "told twice it counts once");
  held.letGo();
  const view = await stage.ended(job);
  assert.deepEqual([view.state, view.error?.code, view.error?.task], ["FAILED", "EMIT_LATE", null]);
  assert.match(view.error?.message ?? "", /emit was called after the task had ended/);
  assert.equal(stage.coordinator.tasks.stray(job, stray), false, "the job is over");
  assert.equal(agent.isAlive, true);
});

test("a late emit of a life that is over fails nothing: what it made is made again", async (t) => {
  const stage = new Stage(t);
  const held = new HeldReduces();
  const agent = stage.agent("a", held.work);
  const job = await stage.submit();
  await stage.until("reduces run", () => stage.coordinator.clients.job(job).phases[1]?.running === 2);
  agent.rejoin();
  const attempt = { job, phase: "map", task: 0, attempt: 1 } as const;
  assert.equal(
    stage.coordinator.tasks.stray(job, { agent: "a", incarnation: 1, attempt, failure: late }),
    false,
  );
  held.letGo();
  assert.equal((await stage.ended(job)).state, "SUCCEEDED");
});
