import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Stage } from "./stage.js";

test("a job goes from submission to its results, and its story is told in order", async (t) => {
  const stage = new Stage(t);
  stage.agent("a");
  stage.agent("b");
  const job = await stage.submit();
  const view = await stage.ended(job);
  assert.equal(view.state, "SUCCEEDED");
  assert.deepEqual(view.counters, { map: 3, reduce: 2 });
  assert.equal(view.stats?.recordsIn, 30);
  assert.deepEqual(view.emptyFiles, {
    files: 6,
    names: ["blank-0.csv", "none.csv", "blank-1.csv", "none.csv", "blank-2.csv"],
  });
  assert.deepEqual(
    view.parts.map(({ file, records }) => [file, records]),
    [
      ["part-00000.tsv", 1],
      ["part-00001.tsv", 1],
    ],
  );
  const file = stage.coordinator.clients.resultFile(job, "output", 1);
  assert.equal(readFileSync(file.path, "utf8"), "1: 3 maps\n");
  const kinds = (await stage.events(job)).map((event) =>
    "phase" in event ? `${event.kind} ${event.phase}` : event.kind,
  );
  const story = kinds.filter((kind) => !kind.startsWith("attempt") && kind !== "progress");
  assert.deepEqual(story, [
    "job-started",
    "phase-started plan",
    "phase-finished plan",
    "planned",
    "phase-started map",
    "phase-finished map",
    "phase-started reduce",
    "phase-finished reduce",
    "phase-started commit",
    "phase-finished commit",
    "job-finished",
  ]);
  assert.equal(kinds.filter((kind) => kind === "attempt-finished").length, 5);
});

test("a job with a shared output is committed by an agent", async (t) => {
  const stage = new Stage(t);
  const agent = stage.agent("a");
  const job = await stage.submit({ output: { kind: "shared", path: stage.output, overwrite: false } });
  const view = await stage.ended(job);
  assert.equal(view.state, "SUCCEEDED");
  assert.equal(view.parts.length, 2);
  assert.equal(view.output, stage.output);
  const errands = agent.had.flatMap((order) => (order.kind === "errand" ? [order.errand.kind] : []));
  assert.deepEqual(errands, ["plan", "commit"]);
});

test("user code that fails four times fails the job, with the place it ran at", async (t) => {
  const stage = new Stage(t);
  stage.agent("a", {
    task: async (order, agent) =>
      order.work.kind === "map" && order.attempt.task === 1
        ? agent.fail(order, "no such word")
        : agent.succeed(order),
  });
  const job = await stage.submit();
  const view = await stage.ended(job);
  assert.equal(view.state, "FAILED");
  assert.equal(view.error?.code, "USER_CODE");
  assert.equal(view.error?.task, "map-00001");
  assert.equal(view.error?.host, "host-of-a");
  assert.match(view.error?.report ?? "", /no such word/);
  const failed = stage.coordinator.clients.attempts(job).filter(({ state }) => state === "FAILED");
  assert.deepEqual(
    failed.map(({ attempt }) => attempt.attempt),
    [1, 2, 3, 4],
  );
});
