import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { linkSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { listInput } from "#src/storage/list-input.js";
import { directory } from "../format/support.ts";

function tree(root: string, names: readonly string[]): void {
  for (const name of names) {
    mkdirSync(join(root, name, ".."), { recursive: true });
    writeFileSync(join(root, name), name);
  }
}

test("a directory is its regular files, sorted by bytes, without hidden ones", async (t) => {
  const cwd = directory(t);
  tree(cwd, [
    "d/b",
    "d/a/z",
    "d/Z",
    "d/é",
    "d/.hidden",
    "d/_SUCCESS",
    "d/_bad/x",
    "d/a-",
    "d/😀",
    "d/\uffee",
  ]);
  const names = (await listInput(["d"], { cwd })).map(({ name }) => name);
  assert.deepEqual(names, ["d/Z", "d/a-", "d/a/z", "d/b", "d/é", "d/\uffee", "d/😀"]);
});

test("files named twice are read once, in an order that does not depend on how they were named", async (t) => {
  const cwd = directory(t);
  tree(cwd, ["d/a", "d/b", "c"]);
  const one = await listInput(["d/b", "d", "./c", "d/*"], { cwd });
  assert.deepEqual(
    one.map(({ path }) => path),
    [join(cwd, "c"), join(cwd, "d/a"), join(cwd, "d/b")],
  );
  assert.deepEqual(
    (await listInput(["c", "d"], { cwd })).map(({ path }) => path),
    one.map(({ path }) => path),
  );
  assert.equal(one[0]!.bytes, 1);
});

test("names with spaces, newlines, %, # and a leading -, and long ones", async (t) => {
  const cwd = directory(t);
  const odd = [" a b", "new\nline", "100%", "#x", "-n", "x".repeat(255)];
  tree(cwd, odd);
  assert.equal((await listInput(odd, { cwd })).length, odd.length);
  assert.equal((await listInput(["."], { cwd })).length, odd.length);
});

test("what exists under a literal name is not a glob; other patterns are", async (t) => {
  const cwd = directory(t);
  tree(cwd, ["[ab]", "a", "b", "d/x.log", "d/e/y.log", "d/_z.log", "d/.w.log"]);
  const names = async (pattern: string): Promise<string[]> =>
    (await listInput([pattern], { cwd })).map(({ name }) => name);
  assert.deepEqual(await names("[ab]"), ["[ab]"]);
  assert.deepEqual(await names("[b]"), ["b"]);
  assert.deepEqual(await names("{a,b}"), ["a", "b"]);
  assert.deepEqual(await names("d/**/*.log"), ["d/e/y.log", "d/x.log"]);
  assert.deepEqual(await names("d/_*.log"), ["d/_z.log"]);
  assert.deepEqual(await names("d/*"), ["d/e/y.log", "d/x.log"]);
  assert.deepEqual(
    (await listInput([`${cwd}/d/*.log`])).map(({ name }) => name),
    [`${cwd}/d/x.log`],
  );
});

test("no match is INPUT_MISSING with a near name", async (t) => {
  const cwd = directory(t);
  tree(cwd, ["access.log"]);
  await assert.rejects(listInput(["acess.log"], { cwd }), {
    code: "INPUT_MISSING",
    hint: "Did you mean access.log?",
  });
  await assert.rejects(listInput(["*.txt"], { cwd }), { code: "INPUT_MISSING" });
  await assert.rejects(listInput(["no/such/file"], { cwd }), { code: "INPUT_MISSING" });
  await assert.rejects(listInput(["x".repeat(300)], { cwd }), { code: "INPUT_UNREADABLE" });
  await assert.rejects(listInput(["a\0b"], { cwd }), { code: "USAGE" });
});

test("FIFOs, devices, loops and links to nothing are INPUT_UNREADABLE, and nothing blocks", async (t) => {
  const cwd = directory(t);
  execFileSync("mkfifo", [join(cwd, "fifo")]);
  mkdirSync(join(cwd, "d/e"), { recursive: true });
  symlinkSync("loop", join(cwd, "loop"));
  symlinkSync("../..", join(cwd, "d/e/up"));
  mkdirSync(join(cwd, "f"));
  symlinkSync("nothing", join(cwd, "f/dangling"));
  for (const path of ["fifo", "/dev/null", "loop", "d", "f"]) {
    await assert.rejects(listInput([path], { cwd }), { code: "INPUT_UNREADABLE" }, path);
  }
  mkdirSync(join(cwd, "g"));
  execFileSync("mkfifo", [join(cwd, "g/fifo")]);
  tree(cwd, ["g/file"]);
  assert.deepEqual(
    (await listInput(["g", "g/*"], { cwd })).map(({ name }) => name),
    ["g/file"],
  );
});

test("links are followed, by globs too, and what they lead to twice is read once", async (t) => {
  const cwd = directory(t);
  tree(cwd, ["real/a"]);
  linkSync(join(cwd, "real/a"), join(cwd, "real/hard"));
  symlinkSync("real", join(cwd, "link"));
  const names = async (...given: string[]): Promise<string[]> =>
    (await listInput(given, { cwd })).map(({ name }) => name);
  assert.deepEqual(await names("link"), ["link/a", "link/hard"]);
  assert.deepEqual(await names("l*"), ["link/a", "link/hard"]);
  assert.deepEqual(await names("real", "link"), ["link/a", "link/hard"]);
  symlinkSync(".", join(cwd, "real/self"));
  assert.deepEqual(await names("**/a"), ["link/a"]);
});

test("a link to nothing is the same error by its name, in a directory and by a pattern", async (t) => {
  const cwd = directory(t);
  tree(cwd, ["d/a"]);
  symlinkSync("gone", join(cwd, "d/dangling"));
  for (const input of ["d", "d/*", "d/dang*", "d/**", "d/dangling", "d/{a,dangling}"]) {
    await assert.rejects(
      listInput([input], { cwd }),
      { code: "INPUT_UNREADABLE", message: "input d/dangling is a link to nothing, or was just removed" },
      input,
    );
  }
});

test("a directory of nothing but hidden files is an error; an empty one, and a job's empty output, are not", async (t) => {
  const cwd = directory(t);
  tree(cwd, ["hidden/.a", "hidden/deep/_b", "output/_SUCCESS", "both/.a", "both/b"]);
  mkdirSync(join(cwd, "empty"));
  await assert.rejects(listInput(["hidden"], { cwd }), {
    code: "INPUT_MISSING",
    message: 'every file of hidden is hidden: 2 names in it, all beginning with "." or "_"',
  });
  assert.deepEqual(await listInput(["empty", "output"], { cwd }), []);
  assert.equal((await listInput(["both"], { cwd })).length, 1);
  assert.equal((await listInput(["hidden/.*", "hidden/*/_*"], { cwd })).length, 2);
});

test("parentheses, braces without a comma and what follows a backslash stand for themselves", async (t) => {
  const cwd = directory(t);
  const names = [
    "report (1)/a.csv",
    "report (2)/a.csv",
    "{id}/a.csv",
    "[x]/a.csv",
    "1/a.csv",
    "3/a.csv",
    "a*b",
    "axb",
  ];
  tree(cwd, names);
  const found = async (...inputs: string[]): Promise<string[]> =>
    (await listInput(inputs, { cwd })).map(({ name }) => name);
  assert.deepEqual(await found("report (1)/*"), ["report (1)/a.csv"]);
  assert.deepEqual(await found("report (?)/*.csv"), ["report (1)/a.csv", "report (2)/a.csv"]);
  assert.deepEqual(await found("{id}/*.csv"), ["{id}/a.csv"]);
  assert.deepEqual(await found("\\[x\\]/*"), ["[x]/a.csv"]);
  assert.deepEqual(await found("[[]x]/*"), ["[x]/a.csv"]);
  assert.deepEqual(await found("[[:digit:]]/*"), ["1/a.csv", "3/a.csv"]);
  assert.deepEqual(await found("a\\*b"), ["a*b"]);
  assert.deepEqual(await found("a*b"), ["a*b"], "what exists is taken by its name");
  assert.deepEqual(await found("a?b"), ["a*b", "axb"]);
  // As in bash a word without a wildcard stands for itself, and 2 is not there.
  await assert.rejects(found("{1..3}/a.csv"), { code: "INPUT_MISSING", message: "no such input: 2/a.csv" });
  assert.deepEqual(await found("{1..3}/*.csv"), ["1/a.csv", "3/a.csv"]);
  await assert.rejects(found("+(1|2)/*"), { code: "INPUT_MISSING", hint: /extglob/ });
  await assert.rejects(found("[y]/*"), { code: "INPUT_MISSING", hint: /\\\[/ });
  await assert.rejects(found("{1..999999999}"), { code: "INPUT_MISSING" });
  await assert.rejects(found("{1..999}{1..999}"), { code: "USAGE" });
});

test("an address that no storage knows is refused, with what fetches it", async (t) => {
  const cwd = directory(t);
  for (const [address, hint] of [
    ["ftp://example.org/a.csv", "curl -fsSL 'ftp://example.org/a.csv' | sheaf run job.ts -"],
    ["gs://bucket/a.csv", "gcloud storage cat 'gs://bucket/a.csv' | sheaf run job.ts -"],
    ["x-other://name/a", "FETCH 'x-other://name/a' | sheaf run job.ts -"],
  ] as const) {
    await assert.rejects(listInput([address], { cwd }), {
      code: "USAGE",
      hint: `Fetch it first, or pipe it in: ${hint}`,
    });
  }
  tree(cwd, ["ftp:/x/y"]);
  assert.equal((await listInput(["ftp://x/y"], { cwd })).length, 1, "a path that exists is one");
});
