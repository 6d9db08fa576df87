import assert from "node:assert/strict";
import { test } from "node:test";
import type { Fact } from "#src/scheduler/facts.js";
import { Scheduler } from "#src/scheduler/scheduler.js";
import { viewOutputs } from "#src/scheduler/view.js";
import { Stage } from "./stage.js";

test("finished tasks are not run again, running ones go on where their node lists them", () => {
  const stage = new Stage();
  stage.join("a", 2);
  stage.submit({ maps: 3, reduces: 1 });
  stage.finish("map-00000.1", { records: 5 });
  stage.take();
  stage.nowMs = 1_000;
  stage.restart();
  assert.deepEqual(stage.take(), []);
  assert.equal(stage.states("map"), "2 RUNNING, 1 FINISHED");
  stage.heartbeat("a", "map-00001.1", "map-00002.1");
  stage.finish("map-00001.1", { records: 5 }, false);
  stage.finish("map-00002.1", { records: 5 });
  assert.deepEqual(stage.take(), ["start reduce-00000.1 on a"]);
  assert.deepEqual(
    [...viewOutputs(stage.scheduler, "j", "map")].map(({ output }) => output),
    ["output of map-00000.1", "output of map-00001.1", "output of map-00002.1"],
  );
  stage.finish("reduce-00000.1");
  assert.deepEqual(stage.take(), ["commitJob j"]);
  const [end] = stage.tell({ kind: "jobCommitted", job: "j" });
  assert.deepEqual(end?.kind === "jobEnded" && end.counters, { records: 15 });
});

test("a running attempt that its node does not list is lost, and nobody pays, however often", () => {
  const stage = new Stage();
  stage.join("a");
  stage.submit({ maps: 1, policy: { lossesMax: 2, attemptsMax: 1 } });
  for (let restart = 1; restart <= 5; restart++) {
    assert.deepEqual(stage.take(), [`start map-00000.${restart} on a`]);
    stage.restart();
    stage.heartbeat("a");
    assert.equal(stage.states("map"), "1 READY");
    stage.ask("a");
  }
  assert.equal(stage.history().filter((line) => line.endsWith("LOST")).length, 5);
});

test("an order that was written but never sent comes when the worker asks again", () => {
  const stage = new Stage();
  stage.join("a");
  stage.submit({ maps: 1 });
  stage.take();
  stage.restart();
  stage.askAgain("a");
  assert.deepEqual(stage.take(), ["start map-00000.1 on a"]);
  stage.heartbeat("a");
  assert.equal(stage.states("map"), "1 RUNNING");
});

test("an order for a reduce is not repeated when its input was lost before it was heard", () => {
  const stage = new Stage();
  stage.join("a", 2);
  stage.submit({ maps: 1, reduces: 2 });
  stage.finish("map-00000.1");
  stage.restart();
  stage.fetchFails("reduce-00000.1", 0, 1);
  stage.take();
  const other = stage.slotOf("reduce-00001.1");
  stage.askAgain("a", other);
  assert.deepEqual(stage.take(), [`askAnew a ${other}`]);
  assert.equal(stage.states("reduce"), "2 BLOCKED");
  stage.ask("a", other);
  stage.finish("map-00000.2");
  assert.deepEqual(stage.take(), ["start reduce-00000.2 on a", "start reduce-00001.2 on a"]);
});

test("what was not written did not happen", () => {
  const stage = new Stage();
  stage.join("a");
  stage.forget({ kind: "jobSubmitted", job: { id: "j", map: [{}] } });
  assert.equal(stage.status(), undefined);
});

test("a node has its whole lease to speak after a restart; then it is lost with what it made", () => {
  const stage = new Stage({ leaseMs: 10_000 });
  stage.join("a");
  stage.submit({ maps: 1, reduces: 1 });
  stage.nowMs = 9_000;
  stage.finish("map-00000.1", {}, false);
  stage.take();
  stage.nowMs = 60_000;
  stage.restart();
  stage.pass(9_999);
  assert.equal(stage.states("map"), "1 FINISHED");
  stage.pass(1);
  assert.deepEqual(stage.take(), ["discard map-00000.1", "fence a.1"]);
  assert.equal(stage.states("map"), "1 READY");
});

test("a node that started anew meanwhile has lost all; attempt numbers are not used again", () => {
  const stage = new Stage();
  stage.join("a", 2);
  stage.submit({ maps: 2, reduces: 1 });
  stage.finish("map-00000.1", {}, false);
  stage.restart();
  stage.take();
  stage.join("a", 2);
  assert.deepEqual(stage.take(), ["discard map-00000.1", "start map-00000.2 on a", "start map-00001.2 on a"]);
});

test("a life that was over stays over after a restart", () => {
  const stage = new Stage();
  stage.join("a");
  stage.lose("a");
  stage.restart();
  stage.askAgain("a");
  assert.deepEqual(stage.take(), ["fence a.1"]);
});

test("the commit is granted to the same attempt after a restart", () => {
  const stage = new Stage();
  stage.join("a");
  stage.submit({ maps: 1, policy: { speculationFloorMs: 0 } });
  stage.requestCommit("map-00000.1");
  stage.take();
  const facts = stage.restart();
  assert.ok(facts.some((fact) => fact.kind === "attempt" && fact.granted));
  stage.requestCommit("map-00000.1");
  assert.deepEqual(stage.take(), ["grant map-00000.1"]);
});

test("a job that was committing commits again; cancelled meanwhile it may still succeed", () => {
  const stage = new Stage();
  stage.join("a");
  stage.submit({ maps: 1 });
  stage.finish("map-00000.1");
  stage.tell({ kind: "jobCancelled", job: "j", reason: "asked to" });
  stage.take();
  stage.restart();
  assert.deepEqual(stage.take(), ["commitJob j"]);
  stage.restart();
  stage.tell({ kind: "jobCommitFailed", job: "j", blame: "system", code: "DISK_FULL", message: "full" });
  assert.deepEqual(stage.take(), ["commitJob j", "ended j CANCELLED: asked to"]);
});

test("samples are announced again while the job runs", () => {
  const stage = new Stage();
  stage.join("a");
  stage.submit({ samples: 1, maps: 2 });
  stage.finish("sample-00000.1");
  stage.take();
  stage.restart();
  assert.deepEqual(stage.take(), ["sampleReady j"]);
});

test("attempts used up, losses, bars and where a task failed are remembered", () => {
  const stage = new Stage();
  stage.join("a");
  stage.join("b");
  stage.submit({ maps: 1, policy: { attemptsMax: 2, barAfterFailures: 1, barMs: 5_000 } });
  const first = stage.nodeOf("map-00000.1");
  stage.fail("map-00000.1", "user", false);
  const second = stage.nodeOf("map-00000.2");
  assert.notEqual(second, first);
  stage.restart();
  stage.heartbeat(second, "map-00000.2");
  stage.fail("map-00000.2");
  assert.equal(stage.status(), "FAILED");
});

test("jobs that ended are not restored, and late words about them do no harm", () => {
  const stage = new Stage();
  stage.join("a", 2);
  stage.submit({ maps: 2 });
  stage.tell({ kind: "jobCancelled", job: "j", reason: "enough" });
  stage.take();
  stage.restart();
  assert.equal(stage.status(), undefined);
  stage.heartbeat("a", "map-00000.1", "map-00001.1");
  stage.requestCommit("map-00000.1");
  stage.finish("map-00001.1", {}, false);
  stage.beat("map-00001.1", 3);
  assert.deepEqual(stage.take(), ["kill map-00000.1", "kill map-00001.1", "deny map-00000.1"]);
  stage.submit({ id: "k", maps: 1 });
  stage.ask("a");
  assert.deepEqual(stage.take(), ["start k/map-00000.1 on a"]);
});

test("a question answered with a task of a job that has ended is not answered with another", () => {
  const stage = new Stage();
  stage.join("a");
  stage.submit({ id: "k", maps: 1 });
  stage.tell({ kind: "jobCancelled", job: "k", reason: "enough" });
  stage.submit({ maps: 1 });
  stage.take();
  stage.restart();
  stage.askAgain("a");
  assert.deepEqual(stage.take(), ["askAnew a 0"]);
});

test("a clock that was set back goes on from the latest fact", () => {
  const stage = new Stage({ leaseMs: 10_000 });
  stage.nowMs = 1_000_000;
  stage.join("a");
  stage.submit({ maps: 1 });
  stage.nowMs = 5;
  stage.restart();
  stage.pass(9_999);
  assert.equal(stage.scheduler.state.nowMs, 1_009_999);
  assert.equal(stage.states("map"), "1 RUNNING");
});

test("forgotten jobs leave a fact that says so, and a step costs as many facts as it changed rows", () => {
  const stage = new Stage();
  const { scheduler } = stage;
  const facts = (act: () => void): string[] => {
    const before = new Set(stage.rows());
    act();
    return stage
      .rows()
      .filter((fact) => !before.has(fact))
      .map((fact) => fact.kind);
  };
  assert.deepEqual(
    facts(() => stage.join("a", 2)),
    ["node"],
  );
  assert.deepEqual(
    facts(() => stage.submit({ maps: 1_000, reduces: 3 })),
    ["job", "jobState", "attempt", "attempt"],
  );
  assert.deepEqual(
    facts(() => stage.finish("map-00000.1", {}, false)),
    ["attempt"],
  );
  assert.deepEqual(
    facts(() => stage.fail("map-00001.1", "user", false)),
    ["attempt", "task", "bar"],
  );
  assert.deepEqual(
    facts(() => stage.pass(100)),
    [],
  );
  stage.tell({ kind: "jobCancelled", job: "j", reason: "enough" });
  assert.deepEqual(
    facts(() => stage.tell({ kind: "jobForgotten", job: "j" })),
    ["jobForgotten"],
  );
  assert.deepEqual(scheduler.takeFacts(), []);
  assert.deepEqual(new Scheduler().takeFacts(), []);
});

const attempt = (changes: Partial<Extract<Fact, { kind: "attempt" }>>): Fact => ({
  kind: "attempt",
  job: "j",
  phase: "map",
  task: 0,
  attempt: 1,
  node: "a",
  incarnation: 1,
  slot: 0,
  ask: 1,
  backup: false,
  startedMs: 5,
  granted: false,
  state: { kind: "RUNNING" },
  fingerprint: null,
  outputLost: null,
  ...changes,
});
const node: Fact = {
  kind: "node",
  node: "a",
  incarnation: 1,
  slots: 1,
  alive: true,
  draining: false,
  asks: [-1],
};
const job: Fact = { kind: "job", job: "j", plan: { id: "j", map: [{}, {}] }, sequence: 0, submittedMs: 1 };

for (const [name, facts, message] of [
  ["an attempt is missing", [attempt({ attempt: 2 })], "map-00000.1 of j: it is missing between others"],
  ["a slot runs two", [attempt({}), attempt({ task: 1 })], "map-00001.1 of j: its slot runs another one"],
  ["a node has no such slot", [attempt({ slot: 3 })], "map-00000.1 of j: a.1 has no slot 3"],
  ["a node is gone", [attempt({ incarnation: 2 })], "map-00000.1 of j: a.2 has no slot 0"],
  ["a task is not in the plan", [attempt({ task: 7 })], "map-00007.1 of j: its plan has no such task"],
] as const) {
  test(`facts that do not fit together are refused: ${name}`, () => {
    assert.throws(() => Scheduler.restore([node, job, ...facts], 10), {
      code: "STATE_CORRUPT",
      message: `attempt ${message}`,
    });
  });
}
