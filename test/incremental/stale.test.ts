import assert from "node:assert/strict";
import { copyFileSync, renameSync, rmSync, statSync, symlinkSync, unlinkSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Days } from "./support.ts";

/*
 * What users of tools that go by times, names or the job's own file have found stale: after each of these the
 * output is that of a full run, in which the order of the files shows.
 */
test("nothing that other tools have missed, or done in vain, makes a stale result or a needless map", async (t) => {
  const days = new Days(
    t,
    `import { collect, job, text } from "sheaf";
     import { mark } from "./lib.ts";
     import data from "./data.json" with { type: "json" };
     export default job({
       params: { a: "x", b: "y" },
       input: text(),
       map: (line, emit, ctx) => emit(line[0]!, line + mark + data.k + ctx.params.a + ctx.params.b),
       reduce: collect(),
     });`,
  );
  const at = (name: string): string => join(days.logs, name);
  const write = (name: string, text: string): string => days.file(`logs/${name}`, text);
  days.file("lib.ts", 'export const mark = "!";');
  days.file("data.json", '{"k":1}');
  for (const name of ["a", "b", "c"]) write(name, `${name}1\n${name}2\nz${name}\n`);
  let options = {};
  const steps: [what: string, mapped: number, change: () => void][] = [
    ["nothing", 27, () => undefined],
    ["nothing again", 0, () => undefined],
    ["a module that the job imports", 27, () => void days.file("lib.ts", 'export const mark = "?";')],
    ["JSON that it imports", 27, () => void days.file("data.json", '{"k":2}')],
    ["params", 27, () => void (options = { params: { b: "q", a: "p" } })],
    ["params in another order", 0, () => void (options = { params: { a: "p", b: "q" } })],
    [
      "other content of the same size, with its times set back",
      9,
      () => {
        const { atime, mtime } = statSync(at("a"));
        write("a", "a1\na9\nza\n");
        utimesSync(at("a"), atime, mtime);
      },
    ],
    ["times of 1970, and of 2096", 0, () => [1, 4e9].forEach((s, i) => utimesSync(at("ab"[i]!), s, s))],
    [
      "two files that change their names",
      0,
      () => {
        renameSync(at("a"), at("t"));
        renameSync(at("b"), at("a"));
        renameSync(at("t"), at("b"));
      },
    ],
    ["a copy of a file", 0, () => copyFileSync(at("c"), at("d"))],
    ["one of two equal files less", 0, () => unlinkSync(at("c"))],
    ["a link", 6, () => symlinkSync(days.file("else/1", "s1\nzs\n"), at("link"))],
    [
      "the same link to another file of the same size and times",
      6,
      () => {
        const { atime, mtime } = statSync(at("link"));
        const other = days.file("else/2", "s2\nzt\n");
        utimesSync(other, atime, mtime);
        unlinkSync(at("link"));
        symlinkSync(other, at("link"));
      },
    ],
    ["an empty file", 0, () => void write("empty", "")],
    ["which is filled", 3, () => void write("empty", "e1\n")],
    ["hidden files", 0, () => ["_tmp", ".hidden"].forEach((name) => write(name, "u\n"))],
  ];
  for (const [what, mapped, change] of steps) {
    change();
    assert.equal((await days.same(options)).bytesIn, mapped, what);
  }

  // What an earlier run has kept need not be there any more; what is to be mapped must.
  write("new", "n1\n");
  const gone = await days.run(days.job, {
    on: "inline",
    inputs: days.logs,
    incremental: true,
    ...options,
    onEvent: ({ kind }) => {
      if (kind === "planned") rmSync(at("new"));
    },
  });
  assert.equal(gone.error?.code, "INPUT_CHANGED");
  assert.equal((await days.same(options)).bytesIn, 0);
});
