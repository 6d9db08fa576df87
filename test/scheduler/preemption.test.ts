import assert from "node:assert/strict";
import { test } from "node:test";
import { timesPreempted } from "#src/scheduler/time.js";
import { Stage } from "./stage.js";

/** A node of two slots that run "j", which since is granted one of them; "k" is granted the other. */
function crowded(stage: Stage, { priority = 1, maps = 4 } = {}): void {
  stage.join("a", 2);
  stage.submit({ maps: 6, grants: { a: 2 } });
  stage.pass(500);
  stage.submit({ id: "k", maps, grants: { a: 1 }, priority });
  stage.grant({ a: 1 });
  stage.take();
}

const killed = (attempt: string): RegExp => new RegExp(`^kill ${attempt.replace(".", "\\.")}$`);

test("a job of higher priority that was granted a slot gets it after 2 s, from what began last", () => {
  const stage = new Stage({ leaseMs: Number.POSITIVE_INFINITY });
  stage.join("a", 2);
  stage.submit({ maps: 6, grants: { a: 2 } });
  stage.pass(500);
  stage.finish("map-00000.1");
  stage.submit({ id: "k", maps: 4, grants: { a: 1 }, priority: 1 });
  stage.grant({ a: 1 });
  stage.take();
  stage.pass(250);
  stage.pass(1_900);
  assert.deepEqual(stage.take(), []);
  stage.pass(250);
  const [kill, ...others] = stage.take();
  assert.match(kill!, killed("map-00002.1"));
  assert.deepEqual(others, []);
  stage.pass(10_000);
  assert.deepEqual(stage.take(), [], "the slot is on its way: no second one is taken");
  stage.ask("a", stage.slotOf("map-00002.1"));
  assert.deepEqual(stage.take(), ["start k/map-00000.1 on a"]);
  stage.pass(10_000);
  assert.deepEqual(stage.take(), [], "it has what it was granted");
  assert.equal(stage.states("map"), "4 READY, 1 RUNNING, 1 FINISHED");
  assert.deepEqual(stage.history().slice(-2), ["map-00001.1 RUNNING", "map-00002.1 KILLED"]);
});

test("being ended for others uses up no attempt, and happens to a task three times at most", () => {
  const stage = new Stage({ leaseMs: Number.POSITIVE_INFINITY });
  stage.join("a", 1);
  stage.submit({ maps: 1, grants: { a: 1 }, policy: { attemptsMax: 1, lossesMax: 1 } });
  for (let round = 1; round <= 5; round++) {
    stage.submit({ id: `k${round}`, maps: 1, grants: { a: 1 }, priority: 3 });
    stage.grant({});
    stage.take();
    stage.pass(250);
    stage.pass(2_000);
    const said = stage.take();
    const task = stage.scheduler.state.jobs.get("j")!.phases.map.tasks[0]!;
    assert.equal(timesPreempted(task), Math.min(3, round));
    if (round > 3) {
      assert.deepEqual(said, [], `round ${round}`);
      stage.tell({ kind: "jobCancelled", job: `k${round}`, reason: "enough" });
      stage.grant({ a: 1 });
      continue;
    }
    assert.match(said[0]!, killed(`map-00000.${round}`));
    stage.ask("a");
    assert.deepEqual(stage.take(), [`start k${round}/map-00000.1 on a`]);
    stage.grant({ a: 1 });
    stage.finish(`k${round}/map-00000.1`);
    assert.ok(stage.take().includes(`start map-00000.${round + 1} on a`));
    if (round === 2) stage.restart();
  }
  stage.finish("map-00000.4");
  assert.equal(stage.states("map"), "1 FINISHED");
});

test("nothing is taken from jobs of the same or a higher priority, or within what they were granted", () => {
  for (const priority of [0, -1]) {
    const stage = new Stage({ leaseMs: Number.POSITIVE_INFINITY });
    crowded(stage, { priority });
    for (let i = 0; i < 20; i++) stage.pass(1_000);
    assert.deepEqual(stage.take(), [], `priority ${priority}`);
  }
  const stage = new Stage({ leaseMs: Number.POSITIVE_INFINITY });
  crowded(stage);
  stage.grant({ a: 2 });
  for (let i = 0; i < 20; i++) stage.pass(1_000);
  assert.deepEqual(stage.take(), [], "the grants overlap: the older one holds");
  stage.grant(null);
  for (let i = 0; i < 20; i++) stage.pass(1_000);
  assert.deepEqual(stage.take(), [], "it has no limit");
});

test("an attempt that may commit, a slot that is about to ask, and a job that waits for nothing, end nothing", () => {
  const stage = new Stage({ leaseMs: Number.POSITIVE_INFINITY });
  crowded(stage);
  stage.requestCommit("map-00001.1");
  stage.take();
  stage.pass(250);
  stage.pass(2_000);
  assert.match(stage.take()[0]!, killed("map-00000.1"), "the other one");
  const quiet = new Stage({ leaseMs: Number.POSITIVE_INFINITY });
  crowded(quiet);
  quiet.pass(250);
  quiet.finish("map-00001.1", {}, false);
  quiet.take();
  quiet.pass(5_000);
  assert.deepEqual(quiet.take(), []);
  const done = new Stage({ leaseMs: Number.POSITIVE_INFINITY });
  crowded(done, { maps: 0 });
  done.pass(250);
  done.pass(5_000);
  assert.deepEqual(done.take(), []);
});

test("as many slots are freed as are granted and can be used, of the least important jobs first", () => {
  const stage = new Stage({ leaseMs: Number.POSITIVE_INFINITY });
  stage.join("a", 4);
  stage.submit({ id: "low", maps: 9, grants: { a: 2 }, priority: -2 });
  stage.submit({ maps: 9, grants: { a: 2 } });
  stage.submit({ id: "k", maps: 2, grants: { a: 3 }, priority: 2 });
  stage.grant({ a: 1 });
  stage.grant({}, "low");
  stage.take();
  stage.pass(250);
  stage.pass(2_000);
  assert.deepEqual(
    stage
      .take()
      .map((said) => said.split(" ")[1])
      .sort(),
    ["low/map-00000.1", "low/map-00001.1"],
  );
});

/** Until then, in ticks; of the nodes only "a" and "d" are heard of. */
function passTo(stage: Stage, untilMs: number): void {
  while (stage.nowMs < untilMs) {
    for (const node of ["a", "d"]) if (stage.scheduler.state.nodes.has(node)) stage.heartbeat(node);
    stage.pass(250);
  }
}

test("no more is ended on a node than tasks wait that may run there", () => {
  const stage = new Stage({ leaseMs: Number.POSITIVE_INFINITY });
  stage.join("a", 3);
  stage.submit({ maps: 3, grants: { a: 3 } });
  const map = ["a", "elsewhere", "elsewhere"].map((node) => ({ pinned: [node] }));
  stage.submit({ id: "k", map, grants: { a: 3 }, priority: 1 });
  stage.grant({});
  stage.take();
  passTo(stage, 5_000);
  assert.deepEqual(stage.take(), ["kill map-00000.1"]);
});

test("what is lost takes idle slots, before any is taken from others for it", () => {
  const stage = new Stage({ leaseMs: 3_000 });
  stage.join("a", 3);
  stage.submit({ maps: 3, grants: { a: 3 } });
  stage.join("c", 2);
  passTo(stage, 750);
  const map = [{ pinned: ["a"] }, {}, {}];
  stage.submit({ id: "k", map, grants: { a: 3, c: 2, d: 2 }, priority: 1 });
  stage.join("d", 2);
  stage.grant({});
  assert.deepEqual(stage.take().slice(-2), ["start k/map-00001.1 on c", "start k/map-00002.1 on c"]);
  passTo(stage, 2_750);
  assert.deepEqual(stage.take(), []);
  // In one step "c" is lost, and the task that is pinned to "a" has waited for long enough.
  stage.pass(250);
  assert.deepEqual(stage.take(), [
    "fence c.1",
    "start k/map-00002.2 on d",
    "start k/map-00001.2 on d",
    "kill map-00000.1",
  ]);
});
