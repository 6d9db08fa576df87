import assert from "node:assert/strict";
import { test } from "node:test";
import { OutputList } from "#src/coordinator/map-outputs.js";
import type { Errand, ErrandResult } from "#src/protocol/agent-messages.js";
import { splitsPerPage } from "#src/protocol/agent-messages.js";
import { readOutputs } from "./fake-agent.js";
import type { FakeAgent } from "./fake-agent.js";
import { Stage } from "./stage.js";

/** An agent whose errands of that kind hang the first `times`. */
function hanging(
  stage: Stage,
  name: string,
  kind: Errand["kind"],
  times = 1,
): { agent: FakeAgent; had: Errand[] } {
  const had: Errand[] = [];
  const agent = stage.agent(name, {
    errand: async (errand, self): Promise<ErrandResult | null> => {
      if (errand.kind !== kind) return self.answer(errand);
      had.push(errand);
      return had.length <= times ? new Promise<null>(() => undefined) : self.answer(errand);
    },
  });
  return { agent, had };
}

for (const kind of ["plan", "commit"] as const) {
  test(`a ${kind} that stands still on a living agent is given to another one, which is heard alone`, async (t) => {
    const stage = new Stage(t, { timings: { errandStillMs: 3_000 } });
    const stuck = hanging(stage, "a", kind);
    const output = { kind: "shared", path: stage.output, overwrite: false } as const;
    const job = await stage.submit({ output });
    await stage.until("a has it", () => stuck.had.length === 1);
    const [errand] = stuck.had;
    const other = stage.agent("b");
    // As long as it moves on it may take its time.
    for (let beat = 1; beat <= 5; beat++) {
      stuck.agent.errands = [{ id: errand!.id, beat }];
      stage.clock.pass(2_000);
      stage.beat();
      assert.equal(other.had.length, 0, `after ${beat} beats`);
    }
    assert.deepEqual(stuck.agent.beat().drop, []);
    stage.clock.pass(3_000);
    stage.beat();
    await stage.until("b has it", () => other.had.some((order) => order.kind === "errand"));
    assert.deepEqual(stuck.agent.beat().drop, [errand!.id]);
    assert.equal(stuck.agent.isAlive, true);
    stage.coordinator.agents.errandDone(
      errand!.id,
      kind === "plan" ? stuck.agent.planned(errand!, 9) : stuck.agent.failed("DISK_FULL", "too late"),
    );
    const view = await stage.ended(job);
    assert.deepEqual([view.state, view.mapTasks, view.counters], ["SUCCEEDED", 3, { map: 3, reduce: 2 }]);
    const warned = (await stage.events(job)).filter((event) => event.kind === "warning");
    assert.equal(warned.length, 1);
    assert.match(warned[0]!.message, /made no progress for 3000 ms on agent a; another one is asked/);
  });
}

for (const kind of ["plan", "commit"] as const) {
  test(`a ${kind} that stands still wherever it is done fails the job, saying where`, async (t) => {
    const stage = new Stage(t, { timings: { errandStillMs: 3_000 } });
    const { had } = hanging(stage, "a", kind, 100);
    const job = await stage.submit({ output: { kind: "shared", path: stage.output, overwrite: false } });
    const view = await stage.ended(job, 200);
    assert.deepEqual([view.state, view.error?.code], ["FAILED", "NO_PROGRESS"]);
    assert.match(view.error?.message ?? "", /no progress for \d+ ms, 4 times; last on agent a \(host-of-a\)/);
    assert.equal(had.length, 4);
  });
}

test("a commit is asked as often as any, however often its planning stood still", async (t) => {
  const stage = new Stage(t, { timings: { errandStillMs: 3_000 } });
  const hung = { plan: 0, commit: 0 };
  stage.agent("a", {
    errand: async (errand, self): Promise<ErrandResult | null> => {
      if (errand.kind !== "plan" && errand.kind !== "commit") return self.answer(errand);
      return hung[errand.kind]++ < 3 ? new Promise<null>(() => undefined) : self.answer(errand);
    },
  });
  const job = await stage.submit({ output: { kind: "shared", path: stage.output, overwrite: false } });
  assert.equal((await stage.ended(job, 200)).state, "SUCCEEDED");
  assert.deepEqual(hung, { plan: 4, commit: 4 });
});

test("a commit whose only agent stands still is asked again there, as an errand of its own", async (t) => {
  const stage = new Stage(t, { timings: { errandStillMs: 3_000 } });
  const { had } = hanging(stage, "a", "commit", 2);
  const job = await stage.submit({ output: { kind: "shared", path: stage.output, overwrite: false } });
  assert.equal((await stage.ended(job, 100)).state, "SUCCEEDED");
  assert.equal(new Set(had.map(({ id }) => id)).size, 3);
});

/** Does a plan of so many maps, in pages as agents send it. */
async function planInPages(errand: Errand, self: FakeAgent, maps: number): Promise<ErrandResult> {
  const whole = self.planned(errand, maps);
  if (whole.kind !== "planned") return whole;
  const { agent, incarnation, splits } = whole;
  for (let from = 0; from < maps; from += splitsPerPage) {
    const page = { agent, incarnation, from, splits: splits.slice(from, from + splitsPerPage) };
    self.coordinator.agents.errandPage(errand.id, page);
    // Sent again because the answer was lost.
    self.coordinator.agents.errandPage(errand.id, page);
  }
  return { ...whole, splits: [], sent: maps };
}

test("a plan that comes in pages is the same plan, also for a coordinator that is started anew", async (t) => {
  const stage = new Stage(t);
  const maps = 6_001;
  const read = new Map<number, string>();
  let go = (): void => undefined;
  const gate = new Promise<void>((resolve) => (go = resolve));
  const agent = stage.agent(
    "a",
    {
      errand: async (errand, self) =>
        errand.kind === "plan" ? planInPages(errand, self, maps) : self.answer(errand),
      task: async (order, self) => {
        if (order.work.kind === "map") {
          const [piece] = order.work.split.pieces;
          assert.equal(order.work.split.index, order.attempt.task);
          read.set(order.attempt.task, piece?.kind === "file" ? piece.name : "");
          if (order.attempt.task >= 50) await gate;
        }
        return self.succeed(order);
      },
    },
    4,
  );
  const job = await stage.submit();
  await stage.until(
    "some maps are done",
    () => (stage.coordinator.clients.job(job).phases[0]?.finished ?? 0) >= 50,
  );
  assert.equal(stage.coordinator.clients.job(job).mapTasks, maps);
  stage.restart();
  go();
  await stage.until("more are begun", () => read.size > 100);
  stage.coordinator.clients.kill(job, "enough was seen", { role: "client", remote: "" });
  await stage.ended(job, 50);
  assert.equal(agent.isAlive, true);
  for (const [task, name] of read) assert.equal(name, `in/${task}.txt`);
});

test("the list of map outputs is read in pages that say where the next begins", () => {
  const list = new OutputList();
  const entry = (task: number) => ({
    task,
    attempt: 1,
    agent: "a",
    incarnation: 1,
    address: "http://127.0.0.1:9",
    bytes: task,
  });
  for (let task = 0; task < 4_100; task++) list.add(entry(task));
  for (const start of [0, 1, 1_999, 2_000, 4_050, 4_100]) {
    const tasks: number[] = [];
    let pages = 0;
    for (let after = start; after < list.version; pages++) {
      const page = readOutputs(list.page(after));
      assert.ok(page.version > after && page.entries.length === page.version - after);
      tasks.push(...page.entries.map(({ task }) => task));
      after = page.version;
    }
    assert.deepEqual(
      tasks,
      Array.from({ length: 4_100 - start }, (_, index) => start + index),
    );
    assert.ok(pages <= 3, `${pages} pages`);
  }
  for (const after of [4_100, 6_000, 10_000])
    assert.deepEqual(readOutputs(list.page(after)), { version: 4_100, entries: [] });
  assert.equal(list.page(0), list.page(0), "a page that is full is made once");
  list.add({ ...entry(7), agent: null, address: null });
  assert.deepEqual([list.has(7, 1), list.has(8, 1), list.has(8, 2)], [false, true, false]);
});
