import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Turns } from "#src/rest/turns.js";

test("while connections come few requests begin in each turn; then all of them, in the order they came", async () => {
  const turns = new Turns();
  const begun: number[] = [];
  const take = (request: number): void => turns.take(() => begun.push(request));
  take(0);
  assert.equal(begun.length, 1, "an idle server begins at once");
  let came = 1;
  for (let turn = 0; turn < 5; turn++) {
    const before = begun.length;
    turns.connected();
    for (let more = 0; more < 10; more++) take(came++);
    await nextTurn();
    assert.ok(begun.length > before && begun.length <= before + 4, `${begun.length - before} in a turn`);
  }
  assert.ok(begun.length < 25);
  for (let turn = 0; turn < 3; turn++) await nextTurn();
  assert.deepEqual(
    begun,
    Array.from({ length: came }, (_, index) => index),
  );
  take(came);
  assert.equal(begun.at(-1), came);
});
