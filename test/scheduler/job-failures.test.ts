import assert from "node:assert/strict";
import { test } from "node:test";
import type { Failure } from "#src/scheduler/ids.js";
import { endingOf } from "#src/scheduler/rules.js";
import { viewAttempts } from "#src/scheduler/view.js";
import { Stage } from "./stage.js";

const overBudget = {
  kind: "jobFailed",
  job: "j",
  blame: "data",
  code: "BAD_BUDGET",
  message: "11 bad records, 10 are allowed",
  detail: { bad: 11 },
} as const;

/** Why the job failed; null while it did not. */
function causeOf(stage: Stage, job = "j"): Failure | null {
  const life = stage.scheduler.state.jobs.get(job)?.status;
  return life?.kind === "ENDED" ? life.cause : null;
}

/** Of each attempt of the job: LOST with what. */
function lossesOf(stage: Stage): string[] {
  return [...viewAttempts(stage.scheduler, "j")].flatMap(({ state }) =>
    state.kind === "LOST" ? [state.withWorker ? "worker" : state.withNode ? "node" : "alone"] : [],
  );
}

test("how an attempt ends that reports a failure", () => {
  const table = [
    ["user", "USER_CODE", false, "failed"],
    ["user", "USER_EXITED", false, "failed"],
    ["data", "RECORD_INVALID", false, "failed"],
    ["system", "DISK_FULL", false, "failed"],
    ["system", "CANCELLED", false, "lost"],
    ["system", "WORKER_LOST", false, "lostWithWorker"],
    ["user", "WORKER_LOST", false, "failed"],
    ["data", "CANCELLED", false, "failed"],
    ["user", "USER_CODE", true, "lost"],
    ["data", "RECORD_INVALID", true, "lost"],
    ["user", "NO_PROGRESS", true, "lost"],
    ["system", "WORKER_LOST", true, "lost"],
    ["system", "DISK_FULL", true, "lost"],
  ] as const;
  for (const [blame, code, setAside, ending] of table)
    assert.equal(endingOf({ blame, code, setAside }), ending, `${blame} ${code} ${setAside}`);
  assert.equal(endingOf({ blame: "system", code: "WORKER_LOST" }), "lostWithWorker");
});

test("a job fails by what its driver has found", () => {
  const stage = new Stage();
  stage.join("a", 2);
  stage.submit({ maps: 3, reduces: 1 });
  stage.take();
  stage.tell(overBudget);
  const { blame, code, message, detail } = overBudget;
  assert.deepEqual(causeOf(stage), { blame, code, message, detail, attempt: null, node: null });
  assert.deepEqual(stage.take(), [
    "kill map-00000.1",
    "kill map-00001.1",
    "ended j FAILED: 11 bad records, 10 are allowed",
  ]);
  stage.tell({ ...overBudget, message: "another" });
  assert.deepEqual(stage.take(), []);
  assert.equal(causeOf(stage)?.message, message);
});

test("what the driver finds is too late for a job that commits, has ended or is not there", () => {
  const stage = new Stage();
  stage.tell(overBudget);
  stage.join("a");
  stage.submit({ maps: 1 });
  stage.finish("map-00000.1");
  stage.take();
  stage.tell(overBudget);
  stage.emitLate("a", "map-00000.1");
  assert.equal(stage.status(), "COMMITTING");
  stage.tell({ kind: "jobCommitted", job: "j" });
  stage.tell(overBudget);
  stage.emitLate("a", "map-00000.1");
  assert.equal(stage.status(), "SUCCEEDED");
  assert.deepEqual(stage.take(), ["ended j SUCCEEDED"]);
});

test("a job that failed by its driver's word stays so after a restart", () => {
  const stage = new Stage();
  stage.join("a");
  stage.submit({ maps: 1 });
  stage.forget(overBudget);
  assert.equal(stage.status(), "RUNNING", "it was not written");
  stage.tell(overBudget);
  const ended = stage.rows().find((fact) => fact.kind === "jobState" && fact.life.kind === "ENDED");
  assert.ok(ended !== undefined);
});

test("a late emit fails the job, whatever became of its attempt", () => {
  const cases: Record<string, (stage: Stage) => void> = {
    "it runs still": () => {},
    "it has finished": (stage) => stage.finish("map-00000.1"),
    "it has failed": (stage) => stage.fail("map-00000.1"),
    "its worker is gone": (stage) => stage.loseWorker("map-00000.1"),
    "the driver was restarted": (stage) => stage.restart(),
  };
  for (const [name, before] of Object.entries(cases)) {
    for (const attempt of ["map-00000.1", null]) {
      const stage = new Stage();
      stage.join("a");
      stage.submit({ maps: 2 });
      before(stage);
      stage.emitLate("a", attempt);
      const cause = causeOf(stage);
      assert.equal(stage.status(), "FAILED", name);
      assert.equal(cause?.code, "EMIT_LATE", name);
      assert.equal(cause.node, "a");
      assert.deepEqual(
        cause.attempt,
        attempt && { job: "j", phase: "map", task: 0, attempt: 1 },
        `${name}, ${attempt}`,
      );
    }
  }
});

test("a late emit of a life that is over, or of another's attempt, changes nothing", () => {
  const stage = new Stage();
  stage.join("a");
  stage.join("b");
  stage.submit({ maps: 3 });
  stage.submit({ id: "k", maps: 1 });
  stage.finish("map-00000.1");
  stage.take();
  assert.equal(stage.nodeOf("map-00000.1"), "a");
  stage.emitLate("b", "map-00000.1");
  stage.emitLate("a", "map-00000.1", 1, "k");
  stage.emitLate("a", "map-00000.1", 1, "unknown");
  assert.deepEqual(stage.take(), []);
  stage.join("a");
  stage.take();
  stage.emitLate("a", "map-00000.1", 1);
  assert.deepEqual(stage.take(), ["fence a.1"]);
  stage.emitLate("a", null, 1);
  stage.emitLate("a", "map-00000.1", 2);
  assert.equal(stage.status(), "RUNNING");
  stage.emitLate("a", null);
  assert.equal(stage.status(), "FAILED");
  assert.equal(stage.status("k"), "RUNNING");
});

test("a late emit keeps the lease of its node", () => {
  const stage = new Stage({ leaseMs: 1_000 });
  stage.join("a");
  stage.submit({ maps: 1 });
  stage.pass(900);
  stage.emitLate("a", null, 1, "unknown");
  stage.pass(900);
  assert.equal(stage.scheduler.state.nodes.size, 1);
});

test("an attempt that was ended by a record set aside is lost alone, and uses up nothing", () => {
  const stage = new Stage();
  stage.join("a");
  stage.submit({ maps: 1, policy: { attemptsMax: 1, workersLostMax: 1, barAfterFailures: 1 } });
  const reports = [
    { blame: "user", code: "USER_CODE" },
    { blame: "data", code: "RECORD_INVALID" },
    { blame: "user", code: "NO_PROGRESS" },
    { blame: "system", code: "WORKER_LOST" },
    { blame: "system", code: "DISK_FULL" },
  ] as const;
  reports.forEach((report, i) => stage.loseWorker(`map-00000.${i + 1}`, { ...report, setAside: true }));
  assert.deepEqual(lossesOf(stage), ["alone", "alone", "alone", "alone", "alone"]);
  const { tally } = stage.scheduler.state.jobs.get("j")!.phases.map.tasks[0]!.state;
  assert.deepEqual([tally.failures, tally.losses], [0, 5]);
  assert.equal(stage.scheduler.state.jobs.get("j")!.bars.size, 0);
  stage.finish("map-00000.6");
  assert.equal(stage.status(), "COMMITTING");
});

test("records that are set aside do not go on for ever", () => {
  const stage = new Stage();
  stage.join("a");
  stage.submit({ maps: 1, policy: { lossesMax: 3 } });
  for (let i = 1; i <= 3; i++) stage.loseWorker(`map-00000.${i}`, { setAside: true, detail: `record ${i}` });
  assert.equal(stage.status(), "FAILED");
  const cause = causeOf(stage);
  assert.equal(cause?.code, "WORKER_LOST");
  assert.equal(cause.detail, "record 3");
});

test("the fourth worker lost under a task fails it: user code exits", () => {
  const stage = new Stage();
  stage.join("a");
  stage.join("b");
  stage.submit({ maps: 1 });
  stage.loseWorker("map-00000.1");
  stage.beat("map-00000.2", 1);
  stage.workerGone("map-00000.2");
  stage.loseWorker("map-00000.3");
  assert.equal(stage.status(), "RUNNING");
  stage.restart();
  stage.loseWorker("map-00000.4", { detail: { exitCode: 137 } });
  assert.deepEqual(causeOf(stage), {
    blame: "user",
    code: "USER_EXITED",
    message: "user code exited: 4 workers were lost running map-00000; signal SIGKILL",
    attempt: { job: "j", phase: "map", task: 0, attempt: 4 },
    node: stage.nodeOf("map-00000.4"),
    detail: { exitCode: 137 },
  });
  assert.deepEqual(lossesOf(stage), ["worker", "worker", "worker", "worker"]);
});

test("workers lost under different tasks fail none of them", () => {
  const stage = new Stage();
  stage.join("a");
  stage.submit({ maps: 8, policy: { workersLostMax: 2 } });
  for (let task = 0; task < 8; task++) {
    stage.loseWorker(`map-0000${task}.1`);
    stage.finish(`map-0000${task}.2`);
  }
  assert.equal(stage.status(), "COMMITTING");
});

test("what is no lost worker: cancelled, set aside, asked for other work, not begun, gone with its node", () => {
  const stage = new Stage();
  stage.join("a");
  stage.submit({ maps: 1, policy: { workersLostMax: 1, nodesLostMax: 3 } });
  stage.loseWorker("map-00000.1", { code: "CANCELLED" });
  stage.loseWorker("map-00000.2", { setAside: true });
  stage.ask("a");
  stage.workerGone("map-00000.4");
  stage.join("a");
  assert.deepEqual(lossesOf(stage), ["alone", "alone", "alone", "alone", "node"]);
  assert.equal(stage.status(), "RUNNING");
  stage.loseWorker("map-00000.6", {}, false);
  assert.equal(stage.status(), "FAILED");
});

test("workers of a life of a node that has ended since are not counted", () => {
  const stage = new Stage();
  stage.submit({ maps: 1, policy: { workersLostMax: 3 } });
  for (let life = 0; life < 5; life++) {
    stage.join("a");
    stage.loseWorker(`map-00000.${3 * life + 1}`);
    stage.loseWorker(`map-00000.${3 * life + 2}`, {}, false);
    stage.lose("a");
    if (life === 2) stage.restart();
    stage.join("a");
    stage.lose("a");
  }
  assert.equal(stage.status(), "RUNNING");
  stage.join("a");
  stage.loseWorker("map-00000.16");
  stage.loseWorker("map-00000.17");
  assert.equal(stage.status(), "RUNNING");
  stage.loseWorker("map-00000.18");
  assert.equal(
    causeOf(stage)?.message,
    "user code exited: 3 workers were lost running map-00000; signal SIGKILL",
  );
});

test("a share of the tasks may lose their workers", () => {
  const stage = new Stage();
  stage.join("a");
  stage.submit({ maps: 4, policy: { failedTasksShare: 0.25, workersLostMax: 2 } });
  stage.loseWorker("map-00000.1");
  stage.loseWorker("map-00000.2");
  assert.equal(stage.states("map"), "2 READY, 1 RUNNING, 1 FAILED");
  for (let task = 1; task < 4; task++) stage.finish(`map-0000${task}.1`);
  assert.equal(stage.status(), "COMMITTING");
});
