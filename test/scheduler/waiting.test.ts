import assert from "node:assert/strict";
import { test } from "node:test";
import type { ScheduledJob } from "#src/scheduler/messages.js";
import { viewWait } from "#src/scheduler/view.js";
import { Stage } from "./stage.js";

const forEver = { leaseMs: Number.POSITIVE_INFINITY };
const wait = (stage: Stage): string | null => viewWait(stage.scheduler, "j");

/** What is there before a job of one map waits for 5 seconds, and why it then fails; null: it waits on. */
const cases: readonly [string, (stage: Stage) => void, Partial<ScheduledJob>, string | null][] = [
  ["no agent has ever joined", () => {}, {}, "no agent has joined"],
  [
    "the only agent has left",
    (stage) => {
      stage.join("a");
      stage.lose("a");
    },
    {},
    "no agent is left of a",
  ],
  [
    "the agents are barred by hand or leave",
    (stage) => {
      stage.join("a");
      stage.join("b");
      stage.tell({ kind: "nodeBarredByHand", node: "a", reason: "bad disk" });
      stage.drain("b");
    },
    {},
    "agent a is barred by hand: bad disk; agent b is draining",
  ],
  ["no core was granted", (stage) => stage.join("a"), { grants: {} }, "no core granted"],
  [
    "the granted agent is not there",
    (stage) => stage.join("a"),
    { grants: { b: 2, a: 0 } },
    "agent b is not there",
  ],
  [
    "the input is on agents that are not there",
    (stage) => stage.join("a"),
    { map: [{ pinned: ["x", "y"] }] },
    "map-00000 has its input on x, y; agent x is not there; agent y is not there",
  ],
  [
    "no core of the agent that has the input was granted",
    (stage) => stage.join("a"),
    { map: [{ pinned: ["a"] }], grants: { b: 1 } },
    "map-00000 has its input on a; no core of agent a granted",
  ],
  [
    "there are many agents",
    (stage) => {
      for (const name of ["a", "b", "c", "d", "e"]) {
        stage.join(name);
        stage.drain(name);
      }
    },
    {},
    "agent a is draining; agent b is draining; agent c is draining; and 2 more",
  ],
  [
    "no worker asks",
    (stage) => stage.tell({ kind: "nodeJoined", node: "a", incarnation: 1, slots: 1 }),
    {},
    "no worker of agent a asks for tasks",
  ],
  [
    "other jobs have all slots",
    (stage) => {
      stage.join("a");
      stage.submit({ id: "k", maps: 1, policy: { noProgressMs: 1e9 } });
    },
    {},
    null,
  ],
  [
    "other jobs have all slots of the agents that were granted",
    (stage) => {
      stage.join("a");
      stage.submit({ id: "k", maps: 1, policy: { noProgressMs: 1e9 } });
      stage.join("b");
    },
    { grants: { a: 1 } },
    null,
  ],
  [
    "all cores are granted to other jobs",
    (stage) => {
      stage.join("a", 2);
      stage.submit({ id: "k", maps: 1, policy: { noProgressMs: 1e9 } });
    },
    { grants: {} },
    null,
  ],
];

for (const [name, prepare, plan, why] of cases) {
  test(`a job waits: ${name}`, () => {
    const stage = new Stage(forEver);
    prepare(stage);
    stage.submit({ maps: 1, policy: { stallMs: 5_000, queueTimeoutMs: 5_000 }, ...plan });
    stage.take();
    stage.pass(4_999);
    assert.equal(stage.status(), "RUNNING");
    if (why !== null) assert.equal(wait(stage), why);
    stage.pass(1);
    const said = stage.take().filter((line) => line.startsWith("ended"));
    assert.deepEqual(said, why === null ? [] : [`ended j FAILED: 1 task has waited for 5000 ms: ${why}`]);
  });
}

test("a job whose grants are all in use is not stalled, however long that lasts", () => {
  const stage = new Stage(forEver);
  stage.join("a", 4);
  stage.submit({ maps: 3, grants: { a: 1 }, policy: { stallMs: 10, noProgressMs: 1e9 } });
  stage.pass(100_000);
  assert.equal(stage.states("map"), "2 READY, 1 RUNNING");
  assert.equal(wait(stage), null);
});

test("an agent barred by rule is named with what it did last", () => {
  const stage = new Stage(forEver);
  stage.join("a");
  stage.join("b");
  stage.submit({
    map: [{ pinned: ["a"] }],
    policy: { barAfterFailures: 1, stallMs: 5_000, speculation: false },
  });
  stage.fail("map-00000.1");
  assert.equal(
    wait(stage),
    "map-00000 has its input on a; agent a is barred: 1x failed, last: map-00000.1 failed",
  );
});

test("a job waits for ever when it may", () => {
  const stage = new Stage(forEver);
  stage.submit({ maps: 1 });
  stage.pass(1e9);
  assert.equal(stage.status(), "RUNNING");
  assert.equal(wait(stage), "no agent has joined");
  stage.join("a");
  assert.equal(wait(stage), null);
});
