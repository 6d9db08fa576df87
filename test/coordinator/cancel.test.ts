import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { ErrandResult } from "#src/protocol/agent-messages.js";
import { Stage, client } from "./stage.js";

test("a job cancelled while it waits for an agent ends at once", async (t) => {
  const stage = new Stage(t);
  const job = await stage.submit();
  assert.equal(stage.coordinator.clients.job(job).state, "QUEUED");
  assert.match(stage.coordinator.clients.job(job).waitingFor ?? "", /an agent: none has joined/);
  stage.coordinator.clients.kill(job, "not needed", client);
  const view = await stage.ended(job);
  assert.equal(view.state, "CANCELLED");
  assert.match(view.error?.message ?? "", /not needed/);
  assert.equal(stage.coordinator.clients.kill(job, "again", client).state, "CANCELLED");
});

test("a job cancelled while it is planned waits for the planner before its staging goes", async (t) => {
  const stage = new Stage(t);
  let plan: (() => void) | null = null;
  const agent = stage.agent("a", {
    errand: async (errand, self) => {
      if (errand.kind === "plan") await new Promise<void>((resolve) => (plan = resolve));
      return self.answer(errand);
    },
  });
  const job = await stage.submit({ output: { kind: "shared", path: stage.output, overwrite: false } });
  await stage.until("the agent plans", () => plan !== null);
  stage.coordinator.clients.kill(job, "too late", client);
  for (let turn = 0; turn < 5; turn++) {
    stage.beat();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(stage.coordinator.clients.job(job).state, "PLANNING");
  plan!();
  assert.equal((await stage.ended(job)).state, "CANCELLED");
  const errands = agent.had.flatMap((order) => (order.kind === "errand" ? [order.errand.kind] : []));
  assert.deepEqual(errands, ["plan", "discard"]);
});

for (const phase of ["map", "reduce"] as const) {
  test(`a job cancelled in its ${phase} phase kills what runs, then discards, and keeps no results`, async (t) => {
    const stage = new Stage(t);
    let running = 0;
    const agent = stage.agent("a", {
      task: async (order, self) => {
        if (order.work.kind !== phase) return self.succeed(order);
        running++;
        await new Promise(() => undefined);
        return null;
      },
    });
    const job = await stage.submit({ output: { kind: "shared", path: stage.output, overwrite: false } });
    await stage.until("attempts run", () => running === 2);
    stage.beat();
    stage.coordinator.clients.kill(job, "enough", client);
    await stage.until("kills have gone", () => agent.had.filter(({ kind }) => kind === "kill").length === 2);
    assert.ok(!agent.had.some((order) => order.kind === "errand" && order.errand.kind === "discard"));
    for (let turn = 0; turn < 30; turn++) {
      stage.beat();
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(stage.coordinator.clients.job(job).state, "RUNNING", "attempts are listed as running still");
    agent.running.clear();
    const view = await stage.ended(job);
    assert.equal(view.state, "CANCELLED");
    assert.ok(agent.had.some((order) => order.kind === "errand" && order.errand.kind === "discard"));
    const attempts = stage.coordinator.clients.attempts(job);
    assert.ok(attempts.every(({ state }) => state !== "RUNNING"));
    assert.equal(attempts.filter(({ state }) => state === "CANCELLED").length, 2);
    assert.ok(!existsSync(join(stage.state, "jobs", job, "results")));
  });
}

test("an agent that does not end what it was told to end does not hold up the end for ever", async (t) => {
  const stage = new Stage(t);
  let running = 0;
  stage.agent("a", {
    task: async () => {
      running++;
      await new Promise(() => undefined);
      return null;
    },
  });
  const job = await stage.submit();
  await stage.until("attempts run", () => running === 2);
  stage.coordinator.clients.kill(job, "enough", client);
  assert.equal((await stage.ended(job, 50)).state, "CANCELLED");
});

test("a job cancelled while it is committed has the outcome of the commit", async (t) => {
  for (const outcome of ["committed", "failed"] as const) {
    const stage = new Stage(t);
    let commit: (() => void) | null = null;
    stage.agent("a", {
      errand: async (errand, self): Promise<ErrandResult> => {
        if (errand.kind !== "commit") return self.answer(errand);
        await new Promise<void>((resolve) => (commit = resolve));
        return outcome === "committed"
          ? self.answer(errand)
          : self.failed("OUTPUT_EXISTS", "there is something");
      },
    });
    const job = await stage.submit({ output: { kind: "shared", path: stage.output, overwrite: false } });
    await stage.until("the agent commits", () => commit !== null);
    assert.equal(stage.coordinator.clients.kill(job, "too late", client).state, "COMMITTING");
    commit!();
    const view = await stage.ended(job);
    assert.equal(view.state, outcome === "committed" ? "SUCCEEDED" : "CANCELLED");
  }
});

test("the staging directory of a job goes when an agent comes, if none was there at its end", async (t) => {
  const stage = new Stage(t);
  let running = 0;
  const agent = stage.agent("a", {
    task: async () => {
      running++;
      await new Promise(() => undefined);
      return null;
    },
  });
  const job = await stage.submit({ output: { kind: "shared", path: stage.output, overwrite: false } });
  await stage.until("attempts run", () => running === 2);
  agent.stop();
  await stage.until("the agent is lost", () => stage.coordinator.operations.nodes()[0]!.state === "lost", 50);
  stage.coordinator.clients.kill(job, "enough", client);
  assert.equal((await stage.ended(job, 50)).state, "CANCELLED");
  stage.restart();
  agent.rejoin();
  const discarded = (): boolean =>
    agent.had.some(
      (order) => order.kind === "errand" && order.errand.kind === "discard" && order.errand.job === job,
    );
  await stage.until("it is told to discard", discarded);
});

test("only the results of the attempts that counted are kept", async (t) => {
  const stage = new Stage(t);
  stage.agent("a", {
    task: async (order, self) => {
      if (order.work.kind !== "reduce" || order.attempt.attempt > 1) return self.succeed(order);
      await self.upload(order.attempt, "part-0.tsv", Buffer.from("half"));
      return self.fail(order, "no");
    },
  });
  const job = await stage.submit();
  assert.equal((await stage.ended(job)).state, "SUCCEEDED");
  const kept = readdirSync(join(stage.state, "jobs", job, "results")).sort();
  assert.deepEqual(kept, ["reduce-00000.2", "reduce-00001.2"]);
});
