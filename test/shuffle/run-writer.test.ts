import assert from "node:assert/strict";
import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { TaskMemory } from "#src/shuffle/memory.js";
import { RunWriter } from "#src/shuffle/run-writer.js";
import { identity, tempDir } from "./support.js";

test("giving up a finished run file leaves alone the file that has its descriptor by then", (t) => {
  const directory = tempDir(t);
  const probe = openSync(join(directory, "probe"), "w");
  closeSync(probe);
  const writer = new RunWriter(join(directory, "x.run"), identity);
  writer.finish();
  const other = openSync(join(directory, "other"), "w");
  assert.equal(other, probe, "the system gives out the lowest free descriptor");
  writer.abandon();
  assert.equal(writeSync(other, "still open"), 10);
  closeSync(other);
});

test("what a worker's memory once grew by is no part of the next task's budget", () => {
  const memory = new TaskMemory(1 << 20);
  const { free } = memory;
  assert.ok(free >= 1 << 20);
  memory.take(8 << 20);
  assert.equal(memory.free, 0);
  memory.reset();
  assert.equal(memory.free, free);
  // And it need not grow again.
  const { bytes } = memory;
  memory.take(8 << 20);
  assert.equal(memory.bytes, bytes);
});
