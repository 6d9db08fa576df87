import assert from "node:assert/strict";
import { test } from "node:test";
import { damagedFile, damagedInput } from "#src/agent/attempt-report.js";
import type { ErrorCode } from "#src/base/errors.js";
import type { TaskSpec } from "#src/task/task-spec.js";
import { taskFailure } from "#src/worker/failure.js";

const spec: TaskSpec = {
  kind: "reduce",
  index: 0,
  attempt: 1,
  collection: 0,
  partition: 0,
  directory: "/d",
  inputs: [
    { task: 0, attempt: 1, path: "/own" },
    { task: 1, attempt: 2, path: "/pack", window: { offset: 0, bytes: 100 } },
    { task: 2, attempt: 1, path: "/pack", window: { offset: 100, bytes: 50 } },
    { task: 5, attempt: 3, path: "/pack", window: { offset: 150, bytes: 1 } },
    { task: 6, attempt: 1, path: null },
  ],
};

function failed(path: string | null, offset: number | null, code: ErrorCode = "BLOCK_CORRUPT") {
  return taskFailure(code, "it is damaged", { path, offset });
}

test("the map that is made again is the one in whose slice the damage lies", () => {
  for (const [path, offset, task] of [
    ["/own", null, 0],
    ["/own", 1_000_000, 0],
    ["/pack", 0, 1],
    ["/pack", 99, 1],
    ["/pack", 100, 2],
    ["/pack", 149, 2],
    ["/pack", 150, 5],
  ] as const) {
    const failure = failed(path, offset);
    assert.equal(damagedFile(spec, failure), path);
    assert.equal(damagedInput(spec, failure)?.task, task, `${path} at ${offset}`);
  }
});

test("no map is blamed when it cannot be told whose slice it is, or inputs have nothing to do with it", () => {
  for (const [path, offset] of [
    ["/pack", null],
    ["/pack", 151],
  ] as const) {
    assert.equal(damagedFile(spec, failed(path, offset)), "/pack");
    assert.equal(damagedInput(spec, failed(path, offset)), null);
  }
  const own = failed("/own", 0);
  assert.equal(damagedFile(spec, failed("/elsewhere", 0)), null);
  assert.equal(damagedFile(spec, failed(null, 0)), null);
  assert.equal(damagedFile(spec, { ...own, code: "USER_CODE" }), null);
  const map: TaskSpec = {
    kind: "map",
    index: 0,
    attempt: 1,
    split: { index: 0, pieces: [], bytes: 0 },
    directory: "/d",
  };
  assert.equal(damagedFile(map, own), null);
});
