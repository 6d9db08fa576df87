import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tempDir } from "../cli/support.ts";
import { asLines, generated, linesOf, runExample, tally } from "./support.ts";

const book = generated("text", { seed: 11, bytes: 400_000, options: { "non-ascii": 0.05 } });
const other = generated("text", { seed: 12, bytes: 100_000, options: { "non-ascii": 0.05 } });

for (const example of ["wordcount.ts", "words.ts"]) {
  test(`${example} counts the words of two files`, async (t) => {
    const expected = tally((book + other).match(/\p{L}+/gu)!);
    const { lines } = await runExample(t, example, { "book.txt": book, "other.txt": other });
    assert.deepEqual(lines().toSorted(), asLines(expected));
  });
}

test("inverted-index.ts lists the files of every word", async (t) => {
  const files = { "a.txt": "One two.\nTwo three\n", "b.txt": "two été\n", "c.txt": other.slice(0, 20_000) };
  const expected = new Map<string, string[]>();
  for (const [file, text] of Object.entries(files)) {
    for (const word of new Set(text.toLowerCase().match(/\p{L}+/gu))) {
      expected.set(word, [...(expected.get(word) ?? []), file]);
    }
  }
  const run = await runExample(t, "inverted-index.ts", files);
  const got = new Map([...run.table()].map(([word, list]) => [word, list.split("\t")]));
  assert.deepEqual(got, expected);
});

test("grep.ts keeps the matching lines in order and counts them", async (t) => {
  const expected = linesOf(book).filter((line) => /sh?[aeiou]ck/u.test(line));
  assert.ok(expected.length > 10 && expected.length < linesOf(book).length);
  const flags = ["--set", "pattern=sh?[aeiou]ck", "--split-size", "50000"];
  const run = await runExample(t, "grep.ts", { "book.txt": book }, flags);
  assert.deepEqual(run.lines(), expected);
  assert.match(run.stderr, new RegExp(`matched\\D+${expected.length}`));
});

test("sort.ts gives the bytes of LC_ALL=C sort, however many parts", async (t) => {
  const records = generated("terasort", { seed: 3, records: 3000 });
  const input = `${records}${records.slice(0, 20_000)}\n\nété\nÉté\n日本\n${"\u{1f600}"}\n\uffee\n`;
  const file = join(tempDir(t), "input");
  writeFileSync(file, input);
  const expected = execFileSync("sort", [file], { env: { ...process.env, LC_ALL: "C" }, maxBuffer: 1 << 26 });
  for (const flags of [[], ["--partitions", "5", "--split-size", "40000"]]) {
    const run = await runExample(t, "sort.ts", { "in.txt": input }, flags);
    assert.equal(run.lines().join("\n"), expected.toString("utf8").slice(0, -1));
  }
});

test("descending-sort.ts sorts numbers from the largest to the smallest, however many parts", async (t) => {
  const numbers = Array.from({ length: 4000 }, (_, i) => ((i * 7919) % 4001) * [1, -1, 0.125, 1e-7][i % 4]!);
  const input = `${numbers.join("\n")}\n-1e21\n  007\n1e300`;
  const expected = [...numbers, -1e21, 7, 1e300].sort((a, b) => b - a).map((number) => String(number + 0));
  for (const flags of [[], ["--partitions", "4", "--split-size", "9000"]]) {
    const run = await runExample(t, "descending-sort.ts", { "in.txt": input }, flags);
    assert.deepEqual(run.lines(), expected);
  }
});
