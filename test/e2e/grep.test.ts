import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { grep, job, run, text } from "sheaf";
import { seededRandom } from "#src/base/random.js";
import { tempDir } from "../cli/support.ts";

const byText = job({ input: text(), map: grep("ab"), output: text() });
const byExpression = job({ input: text(), map: grep(/ab/), output: text() });
const without = job({ input: text(), map: grep("ab", { invert: true }), output: text() });

function randomText(seed: number, size: number): string {
  const random = seededRandom(seed);
  const alphabet = ["a", "b", "b", "ab", " ", "\n", "\r\n", "\r", "é", "𝒳"];
  let made = "";
  while (made.length < size) made += alphabet[random.below(alphabet.length)]!;
  return made;
}

function linesOf(made: string): string[] {
  const lines = made.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const ended = made.endsWith("\n") ? lines.length : lines.length - 1;
  return lines.map((line, i) => (i < ended && line.endsWith("\r") ? line.slice(0, -1) : line));
}

function outputOf(directory: string): string {
  const parts = readdirSync(directory).filter((name) => name.startsWith("part-"));
  return parts
    .sort()
    .map((name) => readFileSync(join(directory, name), "utf8"))
    .join("");
}

test("grep finds the same lines in bytes as in strings, for any split size", async (t) => {
  const directory = tempDir(t);
  for (let seed = 1; seed <= 8; seed++) {
    const made = randomText(seed, 250);
    const input = join(directory, `in-${seed}.txt`);
    writeFileSync(input, made);
    const wanted = linesOf(made).filter((line) => line.includes("ab"));
    for (const [name, found] of [
      ["text", byText],
      ["expression", byExpression],
    ] as const) {
      for (const splitSize of [7, 64, 100_000]) {
        const output = join(directory, `out-${seed}-${name}-${splitSize}`);
        const result = await run(found, { inputs: input, output, splitSize, stateDirectory: null });
        assert.equal(
          outputOf(output),
          wanted.map((line) => `${line}\n`).join(""),
          `seed ${seed}, ${name}, ${splitSize}`,
        );
        assert.equal(result.stats.recordsIn, linesOf(made).length, `lines read, seed ${seed}`);
      }
    }
    const output = join(directory, `rest-${seed}`);
    await run(without, { inputs: input, output, stateDirectory: null });
    const rest = linesOf(made).filter((line) => !line.includes("ab"));
    assert.equal(outputOf(output), rest.map((line) => `${line}\n`).join(""), `seed ${seed}, inverted`);
  }
});

test("grep in bytes reads compressed files and refuses invalid UTF-8 with the line's offset", async (t) => {
  const directory = tempDir(t);
  const packed = join(directory, "in.txt.gz");
  writeFileSync(packed, gzipSync("one ab\ntwo\nab three"));
  const output = join(directory, "out");
  await run(byText, { inputs: packed, output, stateDirectory: null });
  assert.equal(outputOf(output), "one ab\nab three\n");

  const broken = join(directory, "broken.txt");
  writeFileSync(
    broken,
    Buffer.concat([Buffer.from("fine ab\nbad "), Buffer.from([0xff]), Buffer.from(" ab\n")]),
  );
  await assert.rejects(
    run(byText, { inputs: broken, output: join(directory, "none"), attempts: 1, stateDirectory: null }),
    (error: Error) => error.message.includes("offset 8") || /:8\b/.test(error.message),
  );
});
