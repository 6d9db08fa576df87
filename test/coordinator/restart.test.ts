import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { seededRandom } from "#src/base/random.js";
import type { Errand, ErrandResult } from "#src/protocol/agent-messages.js";
import type { Submission } from "#src/protocol/submission.js";
import { HeldReduces } from "./fake-agent.js";
import type { FakeAgent } from "./fake-agent.js";
import { Stage, client } from "./stage.js";

/** Kinds of jobs that go through all that can be interrupted. */
const kinds: Readonly<Record<string, (stage: Stage) => Partial<Submission>>> = {
  collect: () => ({}),
  shared: (stage) => ({ output: { kind: "shared", path: stage.output, overwrite: false } }),
};

for (const [kind, changes] of Object.entries(kinds)) {
  test(`a coordinator killed anywhere carries a ${kind} job on, and no finished task runs again`, async (t) => {
    for (let seed = 1; seed <= 3; seed++) {
      const stage = new Stage(t);
      const random = seededRandom(`${kind} ${seed}`);
      const agents = ["a", "b"].map((name) => stage.agent(name));
      const job = await stage.submit(changes(stage));
      let restarts = 0;
      let turns = random.below(6);
      await stage.until(`seed ${seed}: the job ends`, () => {
        if (stage.coordinator.clients.job(job).state === "SUCCEEDED") return true;
        if (turns-- <= 0 && restarts < 6) {
          restarts++;
          turns = random.below(12);
          stage.restart();
          stage.beat();
        }
        return false;
      });
      const view = stage.coordinator.clients.job(job);
      assert.deepEqual(view.counters, { map: 3, reduce: 2 }, `seed ${seed}`);
      assert.equal(view.stats?.recordsIn, 30);
      assert.equal(view.parts.length, 2);
      const ran = agents.flatMap((agent) => [...agent.ran]);
      assert.deepEqual(
        ran.map(([name, times]) => `${name.split(" ")[1]} ${times}`).sort(),
        ["map-00000.1 1", "map-00001.1 1", "map-00002.1 1", "reduce-00000.1 1", "reduce-00001.1 1"],
        `seed ${seed}, after ${restarts} restarts`,
      );
      const last = (await stage.events(job)).at(-1);
      assert.equal(last?.kind === "job-finished" ? last.status : null, "SUCCEEDED");
    }
  });
}

test("whoever was sent to commit is sent again after a kill; another one only when it is lost", async (t) => {
  const stage = new Stage(t);
  const asked: string[] = [];
  const work = {
    errand: async (errand: Errand, self: FakeAgent): Promise<ErrandResult | null> => {
      if (errand.kind !== "commit") return self.answer(errand);
      asked.push(`${self.name} ${errand.id.split(":").slice(1).join(":")}`);
      return asked.length < 4 ? null : self.answer(errand);
    },
  };
  const agents = { a: stage.agent("a", work), b: stage.agent("b", work) };
  agents.a.utility = 10;
  stage.beat();
  const job = await stage.submit({ output: { kind: "shared", path: stage.output, overwrite: false } });
  await stage.until("one is asked", () => asked.length === 1);
  const first = asked[0]!.startsWith("a") ? ("a" as const) : ("b" as const);
  const other = first === "a" ? "b" : "a";
  // Anybody would choose the other one now.
  agents[first].utility = 10;
  agents[other].utility = 100;
  for (const agent of Object.values(agents)) agent.register();
  for (const times of [2, 3]) {
    stage.restart();
    await stage.until("it is asked again", () => asked.length === times);
  }
  agents[first].stop();
  await stage.until("the other one is asked", () => asked.length === 4, 50);
  assert.deepEqual(asked, [
    ...Array<string>(3).fill(`${first} commit:${first}:1`),
    `${other} commit:${other}:1`,
  ]);
  const view = await stage.ended(job);
  assert.deepEqual([view.state, view.parts.length], ["SUCCEEDED", 2]);
});

test("a job that was being planned is planned anew after a kill", async (t) => {
  const stage = new Stage(t);
  let plans = 0;
  const agent = stage.agent("a", {
    errand: async (errand, self) => (errand.kind === "plan" && ++plans === 1 ? null : self.answer(errand)),
  });
  const job = await stage.submit();
  await stage.until("the agent plans", () => plans === 1);
  stage.restart();
  assert.equal((await stage.ended(job)).state, "SUCCEEDED");
  assert.equal(plans, 2);
  assert.equal(agent.had.filter((order) => order.kind === "errand").length, 2);
});

test("a failure is told with its first real cause, also when the coordinator was killed before the end", async (t) => {
  const stage = new Stage(t);
  stage.agent("a", {
    task: async (order, self) => {
      if (order.work.kind !== "map" || order.attempt.task !== 1) return self.succeed(order);
      if (order.attempt.attempt === 3) stage.restart();
      return self.fail(order, `attempt ${order.attempt.attempt} broke`);
    },
  });
  const view = await stage.ended(await stage.submit());
  assert.equal(view.state, "FAILED");
  assert.equal(view.error?.code, "USER_CODE");
  assert.match(view.error?.message ?? "", /attempt 4 broke/);
  assert.equal(view.error?.host, "host-of-a");
  const failed = stage.coordinator.clients.attempts(view.job).filter(({ state }) => state === "FAILED");
  assert.equal(failed.length, 4, "no attempt was used up by the kill");
});

test("an agent that comes back without its files while the coordinator is away has its maps made again", async (t) => {
  const stage = new Stage(t);
  const held = new HeldReduces();
  const agent = stage.agent("a", held.work);
  const job = await stage.submit();
  await stage.until("reduces run", () => stage.coordinator.clients.job(job).phases[1]?.running === 2);
  stage.restart();
  agent.rejoin();
  held.letGo();
  const view = await stage.ended(job);
  assert.deepEqual([view.state, view.counters], ["SUCCEEDED", { map: 3, reduce: 2 }]);
  const maps = stage.coordinator.clients.attempts(job).filter(({ attempt }) => attempt.phase === "map");
  assert.equal(maps.filter(({ incarnation }) => incarnation === 2).length, 3);
});

test("a job directory that was not told of its job's end is told at the next start", async (t) => {
  const stage = new Stage(t);
  stage.agent("a");
  const job = await stage.submit();
  await stage.ended(job);
  const before = await stage.events(job);
  stage.restart((state) => {
    const directory = join(state, "jobs", job);
    const events = readFileSync(join(directory, "events.jsonl"), "utf8").trimEnd();
    writeFileSync(join(directory, "events.jsonl"), events.slice(0, events.lastIndexOf("\n") + 20));
    writeFileSync(join(directory, "result"), "INCOMPLETE\n");
  });
  const after = await stage.events(job);
  const withoutTime = (events: typeof before) => events.map((event) => ({ ...event, atMs: 0 }));
  assert.deepEqual(withoutTime(after), withoutTime(before));
  const directory = join(stage.state, "jobs", job);
  assert.equal(readFileSync(join(directory, "result"), "utf8"), "OK\n");
  assert.match(readFileSync(join(directory, "job.json"), "utf8"), /"status": "SUCCEEDED"/);
});

test("bad records are counted once each, over restarts and maps made again", async (t) => {
  for (const [kind, max, state] of [
    ["count", 3, "SUCCEEDED"],
    ["share", 0.1, "SUCCEEDED"],
    ["share", 0.09, "FAILED"],
  ] as const) {
    const stage = new Stage(t);
    const held = new HeldReduces();
    const agent = stage.agent("a", {
      task: async (order, self) => {
        await held.pass(order, self);
        const report = await self.succeed(order);
        if (order.work.kind !== "map" || report.result?.kind !== "success") return report;
        return { ...report, result: { ...report.result, stats: { ...report.result.stats, badRecords: 1 } } };
      },
    });
    const { options } = await stage.submission();
    const job = await stage.submit({ options: { ...options, badBudget: { kind, max } } });
    const isOver = (): boolean => stage.coordinator.clients.job(job).state === "FAILED";
    const areDone = (): boolean => stage.coordinator.clients.job(job).phases[1]?.running === 2;
    await stage.until("maps are done", () => isOver() || areDone(), 10);
    if (!isOver()) {
      stage.restart();
      agent.rejoin();
      held.letGo();
    }
    const view = await stage.ended(job);
    assert.equal(view.state, state);
    if (state === "FAILED") assert.match(view.error?.message ?? "", /3 records are bad, 9% of 30 \(2\)/);
    else assert.equal(view.badRecords, 3);
  }
});

test("skew and hot keys are those of a run without faults, wherever the coordinator was killed", async (t) => {
  const seen: unknown[] = [];
  for (const kills of [[], [1, 2, 3, 4], [2, 5]]) {
    const stage = new Stage(t);
    let done = 0;
    stage.agent(
      "a",
      {
        errand: async (errand, self) =>
          errand.kind === "plan" ? self.planned(errand, 6) : self.answer(errand),
        task: async (order, self) => {
          const report = await self.succeed(order);
          if (order.work.kind !== "map" || report.result?.kind !== "success") return report;
          // Between two maps: once right behind the sums, once when something was added to them.
          if (kills.includes(++done)) stage.restart();
          if (done === 3) stage.clock.pass(6_000);
          stage.beat();
          const hotKeys = [{ collection: 0, key: `key ${order.attempt.task % 2}`, values: 10 }];
          return {
            ...report,
            result: { ...report.result, partitionBytes: [[order.attempt.task, 8]], pairs: [40], hotKeys },
          };
        },
      },
      1,
    );
    const view = await stage.ended(await stage.submit());
    assert.deepEqual([view.state, view.counters], ["SUCCEEDED", { map: 6, reduce: 2 }]);
    seen.push({ skew: view.skew, hotKeys: view.hotKeys });
  }
  assert.deepEqual(seen[0], {
    skew: [
      { collection: "", partitions: 2, largestPartition: 1, largestBytes: 48, ratio: 48 / ((48 + 15) / 2) },
    ],
    hotKeys: [
      { collection: "", key: "key 0", values: 30, share: 0.125 },
      { collection: "", key: "key 1", values: 30, share: 0.125 },
    ],
  });
  for (const other of seen.slice(1)) assert.deepEqual(other, seen[0]);
});

test("a job that nobody can commit waits, and may be cancelled", async (t) => {
  const stage = new Stage(t);
  let reduced = 0;
  const agent = stage.agent("a", {
    task: async (order, self) => {
      const report = await self.succeed(order);
      if (order.work.kind === "reduce" && ++reduced === 2) stage.coordinator.operations.bar("a", "loud");
      return report;
    },
  });
  const job = await stage.submit({ output: { kind: "shared", path: stage.output, overwrite: false } });
  await stage.until("it waits", () => stage.coordinator.clients.job(job).state === "COMMITTING");
  assert.match(stage.coordinator.clients.job(job).waitingFor ?? "", /an agent that can commit/);
  stage.coordinator.clients.kill(job, "enough", client);
  assert.equal((await stage.ended(job, 50)).state, "CANCELLED");
  assert.ok(agent.had.every((order) => order.kind !== "errand" || order.errand.kind !== "commit"));
});
