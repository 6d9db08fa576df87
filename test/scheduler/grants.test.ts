import assert from "node:assert/strict";
import { test } from "node:test";
import { Stage } from "./stage.js";

test("a job runs no more attempts on a node than it was granted there, elsewhere none", () => {
  const stage = new Stage();
  stage.join("a", 3);
  stage.join("b", 2);
  stage.join("c", 2);
  stage.submit({ maps: 9, grants: { a: 2, b: 1 } });
  assert.deepEqual(stage.take().sort(), [
    "start map-00000.1 on a",
    "start map-00001.1 on b",
    "start map-00002.1 on a",
  ]);
  stage.pass(1_000);
  assert.equal(stage.states("map"), "6 READY, 3 RUNNING");
});

test("a grant that has become free is used by another idle slot of the node at once", () => {
  const stage = new Stage();
  stage.join("a", 2);
  stage.submit({ maps: 2, grants: { a: 1 } });
  stage.take();
  stage.finish("map-00000.1", {}, false);
  assert.deepEqual(stage.take(), ["start map-00001.1 on a"]);
});

test("more grants are used at once, fewer end nothing", () => {
  const stage = new Stage();
  stage.join("a", 2);
  stage.join("b", 2);
  stage.submit({ maps: 6, grants: {} });
  assert.deepEqual(stage.take(), []);
  stage.grant({ a: 1, b: 2 });
  assert.deepEqual(stage.take().sort(), [
    "start map-00000.1 on a",
    "start map-00001.1 on b",
    "start map-00002.1 on b",
  ]);
  stage.grant({ b: 1 });
  assert.deepEqual(stage.take(), []);
  stage.finish("map-00000.1");
  stage.finish("map-00001.1");
  assert.deepEqual(stage.take(), []);
  stage.finish("map-00002.1");
  assert.deepEqual(stage.take(), ["start map-00003.1 on b"]);
  stage.grant(null);
  assert.deepEqual(stage.take().sort(), ["start map-00004.1 on a", "start map-00005.1 on a"]);
});

test("grants of one job leave slots to another", () => {
  const stage = new Stage();
  stage.join("a", 3);
  stage.submit({ id: "k", maps: 5, grants: { a: 1 }, priority: 9 });
  stage.submit({ maps: 5 });
  assert.deepEqual(stage.take(), [
    "start k/map-00000.1 on a",
    "start map-00000.1 on a",
    "start map-00001.1 on a",
  ]);
});

test("a backup needs a grant", () => {
  const stage = new Stage({ leaseMs: Number.POSITIVE_INFINITY });
  for (const name of ["a", "b", "c"]) stage.join(name);
  stage.submit({ maps: 4, grants: { a: 1, b: 1 }, policy: { speculationFloorMs: 0 } });
  stage.pass(100);
  stage.finish("map-00000.1");
  stage.finish("map-00001.1");
  const slow = stage.nodeOf("map-00002.1");
  const [fast] = ["a", "b"].filter((name) => name !== slow);
  stage.pass(100);
  stage.finish("map-00003.1", {}, false);
  stage.take();
  stage.pass(10_000);
  assert.deepEqual(stage.take(), [], "c is idle, but not granted");
  stage.ask(fast!);
  assert.deepEqual(stage.take(), [`start map-00002.2 backup on ${fast}`]);
});

test("grants and what runs under them outlive a restart", () => {
  const stage = new Stage();
  stage.join("a", 3);
  stage.submit({ maps: 4, grants: { a: 1 } });
  stage.grant({ a: 2 });
  stage.restart();
  stage.heartbeat("a", "map-00000.1", "map-00001.1");
  stage.take();
  stage.askAgain("a", 0);
  assert.deepEqual(stage.take(), []);
  assert.equal(stage.states("map"), "2 READY, 2 RUNNING");
});

test("a node named like a property of every object gets no grant by its name", () => {
  const stage = new Stage();
  stage.join("constructor");
  stage.submit({ maps: 1, grants: { a: 1 } });
  assert.deepEqual(stage.take(), []);
});
