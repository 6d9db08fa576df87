import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "#src/base/random.js";
import type { AttemptView, JobView } from "#src/protocol/job-view.js";
import { shuffled } from "./chaos.js";
import { faultKinds } from "./fault-kinds.js";
import { hostileJobs } from "./hostile-jobs.js";
import { checkAttempts } from "./invariants.js";

const view = { state: "SUCCEEDED", mapTasks: 1, reduceTasks: 1 } as JobView;

function attempt(phase: "map" | "reduce", number: number, more: Partial<AttemptView> = {}): AttemptView {
  return {
    attempt: { job: "j", phase, task: 0, attempt: number },
    agent: "a0",
    incarnation: 1,
    slot: 0,
    backup: false,
    startedMs: 0,
    endedMs: 1,
    state: "SUCCEEDED",
    cause: null,
    outputLost: null,
    stats: null,
    ...more,
  };
}

test("attempts of a job that went well, after losses too, break no rule", () => {
  const lost = { state: "LOST", cause: "its agent was lost" } as const;
  checkAttempts([attempt("map", 1), attempt("reduce", 1)], view);
  checkAttempts([attempt("map", 1, lost), attempt("map", 2), attempt("reduce", 1)], view);
  checkAttempts(
    [attempt("map", 1, { outputLost: "it was damaged" }), attempt("map", 2), attempt("reduce", 1)],
    view,
  );
  checkAttempts([attempt("map", 1, lost)], { ...view, state: "FAILED" });
});

const wrong: readonly [what: string, attempts: readonly AttemptView[], says: RegExp][] = [
  [
    "one runs",
    [attempt("map", 1, { state: "RUNNING", endedMs: null }), attempt("reduce", 1)],
    /without an end/,
  ],
  ["one has no end", [attempt("map", 1, { endedMs: null }), attempt("reduce", 1)], /without an end/],
  [
    "one was lost for no cause",
    [attempt("map", 1, { state: "LOST", cause: "" })],
    /without an end or a cause/,
  ],
  ["one is told twice", [attempt("map", 1), attempt("map", 1), attempt("reduce", 1)], /told twice/],
  ["a task has two results", [attempt("map", 1), attempt("map", 2), attempt("reduce", 1)], /two results/],
  ["a reduce has none", [attempt("map", 1)], /not every reduce/],
  ["a map has none", [attempt("reduce", 1)], /0 !== 1/],
];
for (const [what, attempts, says] of wrong) {
  test(`what chaos looks for is found: ${what}`, () => {
    assert.throws(() => checkAttempts(attempts, view), says);
  });
}

test("a seed is an order of hostile jobs, in which each has its turn; names name one thing", () => {
  const order = (seed: number): string[] => shuffled(hostileJobs, seededRandom(seed)).map(({ name }) => name);
  assert.deepEqual(order(1), order(1));
  assert.notDeepEqual(order(1), order(2));
  assert.deepEqual(order(3).toSorted(), hostileJobs.map(({ name }) => name).toSorted());
  for (const names of [hostileJobs.map(({ name }) => name), faultKinds.map(({ name }) => name)])
    assert.equal(new Set(names).size, names.length);
});
