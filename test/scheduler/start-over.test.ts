import assert from "node:assert/strict";
import { test } from "node:test";
import type { ScheduledJob } from "#src/scheduler/messages.js";
import { viewAttempts } from "#src/scheduler/view.js";
import { Stage } from "./stage.js";

/** One reduce has finished, one runs, one waits; then the output of map 0 is lost. */
function stageWithLoss(policy: ScheduledJob["policy"] = {}, before: string | null = "old"): Stage {
  const stage = new Stage();
  stage.join("a", 1);
  stage.submit({ maps: 1, reduces: 3, policy: { attemptsMax: 1, speculation: false, ...policy } });
  if (before === null) stage.finish("map-00000.1");
  else stage.make("map-00000.1", before);
  stage.finish("reduce-00000.1", { groups: 7 });
  stage.join("b", 1);
  stage.fetchFails("reduce-00002.1", 0, 1);
  stage.take();
  return stage;
}

test("a map made again with the same output leaves the reduces alone", () => {
  const stage = stageWithLoss();
  stage.make("map-00000.2", "old");
  assert.deepEqual(
    stage.take().filter((line) => !line.startsWith("start")),
    [],
  );
  assert.equal(stage.states("reduce"), "2 RUNNING, 1 FINISHED");
});

test("a map made again with other output makes earlier reduces start over, at nobody's cost", () => {
  const stage = stageWithLoss();
  assert.equal(stage.states("reduce"), "1 BLOCKED, 1 RUNNING, 1 FINISHED");
  stage.finish("map-00000.2", {}, true, "new");
  assert.deepEqual(stage.take(), [
    "discard reduce-00000.1",
    "kill reduce-00001.1",
    "start reduce-00000.2 on b",
  ]);
  const { outputLost } = [...viewAttempts(stage.scheduler, "j")].find((a) => a.attempt.phase === "reduce")!;
  assert.match(outputLost!, /map-00000.1 and map-00000.2 gave different output/);
  stage.ask("a");
  stage.finish("reduce-00000.2", { groups: 8 });
  stage.finish("reduce-00001.2");
  stage.finish("reduce-00002.2");
  assert.equal(stage.status(), "COMMITTING");
  const [end] = stage.tell({ kind: "jobCommitted", job: "j" });
  assert.deepEqual(end?.kind === "jobEnded" && end.counters, { groups: 8 });
});

test("a report of a reduce that was made to start over changes nothing", () => {
  const stage = stageWithLoss();
  stage.make("map-00000.2", "new");
  stage.take();
  stage.finish("reduce-00001.1", { groups: 100 }, false);
  assert.deepEqual(stage.take(), ["discard reduce-00001.1"]);
});

test("without fingerprints outputs are taken to be equal", () => {
  const stage = stageWithLoss({}, null);
  stage.make("map-00000.2", "new");
  assert.equal(stage.states("reduce"), "2 RUNNING, 1 FINISHED");
});

test("a map that never gives the same twice fails the job, which names it", () => {
  const stage = stageWithLoss({ outputChangesMax: 1 });
  stage.make("map-00000.2", "new");
  stage.ask("a");
  stage.fetchFails("reduce-00000.2", 0, 2);
  stage.take();
  stage.make("map-00000.3", "newer");
  assert.deepEqual(stage.take(), [
    "kill reduce-00001.2",
    "ended j FAILED: map-00000.2 and map-00000.3 gave different output for the same input " +
      "(case 2 in this job): the map depends on time, chance or what ran before",
  ]);
});

test("the other output outlives a restart between loss and making", () => {
  const stage = stageWithLoss();
  stage.restart();
  stage.heartbeat("a", "reduce-00001.1");
  stage.heartbeat("b", "map-00000.2");
  stage.take();
  stage.make("map-00000.2", "new");
  assert.deepEqual(stage.take(), [
    "discard reduce-00000.1",
    "kill reduce-00001.1",
    "start reduce-00000.2 on b",
  ]);
  stage.restart();
  assert.equal(stage.states("reduce"), "2 READY, 1 RUNNING");
});
