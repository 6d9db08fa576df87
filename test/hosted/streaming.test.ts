import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { sheafHere } from "../cli/support.js";
import { javaMissing } from "../kit/jars.ts";
import { cases, root } from "./streaming-cases.ts";
import { StreamingLab } from "./streaming-lab.ts";

/* `sheaf stream` against Hadoop Streaming itself: the same words, the same inputs, the same lines. */

const skip = javaMissing("HADOOP STREAMING", "local") ?? false;
if (skip !== false) console.error(skip);

after(() => rmSync(root, { recursive: true, force: true }));

function partsOf(output: string): string[][] {
  return readdirSync(output)
    .filter((name) => name.startsWith("part-"))
    .sort()
    .map((name) => readFileSync(join(output, name), "latin1").split("\n").slice(0, -1))
    .map((lines) => lines.map(withoutAddedTab));
}

/** A line that was all key has got a separator from Hadoop on its way. */
function withoutAddedTab(line: string): string {
  return line.replace(/[\t|#]+$/, "");
}

suite("sheaf stream and Hadoop Streaming", { skip }, () => {
  let lab: StreamingLab;
  before(() => {
    lab = new StreamingLab(join(root, "lab"));
  });
  after(() => lab.close());

  for (const [at, { name, input, words: given, by }] of cases.entries()) {
    test(name, async () => {
      const [theirs, ours] = [join(root, `hadoop-${at}`), join(root, `sheaf-${at}`)];
      await lab.run([...given, "-input", input, "-output", theirs]);
      const words = [
        "stream",
        "-q",
        ...given,
        "-input",
        input,
        "-output",
        ours,
        "--inline",
        "--attempts",
        "1",
      ];
      const { code, stderr } = await sheafHere(words, { cwd: root });
      assert.equal(code, 0, stderr);
      const [expected, found] = [partsOf(theirs), partsOf(ours)];
      if (by === undefined) return assert.deepEqual(found, expected);
      assert.equal(found.length, expected.length);
      assert.deepEqual(found.flat().sort(), expected.flat().sort());
      if (found.length === 1) return assert.deepEqual(found[0]!.map(by), expected[0]!.map(by));
      // Which part a key is in differs. It is in one.
      for (const parts of [found, expected]) {
        const groups: string[] = parts.flatMap((lines) => [...new Set(lines.map(by))]);
        assert.equal(new Set(groups).size, groups.length);
      }
    });
  }
});
