import assert from "node:assert/strict";
import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
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
