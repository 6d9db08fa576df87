import assert from "node:assert/strict";
import { test } from "node:test";
import { viewOutputs } from "#src/scheduler/view.js";
import { Stage } from "./stage.js";

const policy = { handOverAfterMs: 200, speculation: false };

/** A node of three slots, one of which runs the only map of a job; what was ordered is taken. */
function alone(maps = 1, slots = 3): Stage {
  const stage = new Stage({ leaseMs: Number.POSITIVE_INFINITY });
  stage.join("a", slots);
  stage.submit({ maps, reduces: 1, policy });
  stage.beat("map-00000.1", 1);
  stage.take();
  return stage;
}

test("a map that has run for a while is asked once for its rest, when slots are idle and nothing is ready", () => {
  const stage = alone();
  stage.pass(199);
  assert.deepEqual(stage.take(), []);
  stage.pass(1);
  assert.deepEqual(stage.take(), ["handOver map-00000.1"]);
  for (let i = 0; i < 20; i++) stage.pass(1_000);
  assert.deepEqual(stage.take(), []);
  const busy = alone(4);
  busy.pass(5_000);
  assert.deepEqual(busy.take(), [], "a map waits for a slot");
  const full = alone(1, 1);
  full.pass(5_000);
  assert.deepEqual(full.take(), [], "no slot is idle");
  const unasked = new Stage();
  unasked.join("a", 2);
  unasked.submit({ maps: 1 });
  unasked.beat("map-00000.1", 1);
  unasked.take();
  unasked.pass(5_000);
  assert.deepEqual(unasked.take(), [], "the policy does not say so");
});

test("only what runs untroubled is asked: no second attempts, none that has not begun", () => {
  const stage = alone(1, 2);
  stage.fail("map-00000.1");
  stage.beat("map-00000.2", 1);
  stage.take();
  stage.pass(5_000);
  assert.deepEqual(stage.take(), []);
  const unbegun = new Stage({ leaseMs: Number.POSITIVE_INFINITY });
  unbegun.join("a", 2);
  unbegun.submit({ maps: 1, policy });
  unbegun.take();
  unbegun.pass(5_000);
  assert.deepEqual(unbegun.take(), []);
});

test("the rest is done by new tasks placed behind their own, before reduces begin; a rest may be cut again", () => {
  const stage = alone(2, 4);
  stage.beat("map-00001.1", 1);
  stage.pass(300);
  assert.deepEqual(stage.take().sort(), ["handOver map-00000.1", "handOver map-00001.1"]);
  stage.finish("map-00001.1", { n: 1 }, true, undefined, 1);
  stage.finish("map-00000.1", { n: 1 }, true, undefined, 2);
  assert.deepEqual(
    stage.take().map((said) => said.replace(/ on a$/, "")),
    ["start map-00002.1", "start map-00003.1", "start map-00004.1"],
  );
  stage.finish("map-00003.1", { n: 1 }, true, undefined, 1);
  assert.equal(stage.states("map"), "3 RUNNING, 3 FINISHED");
  assert.equal(stage.states("reduce"), "1 BLOCKED");
  for (const task of [5, 4, 2]) stage.finish(`map-0000${task}.1`, { n: 1 });
  const order = [...viewOutputs(stage.scheduler, "j", "map")].map(({ task }) => task);
  assert.deepEqual(order, [0, 3, 5, 4, 1, 2]);
  assert.equal(stage.states("reduce"), "1 RUNNING");
  assert.equal(stage.scheduler.state.jobs.get("j")!.counters.get("n"), 6);
});

test("a driver that is restarted knows the tasks that came, their order, and what runs", () => {
  const stage = alone(2, 4);
  stage.finish("map-00001.1", {}, true, undefined, 2);
  stage.finish("map-00000.1", {}, true, undefined, 1);
  stage.finish("map-00002.1", {}, true, undefined, 1);
  stage.fail("map-00003.1", "user", false);
  stage.restart();
  const { sequence } = stage.scheduler.state.jobs.get("j")!.phases.map;
  assert.deepEqual(
    sequence.map(({ ref }) => ref.task),
    [0, 4, 1, 2, 5, 3],
  );
  for (const attempt of ["map-00003.2", "map-00004.1", "map-00005.1"]) stage.finish(attempt);
  const order = [...viewOutputs(stage.scheduler, "j", "map")].map(({ task }) => task);
  assert.deepEqual(order, [0, 4, 1, 2, 5, 3]);
});

test("a map that is run again because its output was lost adds no tasks a second time", () => {
  const stage = new Stage();
  stage.join("a", 1);
  stage.join("b", 1);
  stage.submit({ maps: 1, reduces: 1, policy });
  const on = stage.nodeOf("map-00000.1");
  stage.finish("map-00000.1", {}, true, undefined, 1);
  stage.take();
  stage.lose(on);
  for (const name of ["map-00001.1", "map-00000.2", "map-00001.2"])
    if (stage.history().includes(`${name} RUNNING`))
      stage.finish(name, {}, true, undefined, name === "map-00000.2" ? 3 : 0);
  const tasks = stage.scheduler.state.jobs.get("j")!.phases.map.tasks.length;
  assert.equal(tasks, 2);
});
