import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { generators } from "#src/generate/index.js";
import { sheafHere, tempDir } from "./support.js";

test("gen writes every kind, the same to a file and to a pipe", async (t) => {
  const cwd = tempDir(t);
  for (const { kind } of generators) {
    const toFile = await sheafHere(["gen", kind, `${kind}.data`, "--size", "10k", "--seed", "5"], { cwd });
    assert.equal(toFile.code, 0, toFile.stderr);
    assert.equal(toFile.stdout, "");
    assert.match(toFile.stderr, new RegExp(`^${kind}\\.data: \\d.* KiB in `));
    const toPipe = await sheafHere(["gen", kind, "--size=10k", "--seed=5"], { cwd });
    assert.equal(toPipe.stdout, readFileSync(join(cwd, `${kind}.data`), "utf8"));
    assert.ok(Buffer.byteLength(toPipe.stdout) >= 10 * 1024);
  }
  assert.equal(readdirSync(cwd).length, generators.length);
});

test("gen takes a record count and options of the kind", async () => {
  const { stdout } = await sheafHere(["gen", "text", "--records", "3", "--set", "words=1"]);
  assert.equal(stdout.split("\n").length, 4);
  assert.equal(new Set(stdout.toLowerCase().match(/[a-z]+/g)).size, 1);
});

test("gen refuses what makes no sense, and leaves an existing file alone", async (t) => {
  const cwd = tempDir(t);
  writeFileSync(join(cwd, "there"), "mine");
  const cases: readonly [readonly string[], number, RegExp][] = [
    [["gen", "text", "out"], 2, /no size is given/],
    [
      ["gen", "text", "out", "-n", "1", "--set", "wrods=2"],
      2,
      /no option "wrods" \[USAGE\]\n  Did you mean "words"\?/,
    ],
    [["gen", "text", "out", "-n", "1", "--set", "words=many"], 2, /"many" is not a number/],
    [["gen", "text", "there", "-n", "1"], 1, /there exists \[OUTPUT_EXISTS\]/],
    [
      ["gen", "text", "no/such/directory", "-n", "1"],
      1,
      /cannot be written \(ENOENT\) \[OUTPUT_UNWRITABLE\]/,
    ],
  ];
  for (const [words, code, said] of cases) {
    const result = await sheafHere(words, { cwd });
    assert.equal(result.code, code, words.join(" "));
    assert.match(result.stderr, said);
  }
  assert.equal(readFileSync(join(cwd, "there"), "utf8"), "mine");
  assert.ok(!existsSync(join(cwd, "out")));
  const replaced = await sheafHere(["gen", "text", "there", "-n", "1", "--overwrite", "-q"], { cwd });
  assert.equal(replaced.code, 0);
  assert.equal(replaced.stderr, "");
  assert.notEqual(readFileSync(join(cwd, "there"), "utf8"), "mine");
  assert.deepEqual(readdirSync(cwd), ["there"]);
});
