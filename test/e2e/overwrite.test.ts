import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { count, job, run, words } from "sheaf";
import { isSheafError } from "#src/base/errors.js";
import { tempDir } from "../cli/support.ts";

const counting = job({ input: words(), reduce: count() });

test("--overwrite never removes what the run reads, however the input is named", async (t) => {
  const directory = tempDir(t);
  const data = join(directory, "data");
  mkdirSync(join(data, "deep"), { recursive: true });
  writeFileSync(join(data, "a.txt"), "a b\n");
  writeFileSync(join(data, "deep", "b.txt"), "b c\n");
  symlinkSync(data, join(directory, "link"));
  for (const inputs of ["d*/*.txt", "d*/**/b.txt", "data", "data/a.txt", ".", "link/a.txt", "link/deep"]) {
    const cwd = process.cwd();
    process.chdir(directory);
    try {
      await assert.rejects(
        run(counting, { inputs, output: "data", overwrite: true, stateDirectory: null }),
        (error) =>
          isSheafError(error) && error.code === "OUTPUT_UNWRITABLE" && /would remove/.test(error.message),
        inputs,
      );
    } finally {
      process.chdir(cwd);
    }
    assert.deepEqual(readdirSync(data), ["a.txt", "deep"], inputs);
    assert.equal(readFileSync(join(data, "deep", "b.txt"), "utf8"), "b c\n");
  }
});

test("a run does not read the output that it replaces", async (t) => {
  const directory = tempDir(t);
  writeFileSync(join(directory, "a.txt"), "a b\n");
  const options = {
    inputs: directory,
    output: join(directory, "out"),
    overwrite: true,
    stateDirectory: null,
  };
  await run(counting, options);
  await assert.rejects(run(counting, options), /would remove .*part-00000\.tsv/);
  await run(counting, { ...options, inputs: join(directory, "a.txt") });
  assert.equal(readFileSync(join(directory, "out", "part-00000.tsv"), "utf8"), "a\t1\nb\t1\n");
});
