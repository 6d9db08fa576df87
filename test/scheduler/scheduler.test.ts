import assert from "node:assert/strict";
import { test } from "node:test";
import { viewAttempts, viewJob, viewOutputs } from "#src/scheduler/view.js";
import { Stage } from "./stage.js";

test("a job runs its phases in order, commits and ends with its counters", () => {
  const stage = new Stage();
  stage.join("a", 2);
  stage.submit({ samples: 1, maps: 2, reduces: 1 });
  assert.deepEqual(stage.take(), ["start sample-00000.1 on a"]);
  assert.equal(stage.states("map"), "2 BLOCKED");
  stage.finish("sample-00000.1");
  assert.deepEqual(stage.take(), ["sampleReady j", "start map-00000.1 on a", "start map-00001.1 on a"]);
  stage.finish("map-00000.1", { records: 3 });
  assert.equal(stage.states("reduce"), "1 BLOCKED");
  stage.finish("map-00001.1", { records: 4 });
  assert.deepEqual(stage.take(), ["start reduce-00000.1 on a"]);
  assert.deepEqual(
    [...viewOutputs(stage.scheduler, "j", "map")].map((o) => `${o.task}.${o.attempt} ${String(o.output)}`),
    ["0.1 output of map-00000.1", "1.1 output of map-00001.1"],
  );
  stage.requestCommit("reduce-00000.1");
  stage.finish("reduce-00000.1", { groups: 2 });
  assert.deepEqual(stage.take(), ["grant reduce-00000.1", "commitJob j"]);
  assert.equal(stage.status(), "COMMITTING");
  const [ended] = stage.tell({ kind: "jobCommitted", job: "j" });
  assert.deepEqual(ended, {
    kind: "jobEnded",
    job: "j",
    status: "SUCCEEDED",
    cause: null,
    counters: { records: 7, groups: 2 },
    failedTasks: [],
  });
});

test("a job without tasks commits at once", () => {
  const stage = new Stage();
  stage.submit();
  assert.deepEqual(stage.take(), ["commitJob j"]);
});

test("eight maps with idle workers run exactly eight times", () => {
  const stage = new Stage();
  for (const node of ["a", "b", "c", "d", "e"]) stage.join(node, 4);
  stage.submit({ maps: 8 });
  stage.pass(1_000);
  for (let i = 0; i < 8; i++) {
    stage.pass(10);
    stage.finish(`map-0000${i}.1`);
  }
  assert.equal(stage.history().length, 8);
  assert.equal(stage.status(), "COMMITTING");
});

test("the fourth failure of user code fails the job, with the failure as its cause", () => {
  const stage = new Stage();
  stage.join("a", 1);
  stage.submit({ maps: 2 });
  for (let i = 1; i <= 3; i++) stage.fail(`map-00000.${i}`);
  stage.take();
  stage.fail("map-00000.4");
  assert.deepEqual(stage.take(), ["ended j FAILED: map-00000.4 failed"]);
  assert.equal(stage.states("map"), "1 FAILED, 1 CANCELLED");
});

test("losses do not use up attempts, but do not go on for ever", () => {
  const stage = new Stage();
  stage.submit({ maps: 1, policy: { lossesMax: 10 } });
  for (let i = 1; i < 10; i++) {
    stage.join("a");
    stage.lose("a");
  }
  assert.equal(stage.status(), "RUNNING");
  stage.join("a");
  stage.lose("a");
  assert.equal(stage.status(), "FAILED");
  assert.match(stage.take().at(-1)!, /map-00000\.10 was lost: a is lost: cut/);
});

test("a task under which nodes are lost again and again fails its job, which names them", () => {
  const stage = new Stage();
  // The other task of the job is lost once with it, which costs it nothing.
  stage.join("a", 2);
  stage.submit({ maps: 2, policy: { attemptsMax: 1, barAfterFailures: 1 } });
  stage.join("a", 2);
  stage.finish("map-00001.2");
  stage.join("a");
  stage.join("b");
  stage.join("a");
  assert.equal(stage.status(), "RUNNING", "three are lost");
  stage.restart();
  stage.take();
  stage.heartbeat("b", "map-00000.4");
  stage.join("b");
  const ended = stage.take().find((said) => said.includes("ended"));
  const named = "4 agents were lost while they ran map-00000 (a, b): the job is stopped before";
  assert.ok(ended?.startsWith(`ended j FAILED: ${named}`), ended);
});

test("nodes that leave on purpose are none that a task took down", () => {
  const stage = new Stage();
  stage.submit({ maps: 1, policy: { nodesLostMax: 1 } });
  for (let i = 1; i <= 5; i++) {
    stage.join("a");
    stage.lose("a");
  }
  assert.equal(stage.status(), "RUNNING");
  stage.join("a");
  stage.join("a");
  assert.equal(stage.status(), "FAILED");
});

test("a share of the tasks may fail", () => {
  const stage = new Stage();
  stage.join("a", 1);
  stage.submit({ maps: 10, policy: { failedTasksShare: 0.1, attemptsMax: 1 } });
  stage.fail("map-00000.1");
  for (let i = 1; i < 10; i++) stage.finish(`map-0000${i}.1`);
  assert.equal(stage.states("map"), "9 FINISHED, 1 FAILED");
  stage.take();
  const [ended] = stage.tell({ kind: "jobCommitted", job: "j" });
  assert.ok(ended?.kind === "jobEnded");
  assert.deepEqual(ended.failedTasks, [{ job: "j", phase: "map", task: 0 }]);
});

test("a repeated or late report of an attempt changes nothing", () => {
  const stage = new Stage();
  stage.join("a");
  stage.join("b");
  stage.submit({ maps: 2, reduces: 1 });
  stage.finish("map-00000.1", { records: 1 }, false);
  stage.finish("map-00000.1", { records: 1 }, false);
  stage.fail("map-00000.1", "user", false);
  assert.equal(stage.states("map"), "1 RUNNING, 1 FINISHED");
  assert.deepEqual(viewJob(stage.scheduler, "j")?.counters, { records: 1 });
  stage.lose(stage.nodeOf("map-00001.1"));
  stage.take();
  stage.finish("map-00001.1", { records: 5 }, false);
  const said = stage.take();
  assert.ok(said.includes("discard map-00001.1"), said.join());
  assert.ok(said.some((s) => s.startsWith("fence")));
  assert.equal(stage.states("map"), "1 READY, 1 FINISHED");
});

test("counters count the committed attempt of a task once, however often its output is lost", () => {
  const stage = new Stage();
  stage.join("a");
  stage.submit({ maps: 1, reduces: 1 });
  stage.finish("map-00000.1", { records: 5 }, false);
  stage.lose("a");
  assert.equal(stage.states("map"), "1 READY");
  assert.equal(stage.states("reduce"), "1 BLOCKED");
  stage.join("b");
  stage.finish("map-00000.2", { records: 5 });
  stage.finish("reduce-00000.1");
  assert.deepEqual(viewJob(stage.scheduler, "j")?.counters, { records: 5 });
});

test("map outputs of a lost node run again, finished reduces stay", () => {
  const stage = new Stage();
  stage.join("a", 1);
  stage.submit({ maps: 2, reduces: 2 });
  stage.finish("map-00000.1");
  stage.finish("map-00001.1");
  stage.finish("reduce-00000.1", {}, false);
  stage.lose("a");
  assert.equal(stage.states("map"), "2 READY");
  assert.equal(stage.states("reduce"), "1 BLOCKED, 1 FINISHED");
});

test("map outputs on shared storage survive their node", () => {
  const stage = new Stage();
  stage.join("a", 1);
  stage.submit({ maps: 1, reduces: 1, policy: { outputsSurviveNode: true } });
  stage.finish("map-00000.1", {}, false);
  stage.lose("a");
  assert.equal(stage.states("map"), "1 FINISHED");
  assert.equal(stage.states("reduce"), "1 READY");
});

test("lost map outputs that no reduce needs any more are not made again", () => {
  const stage = new Stage();
  stage.join("a", 1);
  stage.submit({ maps: 1, reduces: 1 });
  stage.finish("map-00000.1", {}, false);
  stage.join("b", 1);
  stage.lose("a");
  stage.join("c", 1);
  assert.equal(stage.states("map"), "1 RUNNING");
  stage.take();
  stage.finish("reduce-00000.1");
  assert.deepEqual(stage.take(), ["kill map-00000.2", "commitJob j"]);
  assert.equal(stage.states("map"), "1 FINISHED");
});

test("a failed fetch re-runs the map and costs the reduce no attempt; the fourth fails the job", () => {
  const stage = new Stage();
  for (const node of ["a", "b", "c", "d", "e", "f"]) stage.join(node, 1);
  stage.submit({ maps: 1, reduces: 1 });
  for (let i = 1; i <= 4; i++) {
    stage.finish(`map-00000.${i}`);
    stage.fetchFails(`reduce-00000.${i}`, 0, i);
    if (i < 4) assert.equal(stage.states("reduce"), "1 BLOCKED");
  }
  assert.equal(stage.status(), "FAILED");
  const said = stage.take();
  assert.ok(said.includes("discard map-00000.1"));
  assert.match(said.at(-1)!, /the output of map-00000 could not be fetched 4 times; last: HTTP 404/);
});

test("a complaint about a map output that was replaced already re-runs nothing", () => {
  const stage = new Stage();
  stage.join("a", 2);
  stage.submit({ maps: 1, reduces: 2 });
  stage.finish("map-00000.1");
  stage.fetchFails("reduce-00000.1", 0, 1);
  stage.finish("map-00000.2");
  stage.fetchFails("reduce-00001.1", 0, 1);
  assert.equal(stage.states("map"), "1 FINISHED");
  assert.deepEqual(
    stage.history().filter((line) => line.startsWith("map")),
    ["map-00000.1 SUCCEEDED", "map-00000.2 SUCCEEDED"],
  );
});

test("a silent node is lost when its lease is over, and told so when it returns", () => {
  const stage = new Stage({ leaseMs: 1_000 });
  stage.join("a");
  stage.submit({ maps: 1 });
  stage.pass(900);
  stage.tell({ kind: "nodeHeartbeat", node: "a", incarnation: 1, running: [] });
  stage.pass(999);
  assert.equal(stage.states("map"), "1 RUNNING");
  stage.pass(1);
  assert.equal(stage.states("map"), "1 READY");
  stage.take();
  stage.tell({ kind: "nodeHeartbeat", node: "a", incarnation: 1, running: [] });
  assert.deepEqual(stage.take(), ["fence a.1"]);
  stage.join("a");
  assert.deepEqual(stage.take(), ["start map-00000.2 on a"]);
  assert.deepEqual(stage.history(), ["map-00000.1 LOST", "map-00000.2 RUNNING"]);
});

test("an attempt without progress is killed and counts, one that never began is lost", () => {
  const stage = new Stage();
  stage.join("a", 2);
  stage.submit({ maps: 2, policy: { noProgressMs: 1_000 } });
  stage.beat("map-00000.1", 1);
  stage.pass(500);
  stage.beat("map-00000.1", 2);
  stage.beat("map-00000.1", 1); // late
  stage.pass(999);
  stage.beat("map-00000.1", 2); // stands still
  assert.deepEqual(stage.history(), ["map-00000.1 RUNNING", "map-00001.1 LOST"]);
  stage.pass(1);
  assert.deepEqual(stage.history(), ["map-00000.1 FAILED", "map-00001.1 LOST"]);
  const failed = [...viewAttempts(stage.scheduler, "j")][0]!.state;
  assert.ok(failed.kind === "FAILED");
  assert.equal(failed.failure.code, "NO_PROGRESS");
});

test("an attempt of which nothing is heard is lost, unless reports are reliable", () => {
  for (const leaseMs of [50_000, Number.POSITIVE_INFINITY]) {
    const stage = new Stage({ leaseMs });
    stage.join("a");
    stage.submit({ maps: 1, policy: { noProgressMs: 1_000 } });
    stage.beat("map-00000.1", 1);
    stage.pass(1_000);
    assert.deepEqual(stage.history(), [`map-00000.1 ${leaseMs === 50_000 ? "LOST" : "FAILED"}`]);
  }
});

test("the heartbeat of a node that runs something void has it killed, but not what has just finished", () => {
  const stage = new Stage();
  stage.join("a", 2);
  stage.submit({ maps: 2, reduces: 1 });
  stage.fail("map-00000.1", "user", false);
  stage.finish("map-00001.1", {}, false);
  stage.take();
  const running = [1, 2].map((n) => ({ job: "j", phase: "map" as const, task: n - 1, attempt: 1 }));
  stage.tell({ kind: "nodeHeartbeat", node: "a", incarnation: 1, running });
  assert.deepEqual(stage.take(), ["kill map-00000.1"]);
});

test("a question asked twice is answered with the same order; asked anew, the attempt is lost", () => {
  const stage = new Stage();
  stage.tell({ kind: "nodeJoined", node: "a", incarnation: 1, slots: 1 });
  const ask = (number: number): void => {
    stage.tell({ kind: "workerReady", node: "a", incarnation: 1, slot: 0, ask: number });
  };
  stage.submit({ maps: 1 });
  ask(1);
  ask(1);
  assert.deepEqual(stage.take(), ["start map-00000.1 on a", "start map-00000.1 on a"]);
  stage.beat("map-00000.1", 1);
  ask(1);
  assert.deepEqual(stage.take(), []);
  ask(2);
  assert.deepEqual(stage.take(), ["start map-00000.2 on a"]);
  assert.deepEqual(stage.history(), ["map-00000.1 LOST", "map-00000.2 RUNNING"]);
  stage.tell({ kind: "jobCancelled", job: "j", reason: "stop" });
  stage.take();
  ask(2);
  assert.deepEqual(stage.take(), ["askAnew a 0"]);
});

test("a cancelled job kills what runs, and is CANCELLED once", () => {
  const stage = new Stage();
  stage.join("a", 1);
  stage.submit({ maps: 2, reduces: 1 });
  stage.take();
  stage.tell({ kind: "jobCancelled", job: "j", reason: "Ctrl-C" });
  stage.tell({ kind: "jobCancelled", job: "j", reason: "Ctrl-C" });
  assert.deepEqual(stage.take(), ["kill map-00000.1", "ended j CANCELLED: Ctrl-C"]);
  assert.equal(stage.states("map"), "2 CANCELLED");
  stage.finish("map-00000.1");
  assert.deepEqual(stage.take(), ["discard map-00000.1"]);
});

test("cancelled while it commits, a job ends as the commit does", () => {
  for (const committed of [true, false]) {
    const stage = new Stage();
    stage.submit();
    stage.tell({ kind: "jobCancelled", job: "j", reason: "Ctrl-C" });
    assert.equal(stage.status(), "COMMITTING");
    if (committed) stage.tell({ kind: "jobCommitted", job: "j" });
    else
      stage.tell({
        kind: "jobCommitFailed",
        job: "j",
        blame: "system",
        code: "CANCELLED",
        message: "stopped",
      });
    assert.equal(stage.status(), committed ? "SUCCEEDED" : "CANCELLED");
  }
});

test("a commit that fails, fails the job with its cause", () => {
  const stage = new Stage();
  stage.submit();
  stage.take();
  stage.tell({ kind: "jobCommitFailed", job: "j", blame: "system", code: "DISK_FULL", message: "ENOSPC" });
  stage.tell({ kind: "jobCommitted", job: "j" });
  assert.deepEqual(stage.take(), ["ended j FAILED: ENOSPC"]);
});

test("a job can be submitted twice and forgotten once it has ended", () => {
  const stage = new Stage();
  stage.submit();
  stage.submit();
  stage.tell({ kind: "jobForgotten", job: "j" });
  assert.equal(stage.status(), "COMMITTING");
  stage.tell({ kind: "jobCommitted", job: "j" });
  stage.tell({ kind: "jobForgotten", job: "j" });
  assert.equal(stage.status(), undefined);
});
