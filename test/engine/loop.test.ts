import assert from "node:assert/strict";
import { test } from "node:test";
import { SheafError } from "#src/base/errors.js";
import { EventLoop, memoryJournal } from "#src/engine/loop.js";
import type { Journal } from "#src/engine/loop.js";
import { Scheduler } from "#src/scheduler/scheduler.js";

function loopWith(journal: Journal) {
  const told: unknown[] = [];
  const nothing = (): void => undefined;
  const loop = new EventLoop({
    scheduler: new Scheduler({ keepFacts: true }),
    journal,
    handlers: {
      follow: nothing,
      perform: nothing,
      bug: (error) => told.push(["bug", error]),
      trouble: (error) => told.push(["trouble", error]),
    },
    nowMs: () => 1,
  });
  return { loop, told };
}

const joined = { kind: "nodeJoined", slots: 1, node: "a", incarnation: 1 } as const;

for (const thrown of [new SheafError("INTERNAL", "of a handler"), new TypeError("of a handler")])
  test(`whatever is thrown as an event is taken in is told of: ${thrown.name}`, () => {
    const { loop, told } = loopWith(memoryJournal);
    loop.push(joined, () => {
      throw thrown;
    });
    assert.match(loop.settleQuietly()?.message ?? "", /of a handler/);
    assert.deepEqual(told, [["bug", thrown]]);
  });

test("a journal that cannot be written is told of as trouble, once, and not as a bug", () => {
  const full = new SheafError("DISK_FULL", "no space left");
  const { loop, told } = loopWith({
    ...memoryJournal,
    flush: () => {
      throw full;
    },
  });
  loop.dispatch(joined);
  assert.equal(loop.settleQuietly(), full);
  assert.deepEqual(told, [["trouble", full]]);
});

test("a loop that is closed says so, and nothing is a bug", () => {
  const { loop, told } = loopWith(memoryJournal);
  loop.close();
  loop.dispatch(joined);
  assert.equal(loop.settleQuietly()?.code, "UNREACHABLE");
  assert.deepEqual(told, []);
});
