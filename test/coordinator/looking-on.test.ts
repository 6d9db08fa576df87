import assert from "node:assert/strict";
import { test } from "node:test";
import type { Errand, ErrandResult } from "#src/protocol/agent-messages.js";
import { TASK_STATUS } from "#src/protocol/version.js";
import type { Split } from "#src/task/split.js";
import { taskFailure } from "#src/worker/failure.js";
import type { FakeAgent, TaskOrder } from "./fake-agent.js";
import { Stage } from "./stage.js";

type Fold = Extract<Errand, { kind: "fold" }>;

/** Three tasks of a source without end: each says what it has, and ends when it was told to so often. */
class Source {
  readonly stage: Stage;
  readonly agents: FakeAgent[];
  readonly folds: { readonly agent: string; readonly errand: Fold }[] = [];
  readonly bounds: (number | undefined)[] = [];
  stopsNeeded = 1;
  /** The first task ends at once; the others tell once, and then when they are asked. */
  isQuiet = false;
  /** What becomes of a fold. */
  answer: (errand: Fold, self: FakeAgent) => ErrandResult;

  constructor(stage: Stage) {
    this.stage = stage;
    this.answer = (errand, self) => folded(self, errand.request.running.length === 2);
    const work = {
      task: (order: TaskOrder, self: FakeAgent) => this.#task(order, self),
      errand: async (errand: Errand, self: FakeAgent) => this.#errand(errand, self),
    };
    this.agents = ["a", "b"].map((name) => stage.agent(name, work, 1));
  }

  async submit(input: { readonly hasUntil?: boolean; readonly forMs?: number }): Promise<string> {
    const { outline, options } = await this.stage.submission();
    return this.stage.submit({
      outline: {
        ...outline,
        input: { kind: "generate", tasks: 3, ...input },
        collections: [{ ...outline.collections[0]!, tells: true }],
      },
      options,
      inputs: [],
    });
  }

  async #task(order: TaskOrder, self: FakeAgent) {
    const { attempt, work } = order;
    if (work.kind !== "map") return self.succeed(order);
    const [piece] = work.split.pieces;
    const bound = piece?.kind === "generate" ? piece.records : undefined;
    this.bounds[attempt.task] = bound;
    const told = { states: "AA==", records: 5, made: 5 };
    const isStopped = (): boolean =>
      self.had.filter((one) => one.kind === "stop" && one.attempt.task === attempt.task).length >=
      this.stopsNeeded;
    if (this.isQuiet && attempt.task === 0) {
      const report = await self.succeed(order);
      const all = { states: "CQ==", records: 9, made: 9 };
      return { ...report, result: { ...report.result!, made: 9 }, told: all } as typeof report;
    }
    let asked = 0;
    const isDue = (turn: number): boolean => {
      if (!this.isQuiet || turn === 0) return turn % 20 === 0;
      const orders = self.had.filter(
        (one) => one.kind === "tell" && one.attempt.task === attempt.task,
      ).length;
      return orders > asked && (asked = orders) > 0;
    };
    for (let turn = 0; bound === undefined && self.isAlive && !isStopped(); turn++) {
      if (isDue(turn))
        await self.report({ status: TASK_STATUS.RUNNING, attempt, told }).catch(() => undefined);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const report = await self.succeed(order);
    const made = bound ?? 7;
    return {
      ...report,
      result: { ...report.result!, made },
      told: { ...told, records: made, made },
    } as typeof report;
  }

  #errand(errand: Errand, self: FakeAgent): Promise<ErrandResult> | ErrandResult {
    if (errand.kind === "plan") {
      const splits = [0, 1, 2].map((index): Split => ({
        index,
        pieces: [{ kind: "generate", index, tasks: 3 }],
        bytes: 0,
      }));
      return { ...self.planned(errand), splits } as ErrandResult;
    }
    if (errand.kind !== "fold") return self.answer(errand);
    this.folds.push({ agent: self.name, errand });
    return this.answer(errand, self);
  }
}

function folded({ name: agent, incarnation }: FakeAgent, stop: boolean): ErrandResult {
  return { kind: "folded", agent, incarnation, merged: "", collections: [], stop };
}

test("a source stops on all agents when one of them says that the condition is true", async (t) => {
  const stage = new Stage(t);
  const source = new Source(stage);
  const job = await source.submit({ hasUntil: true });
  const view = await stage.ended(job, 50);
  assert.equal(view.state, "SUCCEEDED", view.exception ?? "");
  assert.deepEqual(view.made, { records: 14, tasks: [7, 7, 0], stoppedBy: "until" });
  assert.deepEqual(source.bounds, [undefined, undefined, 0], "what begins later makes nothing");
  const last = source.folds.at(-1)!.errand.request;
  assert.deepEqual([last.progress.records, last.progress.running, last.asks], [10, 2, true]);
  const stopped = (await stage.events(job)).find((event) => event.kind === "source-stopped");
  assert.deepEqual([stopped?.by, stopped?.records], ["until", 10]);
});

test("an agent that cannot ask the condition is followed by another; what the condition throws is told", async (t) => {
  const stage = new Stage(t);
  const source = new Source(stage);
  source.answer = ({ request }, self) => {
    const failure =
      source.folds.length < 3
        ? taskFailure("WORKER_LOST", "out of luck", { blame: "system" })
        : taskFailure("USER_CODE", "until threw", { phase: "until" });
    const { name: agent, incarnation } = self;
    assert.equal(request.asks, true);
    return { kind: "failed", agent, incarnation, failure: { ...failure, log: [] } };
  };
  const view = await stage.ended(await source.submit({ hasUntil: true }), 50);
  assert.deepEqual([view.state, view.error?.message], ["FAILED", "until threw"]);
  assert.equal(source.folds.length, 3);
  assert.deepEqual(new Set(source.folds.map(({ agent }) => agent)), new Set(["a", "b"]));
});

test("no two questions to an agent have one name, whichever life of the coordinator asks them", async (t) => {
  const stage = new Stage(t);
  const source = new Source(stage);
  let isEnough = false;
  source.answer = (_, self) => folded(self, isEnough);
  const job = await source.submit({ hasUntil: true });
  await stage.until("it was asked", () => source.folds.length > 2, 50);
  const before = source.folds.length;
  stage.restart();
  for (const agent of source.agents) agent.register();
  await stage.until("it was asked again", () => source.folds.length > before + 2, 50);
  isEnough = true;
  const view = await stage.ended(job, 50);
  assert.deepEqual([view.state, view.made?.stoppedBy], ["SUCCEEDED", "until"]);
  const ids = source.folds.map(({ errand }) => errand.id);
  assert.equal(new Set(ids).size, ids.length, ids.join(" "));
});

test("a source that was stopped stays stopped when its coordinator is killed, with what had been made", async (t) => {
  const stage = new Stage(t);
  const source = new Source(stage);
  source.stopsNeeded = 2;
  const job = await source.submit({ forMs: 3_000 });
  const stops = (): number =>
    source.agents.flatMap(({ had }) => had.filter(({ kind }) => kind === "stop")).length;
  await stage.until("it is stopped", () => stops() > 0, 50);
  assert.equal(source.folds.length, 0, "there is no condition");
  stage.restart();
  for (const agent of source.agents) agent.register();
  const view = await stage.ended(job, 50);
  assert.deepEqual([view.state, view.made?.stoppedBy], ["SUCCEEDED", "time"]);
  assert.deepEqual(view.made?.tasks, [7, 7, 0]);
  assert.equal(source.bounds[2], 0);
});

test("what maps had told before the coordinator was killed: finished ones are known, others are asked", async (t) => {
  const stage = new Stage(t);
  const source = new Source(stage);
  source.isQuiet = true;
  let restarted = false;
  source.answer = ({ request }, self) => {
    const { merged, finished, progress } = request;
    const known = [merged ?? "", ...finished].join("");
    const { name: agent, incarnation } = self;
    const stop = restarted && progress.records === 19 && progress.finished === 1 && known === "CQ==";
    return { kind: "folded", agent, incarnation, merged: known, collections: [], stop };
  };
  const job = await source.submit({ hasUntil: true });
  const whole = (): boolean => source.folds.some(({ errand }) => errand.request.progress.records === 19);
  await stage.until("all have told", whole, 50);
  for (const merges of [false, true]) {
    // What was told one by one, and what it was merged to: written every few seconds.
    const dueMs = stage.clock.nowMs() + 6_000;
    if (merges) await stage.until("it is written", () => stage.clock.nowMs() > dueMs, 50);
    stage.restart();
    for (const agent of source.agents) agent.register();
    const before = source.folds.length;
    await stage.until(
      "they have told again",
      () => source.folds.slice(before).some(({ errand }) => errand.request.progress.records === 19),
      50,
    );
  }
  restarted = true;
  stage.restart();
  for (const agent of source.agents) agent.register();
  const view = await stage.ended(job, 50);
  assert.deepEqual([view.state, view.made?.stoppedBy], ["SUCCEEDED", "until"]);
  assert.equal(view.made?.records, 9 + 7 + 7);
});
