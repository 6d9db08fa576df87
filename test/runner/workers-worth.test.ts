import assert from "node:assert/strict";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { workersWorth } from "#src/runner/workers-worth.js";

test("workers are started ahead for large files only, and for what can be seen at a glance", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "sheaf-test-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const large = join(directory, "large");
  const small = join(directory, "small");
  writeFileSync(small, "a few words\n");
  writeFileSync(large, "");
  truncateSync(large, 40 * 2 ** 20);
  assert.equal(workersWorth([small]), 0);
  assert.equal(workersWorth([large]), 2);
  assert.equal(workersWorth([small, large, large]), 5);
  assert.equal(workersWorth(["-", directory, join(directory, "l*"), join(directory, "gone"), "\0"]), 0);
});
