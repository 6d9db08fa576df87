import assert from "node:assert/strict";
import { test } from "node:test";
import { Stage } from "./stage.js";

test("tasks go to the nodes they prefer, when those are idle", () => {
  const stage = new Stage();
  for (const node of ["a", "b", "c"]) stage.join(node);
  stage.submit({ map: [{ preferred: ["c"] }, { preferred: ["a"] }, {}] });
  assert.deepEqual(stage.take().sort(), [
    "start map-00000.1 on c",
    "start map-00001.1 on a",
    "start map-00002.1 on b",
  ]);
});

test("a node that asks takes what is near it first, then what is first", () => {
  const stage = new Stage();
  stage.submit({ map: [{}, { preferred: ["a"] }, {}] });
  stage.join("a", 3);
  assert.deepEqual(stage.take(), [
    "start map-00001.1 on a",
    "start map-00000.1 on a",
    "start map-00002.1 on a",
  ]);
});

test("a pinned task waits for its node; when that never comes the job fails and says so", () => {
  const stage = new Stage();
  stage.submit({ map: [{ pinned: ["z"] }], policy: { stallMs: 5_000 } });
  stage.join("a");
  stage.pass(4_999);
  assert.equal(stage.states("map"), "1 READY");
  stage.pass(1);
  assert.deepEqual(stage.take(), [
    "ended j FAILED: 1 task has waited for 5000 ms: map-00000 has its input on z; agent z is not there",
  ]);
});

test("without any node a job waits, unless it has a queue timeout", () => {
  const stage = new Stage({ leaseMs: Number.POSITIVE_INFINITY });
  stage.submit({ maps: 1 });
  stage.submit({ id: "k", maps: 1, policy: { queueTimeoutMs: 1_000 } });
  stage.pass(10_000_000);
  assert.equal(stage.status("j"), "RUNNING");
  assert.equal(stage.status("k"), "FAILED");
});

test("jobs share the slots by priority, each step double", () => {
  const stage = new Stage();
  stage.submit({ id: "low", maps: 100, priority: 0 });
  stage.submit({ id: "high", maps: 100, priority: 2 });
  stage.join("a", 50);
  const started = stage.take();
  assert.equal(started.filter((s) => s.includes("high/")).length, 40);
  assert.equal(started.filter((s) => s.includes("low/")).length, 10);
});

test("a job of higher priority gets the next free slots and takes none away", () => {
  const stage = new Stage();
  stage.join("a", 4);
  stage.submit({ maps: 20 });
  stage.submit({ id: "k", maps: 20, priority: 4 });
  stage.take();
  for (let i = 0; i < 3; i++) stage.finish(`map-0000${i}.1`);
  assert.deepEqual(stage.take(), [
    "start k/map-00000.1 on a",
    "start k/map-00001.1 on a",
    "start k/map-00002.1 on a",
  ]);
});

test("a node is barred from a job after three failures, and admitted again later", () => {
  const stage = new Stage({ leaseMs: Number.POSITIVE_INFINITY });
  stage.submit({ maps: 9, policy: { barMs: 1_000, stallMs: 1_000_000, noProgressMs: 1_000_000 } });
  stage.join("a", 1);
  stage.join("b", 1);
  stage.take();
  stage.fail("map-00000.1", "system");
  stage.fail("map-00002.1", "system");
  stage.fail("map-00000.2", "system");
  const said = stage.take();
  assert.equal(said.at(-1), "bar a", said.join("; "));
  stage.submit({ id: "k", maps: 1 });
  assert.deepEqual(stage.take(), ["start k/map-00000.1 on a"]);
  stage.finish("k/map-00000.1");
  stage.take();
  stage.pass(999);
  assert.deepEqual(stage.take(), []);
  stage.pass(1);
  const after = stage.take();
  assert.equal(after[0], "admit a");
  assert.match(after[1]!, /^start map-0000\d\.\d on a$/);
});

test("what a barred node has made stays of use; a fetch from it that fails gives up all of it", () => {
  const stage = new Stage({ leaseMs: Number.POSITIVE_INFINITY });
  stage.join("a", 1);
  stage.submit({ maps: 3, reduces: 4, policy: { stallMs: 1_000_000, noProgressMs: 1_000_000 } });
  for (const map of ["map-00000.1", "map-00001.1"]) stage.finish(map);
  stage.finish("map-00002.1");
  stage.join("b", 1);
  stage.take();
  // Three times something is wrong with its disk; b goes on with what lies on a.
  for (const reduce of ["reduce-00000.1", "reduce-00002.1", "reduce-00000.2"]) stage.fail(reduce, "system");
  const barred = stage.take();
  assert.ok(barred.includes("bar a"), barred.join("; "));
  assert.deepEqual(
    barred.filter((said) => said.startsWith("discard")),
    [],
  );
  assert.equal(stage.states("map"), "3 FINISHED");
  stage.finish("reduce-00001.1");
  const next = stage
    .take()
    .find((said) => said.startsWith("start"))!
    .split(" ")[1]!;
  stage.fetchFails(next, 1, 1);
  const after = stage.take();
  for (const map of ["map-00000.1", "map-00001.1", "map-00002.1"])
    assert.ok(after.includes(`discard ${map}`), after.join("; "));
  assert.equal(stage.states("map"), "2 READY, 1 RUNNING");
});

test("system failures on the last node fail the job with the last of them; user failures do not", () => {
  const stage = new Stage();
  stage.join("a", 1);
  stage.submit({ maps: 9 });
  stage.submit({ id: "k", maps: 9, policy: { failedTasksShare: 1, attemptsMax: 1 } });
  const run = (prefix: string, blame: "system" | "user"): void => {
    for (let tries = 0; tries < 40; tries++) {
      const next = stage.take().findLast((s) => s.startsWith("start"));
      if (next === undefined) return;
      const attempt = next.split(" ")[1]!;
      stage.fail(attempt, attempt.startsWith("k/") === (prefix === "k/") ? blame : "user");
      if (stage.status(prefix === "k/" ? "k" : "j") !== "RUNNING") return;
    }
  };
  run("", "system");
  assert.equal(stage.status("j"), "FAILED");
  assert.equal(stage.status("k"), "RUNNING");
  run("k/", "user");
  assert.equal(stage.status("k"), "COMMITTING");
});

test("a task that failed on a node is tried elsewhere when there is other work for that node", () => {
  const stage = new Stage();
  stage.join("a", 1);
  stage.submit({ maps: 3 });
  stage.join("b", 1);
  stage.take();
  stage.fail("map-00000.1");
  assert.deepEqual(stage.take(), ["start map-00002.1 on a"]);
  stage.finish("map-00001.1");
  assert.deepEqual(stage.take(), ["start map-00000.2 on b"]);
});
