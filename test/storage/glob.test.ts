import fc from "fast-check";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { expandBraces, globMatches, localGlobWorld, parseGlob, patternBase } from "#src/storage/glob.js";
import { directory } from "../format/support.ts";

/** Letters of names and patterns; a name may be any of these but "/". */
const NAMES = fc.array(
  fc.constantFrom(
    "a",
    "b",
    "ab",
    "A",
    "1",
    "2",
    ".",
    "-",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "!",
    "*",
    "?",
    " ",
    ",",
    "\\",
    "é",
    "😀",
  ),
  {
    minLength: 1,
    maxLength: 4,
  },
);
const usable = (name: string): boolean => name !== "." && name !== "..";

/** Pieces of patterns; in bash what is not of the shell's own language is written with a backslash. */
const PIECES = fc.constantFrom(
  ..."a b A 1 2 . - * * ? ** [ab] [!a] [^b] [a-z] [z-a] []a] [!]] [a ] [-a] [*] [.] ! ^ /".split(" "),
  ..."[[:digit:]] [[:alpha:]] [[:upper:]] [\\]a] [a\\-z] {a,b} {a,} {1..3} {a } {a} {} , {a,{b,1}} {3..1}".split(
    " ",
  ),
  ..."\\* \\? \\[ \\{ \\} \\\\ \\a ( ) é 😀".split(" "),
  " ",
);

const forBash = (pattern: string): string => pattern.replaceAll(/[() ]/g, String.raw`\$&`);

/** What bash makes of each pattern, in one go: the names that exist, sorted. */
function bash(cwd: string, patterns: readonly string[]): string[][] {
  const script = [
    "shopt -s nullglob; shopt -u extglob globstar; LC_ALL=C.UTF-8",
    ...patterns.map(
      (pattern) =>
        `for one in ${forBash(pattern)}; do [ -e "$one" ] && printf '%s\\0' "$one"; done; printf '\\0'`,
    ),
  ].join("\n");
  const printed = execFileSync("bash", ["--norc", "-c", script], {
    cwd,
    encoding: "utf8",
    env: { ...process.env, LC_ALL: "C.UTF-8" },
  });
  const answers: string[][] = [[]];
  for (const one of printed.split("\0").slice(0, -1)) {
    if (one === "") answers.push([]);
    else answers.at(-1)!.push(one);
  }
  return answers.slice(0, -1).map((found) => [...new Set(found)].toSorted());
}

async function ours(cwd: string, pattern: string): Promise<string[]> {
  const found: string[] = [];
  for (const word of expandBraces(pattern).filter((one) => one !== ""))
    found.push(...(await globMatches(parseGlob(word), localGlobWorld(cwd))));
  return [...new Set(found)].toSorted();
}

test("over any names, patterns match what they match in bash", async (t) => {
  const trees = fc.sample(
    fc.uniqueArray(NAMES.map((some) => some.join("")).filter(usable), { minLength: 60, maxLength: 60 }),
    { numRuns: 3, seed: 7 },
  );
  for (const names of trees) {
    const cwd = directory(t);
    for (const [i, name] of names.entries()) {
      if (i % 5 !== 0) writeFileSync(join(cwd, name), "");
      else {
        mkdirSync(join(cwd, name));
        for (const inner of names.slice(i, i + 8)) writeFileSync(join(cwd, name, inner), "");
      }
    }
    const seed = 1 + Math.floor(Math.random() * 2 ** 31);
    const patterns = fc
      .sample(fc.array(PIECES, { minLength: 1, maxLength: 6 }), { numRuns: 1500, seed })
      .map((some) => some.join(""))
      // "**" as a whole name is ours alone; an absolute pattern leads out of the tree; [.x.] is not read.
      .filter(
        (pattern) =>
          !pattern.startsWith("/") &&
          !/\[[^\]]*\[[.=]/.test(pattern) &&
          !expandBraces(pattern).some((word) => /(^|\/)\*\*+(\/|$)/.test(word)),
      );
    const expected = bash(cwd, patterns);
    for (const [i, pattern] of patterns.entries()) {
      assert.deepEqual(await ours(cwd, pattern), expected[i], `pattern ${pattern}, seed ${seed}`);
    }
  }
});

test("braces make the words they make in bash", () => {
  const pieces = fc.constantFrom(
    "a",
    "b",
    "{",
    "}",
    ",",
    "..",
    "{1..3}",
    "{03..1}",
    "{a..e..2}",
    "{-1..1}",
    "{1..a}",
    "{x,y}",
    "\\{",
    "\\,",
    "1",
    "$",
  );
  const seed = 1 + Math.floor(Math.random() * 2 ** 31);
  const words = fc.sample(
    fc.array(pieces, { minLength: 1, maxLength: 8 }).map((some) => some.join("")),
    { numRuns: 1500, seed },
  );
  // Words of no characters are none in bash.
  const script = words.map((word) => {
    const escaped = word.replaceAll("\\", "\\\\\\").replaceAll("$", "\\$");
    return `printf '%s\\n' ${escaped} ';'`;
  });
  const printed = execFileSync("bash", ["--norc", "-c", script.join("\n")], { encoding: "utf8" });
  const expected = printed.split(";\n").map((lines) => lines.split("\n").filter((line) => line !== ""));
  for (const [i, word] of words.entries()) {
    const made = expandBraces(word).filter((one) => one !== "");
    assert.deepEqual(made, expected[i], `word ${word}, seed ${seed}`);
  }
});

test("what lies above all that a pattern matches; a path is no pattern for a sign that means nothing in one", () => {
  for (const [path, base] of [
    ["/data/logs/*.gz", "/data/logs"],
    ["/data/log*/x", "/data"],
    ["/*", "/"],
    ["/data/{a,b}/c", "/data"],
    ["/data/x[12]", "/data"],
    ["/data/a\\*b", "/data"],
    ["/data/(copy) @home+1!/in.txt", "/data/(copy) @home+1!/in.txt"],
    ["/data/@home/*.txt", "/data/@home"],
    ["plain", "plain"],
  ] as const)
    assert.equal(patternBase(path), base, path);
});
