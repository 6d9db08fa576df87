import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { failedSlices } from "#src/coordinator/failed-slices.js";
import { ResultFiles } from "#src/coordinator/results.js";

test("what an agent has handed in of a failed reduce is taken as it is told, or told why not", (t) => {
  const root = mkdtempSync(join(tmpdir(), "sheaf-slices-test-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const attempt = "reduce-00002.4";
  const directory = join(root, "results", attempt);
  mkdirSync(directory, { recursive: true });
  const results = new ResultFiles(root);
  const missingFor = (list: string | object): string | null => {
    writeFileSync(join(directory, "slices.json"), typeof list === "string" ? list : JSON.stringify(list));
    const { inputs, missing } = failedSlices(results, attempt);
    if (missing !== null) assert.deepEqual(inputs, []);
    return missing;
  };
  assert.match(failedSlices(results, attempt).missing!, /has handed in none/);
  const slice = { task: 3, attempt: 1, offset: 0, bytes: 60 };
  const good = { inputs: [slice, { ...slice, task: 5, offset: 60, bytes: 40 }], missing: null };
  // There is no pack yet.
  assert.match(missingFor(good)!, /cut short/);
  writeFileSync(join(directory, "slices.pack"), Buffer.alloc(100));
  assert.equal(missingFor(good), null);
  const path = join(directory, "slices.pack");
  assert.deepEqual(failedSlices(results, attempt).inputs, [
    { task: 3, attempt: 1, path, window: { offset: 0, bytes: 60 } },
    { task: 5, attempt: 1, path, window: { offset: 60, bytes: 40 } },
  ]);
  assert.equal(missingFor({ inputs: [], missing: "too much" }), "too much");
  assert.equal(missingFor({ inputs: [], missing: null }), null);
  const cases: readonly (readonly [string | object, RegExp])[] = [
    ["{", /cannot be read/],
    ["null", /damaged/],
    ["[]", /damaged/],
    [{ inputs: [] }, /damaged/],
    [{ inputs: [{ ...slice, offset: -1 }], missing: null }, /damaged/],
    [{ inputs: [{ ...slice, path: "/etc/passwd" }], missing: null }, /damaged/],
    [{ inputs: [{ ...slice, bytes: 101 }], missing: null }, /cut short/],
    [{ inputs: [{ ...slice, offset: 41 }], missing: null }, /cut short/],
  ];
  for (const [list, expected] of cases) assert.match(missingFor(list)!, expected, JSON.stringify(list));
  assert.match(failedSlices(results, "../../x").missing!, /cannot be read/);
});
