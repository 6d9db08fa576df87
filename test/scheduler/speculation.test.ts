import assert from "node:assert/strict";
import { test } from "node:test";
import { Stage } from "./stage.js";

/** Ten maps on a and b, of which nine took `quickMs` and one still runs. */
function nearlyDone(quickMs: number, speculation = true, beat = 1): Stage {
  const stage = new Stage({ leaseMs: Number.POSITIVE_INFINITY });
  stage.join("a", 5);
  stage.join("b", 5);
  stage.submit({ maps: 10, policy: { speculation } });
  stage.beat("map-00000.1", beat);
  stage.nowMs += quickMs;
  for (let i = 1; i < 10; i++) stage.finish(`map-0000${i}.1`);
  stage.take();
  return stage;
}

test("a task that takes 1.5 times the median gets one backup, on another node", () => {
  const stage = nearlyDone(4_000);
  stage.pass(2_000);
  assert.deepEqual(stage.take(), []);
  stage.pass(1);
  const other = stage.nodeOf("map-00000.1") === "a" ? "b" : "a";
  assert.deepEqual(stage.take(), [`start map-00000.2 backup on ${other}`]);
  stage.pass(10_000);
  assert.deepEqual(stage.take(), []);
});

test("the one that finishes first wins, the other is killed", () => {
  for (const winner of [1, 2]) {
    const stage = nearlyDone(4_000);
    stage.pass(2_001);
    stage.take();
    stage.finish(`map-00000.${winner}`, { records: 1 }, false);
    assert.deepEqual(stage.take(), [`kill map-00000.${3 - winner}`, "commitJob j"]);
    const states = winner === 1 ? ["SUCCEEDED", "KILLED"] : ["KILLED", "SUCCEEDED"];
    assert.deepEqual(stage.history().slice(0, 2), [`map-00000.1 ${states[0]}`, `map-00000.2 ${states[1]}`]);
  }
});

test("the commit is granted to exactly one of two; the other may go on only if that one fails", () => {
  const stage = nearlyDone(4_000);
  stage.pass(2_001);
  stage.take();
  stage.requestCommit("map-00000.2");
  stage.requestCommit("map-00000.2");
  stage.requestCommit("map-00000.1");
  assert.deepEqual(stage.take(), ["grant map-00000.2", "grant map-00000.2", "deny map-00000.1"]);
  stage.fail("map-00000.2", "system");
  const [start] = stage.take();
  assert.match(start!, /^start map-00000\.3 on/);
  assert.deepEqual(stage.history().slice(0, 3), [
    "map-00000.1 KILLED",
    "map-00000.2 FAILED",
    "map-00000.3 RUNNING",
  ]);
});

test("an attempt that finishes although the other was granted is thrown away", () => {
  const stage = nearlyDone(4_000);
  stage.pass(2_001);
  stage.requestCommit("map-00000.2");
  stage.take();
  stage.finish("map-00000.1", { records: 99 }, false);
  assert.deepEqual(stage.take(), ["kill map-00000.1", "discard map-00000.1"]);
  stage.finish("map-00000.2", { records: 1 }, false);
  assert.deepEqual(stage.take(), ["commitJob j"]);
});

test("when the original is lost the backup carries on, and nothing is started", () => {
  const stage = nearlyDone(4_000);
  stage.pass(2_001);
  stage.take();
  const node = stage.nodeOf("map-00000.1");
  stage.lose(node);
  assert.deepEqual(
    stage.take().filter((s) => s.startsWith("start")),
    [],
  );
  assert.equal(stage.states("map"), "1 RUNNING, 9 FINISHED");
});

test("quick tasks get no backup for five seconds, nor does anything when speculation is off", () => {
  const quick = nearlyDone(100);
  quick.pass(4_899);
  assert.deepEqual(quick.take(), []);
  quick.pass(1);
  assert.equal(quick.take().length, 1);
  const off = nearlyDone(4_000, false);
  off.pass(100_000);
  assert.deepEqual(
    off.take().filter((s) => s.includes("backup")),
    [],
  );
});

test("a task that waits its turn on a busy machine is not slow: its time counts from when it moves", () => {
  const waits = nearlyDone(4_000, true, 0);
  waits.pass(2_500);
  waits.beat("map-00000.1", 1);
  waits.pass(6_000);
  assert.deepEqual(waits.take(), []);
  waits.pass(1);
  assert.equal(waits.take().length, 1);
  // One that never moves gets its backup, later.
  const stands = nearlyDone(4_000, true, 0);
  stands.pass(8_000);
  assert.deepEqual(stands.take(), []);
  stands.pass(2);
  assert.equal(stands.take().length, 1);
});

test("no backup where less is left than a backup would have to do", () => {
  const nearly = nearlyDone(4_000);
  nearly.beat("map-00000.1", 2, 0.7);
  nearly.pass(5_300);
  assert.deepEqual(nearly.take(), []);
  // It slows down: at this pace the rest takes longer than a whole task.
  nearly.pass(70);
  assert.equal(nearly.take().length, 1);
  const slow = nearlyDone(4_000);
  slow.beat("map-00000.1", 2, 0.2);
  slow.pass(2_001);
  assert.equal(slow.take().length, 1);
});

test("a slow task behind one that is nearly done gets its backup", () => {
  const stage = new Stage({ leaseMs: Number.POSITIVE_INFINITY });
  stage.join("a", 5);
  stage.join("b", 5);
  stage.submit({ maps: 10 });
  for (let i = 0; i < 10; i++) stage.beat(`map-0000${i}.1`, 1);
  stage.nowMs += 4_000;
  for (let i = 2; i < 10; i++) stage.finish(`map-0000${i}.1`);
  stage.beat("map-00000.1", 2, 0.95);
  stage.beat("map-00001.1", 2, 0.1);
  stage.take();
  stage.pass(2_001);
  assert.match(stage.take().join(), /^start map-00001\.2 backup on [ab]$/);
});

test("no backup before three quarters are done", () => {
  const stage = new Stage({ leaseMs: Number.POSITIVE_INFINITY });
  stage.join("a", 10);
  stage.join("b", 10);
  stage.submit({ maps: 8 });
  for (let i = 0; i < 8; i++) stage.beat(`map-0000${i}.1`, 1);
  stage.nowMs += 2_000;
  for (let i = 0; i < 5; i++) stage.finish(`map-0000${i}.1`);
  stage.take();
  stage.pass(20_000);
  assert.deepEqual(stage.take(), []);
  stage.finish("map-00005.1");
  stage.pass(1);
  assert.equal(stage.take().filter((s) => s.includes("backup")).length, 1);
});
