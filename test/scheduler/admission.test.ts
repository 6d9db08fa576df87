import assert from "node:assert/strict";
import { test } from "node:test";
import { Stage } from "./stage.js";

test("a draining node gets nothing new, ends what it runs, and hears when it may leave", () => {
  const stage = new Stage();
  stage.join("a", 2);
  stage.submit({ maps: 4, reduces: 1 });
  stage.finish("map-00000.1");
  stage.take();
  stage.drain("a");
  stage.heartbeat("a", "map-00001.1", "map-00002.1");
  assert.deepEqual(stage.take(), []);
  stage.finish("map-00001.1");
  stage.finish("map-00002.1");
  assert.deepEqual(stage.take(), []);
  assert.equal(stage.states("map"), "1 READY, 3 FINISHED");
  stage.heartbeat("a");
  assert.deepEqual(stage.take(), ["drained a, needed outputs: 3"]);
  stage.join("b");
  assert.deepEqual(stage.take(), ["start map-00003.1 on b"]);
  stage.lose("a");
  assert.equal(stage.states("map"), "3 READY, 1 RUNNING");
});

test("an idle node that drains may leave at once; one that stays after all gets work at once", () => {
  const stage = new Stage();
  stage.join("a", 2);
  stage.drain("a");
  assert.deepEqual(stage.take(), ["drained a, needed outputs: 0"]);
  stage.submit({ maps: 1 });
  stage.pass(1_000);
  assert.deepEqual(stage.take(), []);
  stage.drain("a", false);
  assert.deepEqual(stage.take(), ["start map-00000.1 on a"]);
});

test("draining outlives a restart of the driver, but not that of the node", () => {
  const stage = new Stage();
  stage.join("a");
  stage.drain("a");
  stage.restart();
  stage.submit({ maps: 1 });
  stage.askAgain("a");
  assert.deepEqual(stage.take(), ["drained a, needed outputs: 0"]);
  stage.join("a");
  assert.deepEqual(stage.take(), ["start map-00000.1 on a"]);
});

test("a node barred by hand gets nothing new until it is admitted, whoever starts anew", () => {
  const stage = new Stage();
  stage.join("a");
  stage.submit({ maps: 3 });
  stage.take();
  stage.tell({ kind: "nodeBarredByHand", node: "a", reason: "bad disk" });
  assert.deepEqual(stage.take(), []);
  stage.finish("map-00000.1");
  stage.join("a");
  stage.restart();
  stage.askAgain("a");
  stage.join("a");
  stage.pass(100);
  assert.deepEqual(stage.take(), []);
  assert.equal(stage.states("map"), "2 READY, 1 FINISHED");
  stage.tell({ kind: "nodeAdmittedByHand", node: "a" });
  assert.deepEqual(stage.take(), ["start map-00001.1 on a"]);
  stage.restart();
  assert.equal(stage.rows().filter((fact) => fact.kind === "handBar" && fact.reason !== null).length, 0);
});

test("a node can be barred by hand before it has ever joined", () => {
  const stage = new Stage();
  stage.tell({ kind: "nodeBarredByHand", node: "a", reason: "not yet" });
  stage.submit({ maps: 1 });
  stage.join("a");
  stage.join("b");
  assert.deepEqual(stage.take(), ["start map-00000.1 on b"]);
});

test("preferred and pinned tasks do not go to closed nodes either, nor do backups", () => {
  const stage = new Stage({ leaseMs: Number.POSITIVE_INFINITY });
  stage.join("a", 2);
  stage.join("b", 2);
  stage.tell({ kind: "nodeBarredByHand", node: "a", reason: "bad disk" });
  stage.submit({
    map: [{ pinned: ["a"] }, { preferred: ["a"] }, {}, {}],
    policy: { speculationFloorMs: 0, speculationDoneShare: 0.5 },
  });
  assert.deepEqual(stage.take(), ["start map-00001.1 on b", "start map-00002.1 on b"]);
  stage.pass(100);
  stage.finish("map-00001.1");
  stage.take();
  stage.finish("map-00002.1", {}, false);
  stage.pass(50_000);
  assert.deepEqual(stage.take(), []);
});
