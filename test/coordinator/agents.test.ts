import assert from "node:assert/strict";
import { test } from "node:test";
import { isSheafError } from "#src/base/errors.js";
import type { TaskReport } from "#src/protocol/task-messages.js";
import { TASK_STATUS } from "#src/protocol/version.js";
import { readOutputs } from "./fake-agent.js";
import type { FakeWork } from "./fake-agent.js";
import { Stage } from "./stage.js";

/** Ends the agent without a word when it is given map 2. */
const deadly: Partial<FakeWork> = {
  task: async (order, self) => {
    if (order.work.kind !== "map" || order.attempt.task !== 2) return self.succeed(order);
    self.stop();
    return null;
  },
};

/** An agent's work that stops before reduces until it is let go. */
function gate() {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

test("maps whose outputs went with their agent run again elsewhere, and the list says so", async (t) => {
  const stage = new Stage(t);
  const { opened } = gate();
  const a = stage.agent("a", {
    task: async (order, self) => {
      if (order.work.kind === "reduce") await opened;
      return self.succeed(order);
    },
  });
  const job = await stage.submit();
  await stage.until("reduces run", () => stage.coordinator.clients.job(job).phases[1]?.running === 2);
  assert.equal(
    readOutputs(stage.coordinator.agents.outputsPage(job, 0)).entries.filter(({ agent }) => agent === "a")
      .length,
    3,
  );
  a.stop();
  const b = stage.agent("b");
  await stage.until("the agent is lost", () => stage.coordinator.operations.nodes()[0]!.state === "lost", 20);
  const withdrawn = readOutputs(stage.coordinator.agents.outputsPage(job, 3)).entries;
  assert.deepEqual(
    withdrawn.slice(0, 3).map(({ task, agent }) => [task, agent]),
    [
      [0, null],
      [1, null],
      [2, null],
    ],
  );
  const view = await stage.ended(job);
  assert.equal(view.state, "SUCCEEDED");
  assert.deepEqual(view.counters, { map: 3, reduce: 2 });
  assert.equal(view.stats?.recordsIn, 30, "each map counts once");
  assert.equal([...b.ran.keys()].filter((name) => name.includes("map-")).length, 3);
  const lost = stage.coordinator.clients.attempts(job).filter(({ outputLost }) => outputLost !== null);
  assert.equal(lost.length, 3);
});

test("a life that was given up is told so everywhere, and joins with a higher incarnation", async (t) => {
  const stage = new Stage(t);
  const a = stage.agent("a", { task: () => new Promise(() => undefined) });
  const job = await stage.submit();
  await stage.until("attempts run", () => stage.coordinator.clients.job(job).phases[0]?.running === 2);
  const running = [...a.running.values()];
  a.stop();
  for (const one of running) a.running.set("kept", one);
  await stage.until("the agent is lost", () => stage.coordinator.operations.nodes()[0]!.state === "lost", 20);
  assert.equal(a.beat().standing, "fenced");
  const fenced = (error: unknown): boolean => isSheafError(error) && error.code === "FENCED";
  const { signal } = new AbortController();
  await assert.rejects(stage.coordinator.agents.orders("a", { incarnation: 1, errands: [] }, signal), fenced);
  await assert.rejects(stage.coordinator.tasks.askTask(a.asker(0, 9), signal), fenced);
  const { attempt } = running[0]!;
  const late: TaskReport = {
    ...(await a.succeed({ attempt, backup: false, settings: 1, work: mapWork })),
    attempt,
  };
  await assert.rejects(a.report(late), fenced);
  await assert.rejects(a.report({ status: TASK_STATUS.FAILED, attempt, message: "no" }), fenced);
  assert.equal(stage.coordinator.clients.job(job).phases[0]?.finished, 0);
  a.rejoin();
  assert.equal(stage.coordinator.operations.nodes()[0]!.state, "up");
  assert.equal(stage.coordinator.operations.nodes()[0]!.incarnation, 2);
});

const mapWork = { kind: "map" as const, split: { index: 0, pieces: [], bytes: 0 }, skip: null };

test("an agent that is not known joins first; one that says it joined again is the same", async (t) => {
  const stage = new Stage(t);
  const a = stage.agent("a");
  assert.equal(a.beat().standing, "ok");
  a.register();
  assert.equal(a.beat().standing, "ok");
  a.incarnation = 7;
  assert.equal(a.beat().standing, "join");
  const { signal } = new AbortController();
  await assert.rejects(
    stage.coordinator.agents.orders("nobody", { incarnation: 1, errands: [] }, signal),
    (error) => isSheafError(error) && error.code === "NOT_FOUND",
  );
});

test("reports that come twice count once, and a second life of the question gets the same task", async (t) => {
  const stage = new Stage(t);
  const a = stage.agent("a", {}, 1);
  a.stop();
  const job = await stage.submit();
  const { signal } = new AbortController();
  const errand = await stage.coordinator.agents.orders("a", { incarnation: 1, errands: [] }, signal);
  const plan = errand.orders[0]!;
  assert.equal(plan.kind, "errand");
  if (plan.kind !== "errand") return;
  // Lost on its way: asked again it is there still, until it has been heard of.
  const again = await stage.coordinator.agents.orders("a", { incarnation: 1, errands: [] }, signal);
  assert.deepEqual(again, errand);
  stage.coordinator.agents.errandDone(plan.errand.id, a.planned(plan.errand, 1));
  stage.coordinator.agents.errandDone(plan.errand.id, a.planned(plan.errand, 5));
  assert.equal(stage.coordinator.clients.job(job).mapTasks, 1);
  const first = await stage.coordinator.tasks.askTask(a.asker(0, 1), signal);
  const second = await stage.coordinator.tasks.askTask(a.asker(0, 1), signal);
  assert.deepEqual(second, first);
  const report = await a.succeed(first.order!);
  assert.deepEqual(await a.report(report), { status: TASK_STATUS.FINISHED, accepted: true });
  assert.deepEqual(await a.report(report), { status: TASK_STATUS.FINISHED, accepted: true });
  assert.deepEqual(await a.report(a.fail(first.order!, "no")), {
    status: TASK_STATUS.FINISHED,
    accepted: true,
  });
  assert.deepEqual(stage.coordinator.clients.job(job).counters, { map: 1 });
  assert.equal(stage.coordinator.operations.totals().attemptsFinished, 1);
});

test("questions that nobody answers are answered later, and ended by whoever asked", async (t) => {
  const stage = new Stage(t, { timings: { longPollMs: 5_000 } });
  const a = stage.agent("a", {}, 1);
  a.stop();
  const asking = stage.coordinator.tasks.askTask(a.asker(0, 1), new AbortController().signal);
  const ordering = stage.coordinator.agents.orders(
    "a",
    { incarnation: 1, errands: [] },
    new AbortController().signal,
  );
  await new Promise((resolve) => setImmediate(resolve));
  stage.clock.pass(5_001);
  stage.coordinator.tick();
  const answer = await asking;
  assert.equal(answer.type, null);
  assert.equal(answer.ask_anew, false);
  assert.deepEqual(await ordering, { orders: [] });
  const gone = new AbortController();
  const left = stage.coordinator.agents.orders("a", { incarnation: 1, errands: [] }, gone.signal);
  gone.abort();
  assert.deepEqual(await left, { orders: [] });
});

test("a reduce that cannot read a map's output has it made again, without an attempt of its own used up", async (t) => {
  const stage = new Stage(t);
  let complaints = 0;
  stage.agent("a", {
    task: async (order, self) => {
      if (order.work.kind !== "reduce" || complaints > 0) return self.succeed(order);
      complaints++;
      return { ...self.fail(order, "block 3 is damaged"), unreadable: { task: 1, attempt: 1 } };
    },
  });
  const job = await stage.submit({}, "key");
  const view = await stage.ended(job);
  assert.equal(view.state, "SUCCEEDED");
  assert.equal(stage.coordinator.operations.totals().fetchFailures, 1);
  const again = stage.coordinator.clients
    .attempts(job)
    .filter(({ attempt }) => attempt.phase === "map" && attempt.task === 1);
  assert.deepEqual(
    again.map(({ state, outputLost }) => [state, outputLost]),
    [
      ["SUCCEEDED", "block 3 is damaged"],
      ["SUCCEEDED", null],
    ],
  );
});

test("a task whose workers all are killed fails the job: nobody else does that", async (t) => {
  const stage = new Stage(t);
  stage.agent("a", {
    task: async (order, self) =>
      order.work.kind === "map" && order.attempt.task === 2
        ? self.fail(order, "the worker was killed (SIGKILL)", "WORKER_LOST")
        : self.succeed(order),
  });
  const view = await stage.ended(await stage.submit());
  assert.equal(view.state, "FAILED");
  assert.equal(view.error?.code, "USER_EXITED");
  assert.match(view.error?.message ?? "", /4 workers were lost running map-00002/);
});

test("workers that went with a life of their agent are not the job's doing, however many", async (t) => {
  const stage = new Stage(t);
  let lives = 0;
  const a = stage.agent(
    "a",
    {
      task: async (order, self) => {
        if (order.work.kind !== "map" || order.attempt.task !== 2 || lives === 7) return self.succeed(order);
        lives++;
        await self.report(self.fail(order, "the worker was killed (SIGKILL)", "WORKER_LOST"));
        a.rejoin();
        return null;
      },
    },
    1,
  );
  const view = await stage.ended(await stage.submit());
  assert.equal(view.state, "SUCCEEDED", view.error?.message);
  assert.equal(lives, 7);
});

test("a job that takes agents down is stopped before the next, and says which task did it", async (t) => {
  const stage = new Stage(t);
  for (const name of ["a", "b", "c", "d", "e", "f"]) stage.agent(name, deadly);
  const view = await stage.ended(await stage.submit(), 20);
  assert.equal(view.state, "FAILED");
  assert.equal(view.error?.code, "WORKER_LOST");
  const said = /^4 agents were lost while they ran map-00002 \(([a-f]), ([a-f]), ([a-f]), ([a-f])\)/;
  const [, ...named] = said.exec(view.error?.message ?? "") ?? [];
  const nodes = stage.coordinator.operations.nodes();
  assert.deepEqual(
    named.sort(),
    nodes.filter(({ state }) => state === "lost").map(({ agent }) => agent),
    view.error?.message,
  );
  assert.equal(nodes.filter(({ state }) => state === "up").length, 2);
});

test("a second agent of a name is refused while the first is alive, and takes over after its lease", async (t) => {
  const stage = new Stage(t);
  const { opened, open } = gate();
  const a = stage.agent("a", {
    task: async (order, self) =>
      order.work.kind === "map" ? self.succeed(order) : opened.then(() => self.succeed(order)),
  });
  a.rejoin();
  const { identity } = a;
  assert.equal(identity.previous, 1);
  const job = await stage.submit();
  await stage.until("reduces run", () => stage.coordinator.clients.job(job).phases[1]?.running === 2);
  const at = { host: "host-of-a", address: "http://127.0.0.1/a" };
  const seconds = {
    "of another key": { key: "another", incarnation: 9 },
    "of another key and a lower number": { key: "another", incarnation: 1 },
    "of another key and the same number": { key: "another", incarnation: 2 },
    "a copy made before this life": { previous: 1, incarnation: 9 },
    "a copy that begins with the same number": { previous: 1, life: "another", incarnation: 2 },
    "a copy made while it runs": { previous: 2, place: "boot-1:1:2", incarnation: 9 },
    "a copy on another machine": { previous: 2, place: "boot-2:1:1", incarnation: 9 },
  };
  for (const lives of ["before a restart", "after it"]) {
    for (const [what, { incarnation, ...other }] of Object.entries(seconds)) {
      const second = stage.namesake(a, { ...identity, life: "another", ...other }, incarnation);
      assert.deepEqual(second.register().taken, at, `${what}, ${lives}`);
    }
    // Told again, by the first itself.
    assert.equal(a.register().taken, undefined);
    if (lives === "before a restart") stage.restart();
    stage.beat();
  }
  open();
  const view = await stage.ended(job);
  assert.equal(view.state, "SUCCEEDED", view.error?.message);
  assert.equal(
    stage.coordinator.clients.attempts(job).filter(({ state }) => state !== "SUCCEEDED").length,
    0,
  );
  // The same agent, started anew: at once. Another one: when the lease is over.
  a.rejoin();
  assert.equal(stage.coordinator.operations.nodes()[0]!.incarnation, 3);
  const second = stage.namesake(a, { ...identity, key: "another" }, 9);
  a.stop();
  assert.deepEqual(second.register().taken, at);
  await stage.until("the first is lost", () => stage.coordinator.operations.nodes()[0]!.state === "lost", 20);
  assert.equal(second.register().taken, undefined);
  assert.equal(stage.coordinator.operations.nodes()[0]!.incarnation, 9);
});

test("a record that ends its worker is found by tracing, and set aside within what is allowed", async (t) => {
  const stage = new Stage(t);
  const skips: unknown[] = [];
  stage.agent("a", {
    task: async (order, self) => {
      if (order.work.kind !== "map" || order.attempt.task !== 0) return self.succeed(order);
      const { skip } = order.work;
      skips.push(skip);
      if (skip?.some(({ offset }) => offset === 42)) return self.succeed(order);
      const lost = self.fail(order, "killed", "WORKER_LOST");
      return skip === null ? lost : { ...lost, traced: true, place: { piece: 0, offset: 42 } };
    },
  });
  const submission = await stage.submission();
  const options = { ...submission.options, badBudget: { kind: "count" as const, max: 1 } };
  const view = await stage.ended(await stage.submit({ options }));
  assert.equal(view.state, "SUCCEEDED");
  assert.deepEqual(skips, [null, [], [{ piece: 0, offset: 42, message: "killed" }]]);
});

test("agents are barred by hand and drained for as long as that is wanted, over restarts", async (t) => {
  const stage = new Stage(t);
  const a = stage.agent("a");
  stage.agent("b");
  assert.equal(stage.coordinator.operations.bar("a", "its disk is loud").barred, "its disk is loud");
  stage.restart();
  stage.beat();
  const first = await stage.ended(await stage.submit());
  assert.deepEqual(first.agents, ["b"]);
  assert.equal(stage.coordinator.operations.admit("a").barred, null);
  stage.coordinator.operations.drain("b", true);
  stage.restart();
  stage.beat();
  assert.deepEqual(
    stage.coordinator.operations.nodes().map(({ agent, state }) => [agent, state]),
    [
      ["a", "up"],
      ["b", "draining"],
    ],
  );
  const second = await stage.ended(await stage.submit({}, "second"));
  assert.deepEqual(second.agents, ["a"]);
  assert.ok(a.ran.size > 0);
  assert.throws(() => stage.coordinator.operations.bar("c", "no"), /no agent "c" has ever joined/);
});
