import assert from "node:assert/strict";
import { test } from "node:test";
import { stopOnSignal } from "#src/cli/world.js";
import type { World } from "#src/cli/world.js";

test("the first signal aborts and says how to kill, the second kills, and after release neither happens", () => {
  const said: string[] = [];
  let ended = 0;
  let died: string | undefined;
  let callback: ((signal: NodeJS.Signals) => void) | undefined;
  const world = {
    onSignal(given: (signal: NodeJS.Signals) => void) {
      callback = given;
      return () => (callback = undefined);
    },
    die: (signal: string) => (died = signal),
  } as unknown as World;
  const reporter = {
    onEvent: () => undefined,
    say: (text: string) => void said.push(text),
    end: () => void ended++,
  };

  const stop = stopOnSignal(reporter, world);
  assert.equal(stop.by(), undefined);
  callback!("SIGINT");
  assert.equal(stop.by(), "Ctrl-C");
  assert.ok(stop.signal.aborted);
  assert.deepEqual(said, ["stopping, and removing what was written (Ctrl-C again kills at once)"]);
  assert.equal(died, undefined);
  callback!("SIGTERM");
  assert.equal(died, "SIGTERM");
  assert.equal(ended, 1);
  stop.release();
  assert.equal(callback, undefined);
});
