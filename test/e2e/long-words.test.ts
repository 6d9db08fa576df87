import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { count, job, run, words } from "sheaf";
import { tempDir } from "../cli/support.ts";

test("words larger than the memory of a worker are counted like others", async (t) => {
  const directory = tempDir(t);
  const input = join(directory, "long.txt");
  const long = "a".repeat(9 * 2 ** 20);
  const wide = "é".repeat(5 * 2 ** 20);
  writeFileSync(input, `${long} b b\n${wide}\nb ${long.toUpperCase()}\n`);
  const counting = job({ input: words({ lowerCase: true }), reduce: count() });
  const result = await run(counting, { inputs: input, memory: "8MiB", stateDirectory: null });
  const counts = new Map<string, unknown>();
  for await (const [word, n] of result.records()) counts.set(word as string, n);
  await result.dispose();
  assert.deepEqual(
    [...counts.keys()].map((word) => word.length).sort((a, b) => a - b),
    [1, wide.length, long.length],
  );
  assert.equal(counts.get("b"), 3);
  assert.equal(counts.get(wide), 1);
  assert.equal(counts.get(long), 2);
  assert.equal(result.stats.recordsIn, 6);
});
