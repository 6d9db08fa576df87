import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { OutputTarget } from "#src/protocol/submission.js";
import type { TaskReport } from "#src/protocol/task-messages.js";
import { TASK_STATUS } from "#src/protocol/version.js";
import type { TaskSuccess } from "#src/task/task-spec.js";
import { until } from "../kit/wait.js";
import { collected, counted, job, mapOrder, reduceOrder, Stage, text, wordCount } from "./support.js";

function success(report: TaskReport): TaskSuccess {
  assert.equal(report.status, TASK_STATUS.FINISHED, JSON.stringify(report));
  return report.result as TaskSuccess;
}

test("a whole job whose results are collected: plan, maps, reduces, uploads", async (t) => {
  const stage = new Stage(t);
  const input = stage.file("in.txt", text);
  await stage.start({ slots: 2 });
  await stage.prepare(wordCount());
  const { coordinator } = stage;

  const planned = await stage.plan([input], collected);
  assert.equal(planned.bytes, text.length);
  assert.equal(planned.files, 1);
  assert.equal(planned.splits.length, 3);
  const maps = await Promise.all(planned.splits.map((split) => coordinator.run(mapOrder(split))));
  for (const report of maps) {
    assert.ok(report.output!.bytes > 0);
    assert.match(report.output!.fingerprint, /^[0-9a-f]{64}$/);
  }
  const lines = maps.reduce((sum, report) => sum + success(report).counters["lines"]!, 0);
  assert.equal(lines, 4);

  const reduces = await Promise.all([0, 1].map((partition) => coordinator.run(reduceOrder(partition))));
  const parts = reduces.flatMap((report) => success(report).parts);
  assert.deepEqual(parts.map(({ path }) => path).sort(), ["out-0-0-0.tsv", "out-0-1-0.tsv"]);
  const sent = [...coordinator.results.entries()];
  assert.deepEqual(sent.map(([name]) => name).sort(), [
    "reduce-00000.1/out-0-0-0.tsv",
    "reduce-00001.1/out-0-1-0.tsv",
  ]);
  const found = sent.flatMap(([, bytes]) => bytes.toString("utf8").trimEnd().split("\n"));
  assert.deepEqual(found.sort(), counted);

  // What reduces wrote has been sent; what maps wrote stays to be served until the job is forgotten.
  assert.deepEqual(stage.attempts(), ["map-00000.1", "map-00001.1", "map-00002.1"]);
  assert.deepEqual(stage.shuffle.jobs(), [job]);
  coordinator.forget = [job];
  await until("the job to be forgotten", () => !existsSync(join(stage.state, "jobs", job)));
  await until("heartbeats without it", () => coordinator.lastHeartbeat?.jobs.length === 0);
  assert.deepEqual(stage.shuffle.jobs(), []);
});

test("a whole job whose output is on a shared path: staging, commit, nothing left beside it", async (t) => {
  const stage = new Stage(t);
  const input = stage.file("in/in.txt", text);
  const path = join(stage.root, "place", "out");
  stage.file("place/other", "");
  await stage.start();
  const output: OutputTarget = { kind: "shared", path, overwrite: false };
  await stage.prepare(wordCount(), { output });
  const { coordinator } = stage;

  const planned = await stage.plan([input], output);
  const staging = readdirSync(join(stage.root, "place")).filter((name) => name !== "other");
  assert.deepEqual(staging, [`.out.sheaf-job-${job}`]);
  // Of attempts that a coordinator whose state was damaged has forgotten: they may run still.
  for (const task of ["map-00000.1", "reduce-00001.1"])
    stage.file(join("place", staging[0]!, "attempts", task, "part"), "of another attempt\n");
  for (const split of planned.splits) success(await coordinator.run(mapOrder(split)));
  const results: TaskSuccess[] = [];
  for (const partition of [0, 1]) results.push(success(await coordinator.run(reduceOrder(partition))));
  assert.equal(existsSync(path), false);

  const commit = {
    kind: "commit" as const,
    job,
    expect: null,
    results: results as never,
    counters: { lines: 4 },
    output,
    name: "words",
    code: "0123456789abcdef",
    collections: [""],
  };
  const done = await coordinator.errand({ ...commit, id: "commit-1" });
  assert.equal(done.kind, "committed");
  assert.deepEqual(readdirSync(path).sort(), ["_SUCCESS", "part-00000.tsv", "part-00001.tsv"]);
  const found = ["part-00000.tsv", "part-00001.tsv"].flatMap((part) =>
    readFileSync(join(path, part), "utf8").trimEnd().split("\n"),
  );
  assert.deepEqual(found.sort(), counted);
  assert.deepEqual(readdirSync(join(stage.root, "place")).sort(), ["other", "out"]);

  // Given again under the same number, and as another errand: the same answer, and nothing changes.
  assert.deepEqual(await coordinator.errand({ ...commit, id: "commit-1" }), done);
  assert.deepEqual(await coordinator.errand({ ...commit, id: "commit-2" }), done);
  assert.deepEqual(readdirSync(join(stage.root, "place")).sort(), ["other", "out"]);
});
