import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemFailure } from "#src/scheduler/ids.js";
import { nextTaskState, NO_TALLY, type TaskEvent, type TaskState } from "#src/scheduler/task-state.js";

const failure = systemFailure("INTERNAL", "some failure");
const tally = NO_TALLY;
const states: readonly TaskState[] = [
  { kind: "BLOCKED", tally },
  { kind: "READY", tally },
  { kind: "RUNNING", tally, attempts: [1], granted: null },
  { kind: "RUNNING", tally, attempts: [1, 2], granted: 2 },
  { kind: "FINISHED", tally, attempt: 1 },
  { kind: "FAILED", tally, failure },
  { kind: "CANCELLED", tally },
];
const [blocked, ready, running, both, finished, failed, cancelled] = states as [
  TaskState,
  TaskState,
  TaskState,
  TaskState,
  TaskState,
  TaskState,
  TaskState,
];

const cases: readonly [string, TaskState, TaskEvent, TaskState["kind"] | "same"][] = [
  ["opens", blocked, { kind: "unblock" }, "READY"],
  ["closes", ready, { kind: "block" }, "BLOCKED"],
  ["is not closed while it runs", running, { kind: "block" }, "same"],
  ["starts", ready, { kind: "start", attempt: 1 }, "RUNNING"],
  ["does not start blocked", blocked, { kind: "start", attempt: 1 }, "same"],
  ["does not start the same attempt twice", running, { kind: "start", attempt: 1 }, "same"],
  ["finishes", running, { kind: "finish", attempt: 1 }, "FINISHED"],
  ["does not finish by a strange attempt", running, { kind: "finish", attempt: 7 }, "same"],
  ["does not finish by one that was not granted", both, { kind: "finish", attempt: 1 }, "same"],
  ["finishes by the one that was", both, { kind: "finish", attempt: 2 }, "FINISHED"],
  ["does not finish twice", finished, { kind: "finish", attempt: 1 }, "same"],
  ["is not granted twice", both, { kind: "grant", attempt: 1 }, "same"],
  ["is tried again", running, { kind: "fail", attempt: 1, failure, limit: 4, open: true }, "READY"],
  [
    "waits when its input is gone",
    running,
    { kind: "fail", attempt: 1, failure, limit: 4, open: false },
    "BLOCKED",
  ],
  ["fails at the limit", running, { kind: "fail", attempt: 1, failure, limit: 1, open: true }, "FAILED"],
  [
    "goes on in the other attempt",
    both,
    { kind: "fail", attempt: 2, failure, limit: 4, open: true },
    "RUNNING",
  ],
  [
    "fails at the limit though another runs",
    both,
    { kind: "fail", attempt: 2, failure, limit: 1, open: true },
    "FAILED",
  ],
  ["is lost", running, { kind: "lose", attempt: 1, failure, limit: 9, open: true }, "READY"],
  ["is lost once too often", running, { kind: "lose", attempt: 1, failure, limit: 1, open: true }, "FAILED"],
  [
    "is not lost by a strange attempt",
    running,
    { kind: "lose", attempt: 3, failure, limit: 1, open: true },
    "same",
  ],
  ["is released", running, { kind: "release", attempt: 1, open: true }, "READY"],
  ["loses its output", finished, { kind: "outputLost", attempt: 1, failure, limit: 9 }, "READY"],
  ["loses no other's output", finished, { kind: "outputLost", attempt: 2, failure, limit: 9 }, "same"],
  [
    "is unreadable too often",
    finished,
    { kind: "outputUnreadable", attempt: 1, failure, limit: 1 },
    "FAILED",
  ],
  ["starts over", finished, { kind: "startOver", attempt: 1, open: true }, "READY"],
  [
    "starts over when its input is there",
    finished,
    { kind: "startOver", attempt: 1, open: false },
    "BLOCKED",
  ],
  [
    "does not start over for another attempt",
    finished,
    { kind: "startOver", attempt: 2, open: true },
    "same",
  ],
  ["does not start over while it runs", running, { kind: "startOver", attempt: 1, open: true }, "same"],
  ["is not settled without an earlier output", ready, { kind: "settle" }, "same"],
  ["is cancelled", running, { kind: "cancel" }, "CANCELLED"],
  ["stays finished", finished, { kind: "cancel" }, "same"],
  ["stays failed", failed, { kind: "cancel" }, "same"],
  ["stays cancelled", cancelled, { kind: "unblock" }, "same"],
];

for (const [name, state, event, expected] of cases) {
  test(`a task ${state.kind} ${name} on ${event.kind}`, () => {
    const after = nextTaskState(state, event);
    if (expected === "same") assert.equal(after, state);
    else assert.equal(after.kind, expected);
  });
}

test("a grant ends with the attempt that had it", () => {
  const after = nextTaskState(both, { kind: "lose", attempt: 2, failure, limit: 9, open: true });
  assert.deepEqual(after.kind === "RUNNING" && [after.attempts, after.granted], [[1], null]);
});

test("only failures use up attempts, only losses count as such", () => {
  const failedOnce = nextTaskState(running, { kind: "fail", attempt: 1, failure, limit: 4, open: true });
  const lostOnce = nextTaskState(running, { kind: "lose", attempt: 1, failure, limit: 4, open: true });
  const released = nextTaskState(running, { kind: "release", attempt: 1, open: true });
  assert.deepEqual(failedOnce.tally, { ...tally, failures: 1 });
  assert.deepEqual(lostOnce.tally, { ...tally, losses: 1 });
  assert.deepEqual(released.tally, tally);
});

test("a lost output that is needed no more counts as finished by the attempt that made it", () => {
  const lost = nextTaskState({ ...finished, attempt: 3 } as TaskState, {
    kind: "outputLost",
    attempt: 3,
    failure,
    limit: 9,
  });
  const again = nextTaskState(lost, { kind: "start", attempt: 4 });
  assert.deepEqual(nextTaskState(again, { kind: "settle" }), {
    kind: "FINISHED",
    tally: lost.tally,
    attempt: 3,
  });
});

const attempt = fc.integer({ min: 1, max: 3 });
const limit = fc.integer({ min: 1, max: 3 });
const open = fc.boolean();
const anyEvent: fc.Arbitrary<TaskEvent> = fc.oneof(
  fc.constantFrom<TaskEvent>({ kind: "unblock" }, { kind: "block" }, { kind: "settle" }, { kind: "cancel" }),
  fc.record({ kind: fc.constantFrom("start", "grant", "finish"), attempt }) as fc.Arbitrary<TaskEvent>,
  fc.record({
    kind: fc.constantFrom("fail", "lose"),
    attempt,
    failure: fc.constant(failure),
    limit,
    open,
  }) as fc.Arbitrary<TaskEvent>,
  fc.record({ kind: fc.constantFrom("release", "startOver"), attempt, open }) as fc.Arbitrary<TaskEvent>,
  fc.record({
    kind: fc.constantFrom("outputLost", "outputUnreadable"),
    attempt,
    failure: fc.constant(failure),
    limit,
  }) as fc.Arbitrary<TaskEvent>,
);

test("whatever happens, the state is sound, counts never fall, and FAILED and CANCELLED are for ever", () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 60 }), (events) => {
      let state: TaskState = blocked;
      for (const event of events) {
        const frozen = Object.freeze(state);
        const after = nextTaskState(frozen, event);
        if (state.kind === "FAILED" || state.kind === "CANCELLED") assert.equal(after, state);
        assert.ok(after.tally.failures >= state.tally.failures && after.tally.losses >= state.tally.losses);
        if (after.kind === "RUNNING") {
          assert.ok(after.attempts.length > 0);
          assert.equal(new Set(after.attempts).size, after.attempts.length);
          assert.ok(after.granted === null || after.attempts.includes(after.granted));
        }
        state = after;
      }
    }),
  );
});
