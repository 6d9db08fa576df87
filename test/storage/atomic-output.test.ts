import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";
import type { SheafError } from "#src/base/errors.js";
import {
  checkOutput,
  commitDirectory,
  createTempOutput,
  discardTempOutput,
} from "#src/storage/atomic-output.js";
import { asSheafError } from "#src/storage/fs-error.js";
import { directory } from "../format/support.ts";
import { readableModule } from "../kit/readable-module.ts";
import { writeOutput } from "./support.ts";

async function filledTemp(out: string, content = "new"): Promise<string> {
  const temp = await createTempOutput(out);
  mkdirSync(join(temp, "byCity"));
  writeFileSync(join(temp, "byCity/part-00000"), content);
  return temp;
}

test("a commit makes the whole directory appear, with ordinary permissions, and leaves nothing else", async (t) => {
  const parent = directory(t);
  const out = join(parent, "deep/er/out");
  await checkOutput(out);
  const temp = await filledTemp(out);
  assert.equal(statSync(temp).mode & 0o777, 0o700);
  assert.equal(existsSync(out), false);
  await commitDirectory(temp, out);
  assert.equal(readFileSync(join(out, "byCity/part-00000"), "utf8"), "new");
  assert.equal(statSync(out).mode & 0o777, 0o777 & ~process.umask());
  assert.deepEqual(readdirSync(join(parent, "deep/er")), ["out"]);
});

test("anything at the output path is OUTPUT_EXISTS: empty and full directories, files, links, links to nothing", async (t) => {
  const parent = directory(t);
  mkdirSync(join(parent, "empty"));
  mkdirSync(join(parent, "full"));
  writeFileSync(join(parent, "full/x"), "");
  writeFileSync(join(parent, "file"), "");
  symlinkSync("full", join(parent, "link"));
  symlinkSync("nothing", join(parent, "dangling"));
  for (const name of ["empty", "full", "file", "link", "dangling"]) {
    const out = join(parent, name);
    await assert.rejects(checkOutput(out), { code: "OUTPUT_EXISTS" }, name);
    const temp = await filledTemp(out);
    await assert.rejects(commitDirectory(temp, out), { code: "OUTPUT_EXISTS" }, name);
    await discardTempOutput(temp);
  }
  assert.deepEqual(readdirSync(parent).toSorted(), ["dangling", "empty", "file", "full", "link"]);
});

test("overwriting replaces what a job has written, and empty directories", async (t) => {
  const parent = directory(t);
  mkdirSync(join(parent, "empty"));
  writeOutput(join(parent, "plain"), { "part-00000.tsv": "old" });
  writeOutput(join(parent, "collections"), { "a/part-00000.tsv": "old", "b/part-00000.csv": "old" });
  // A collection of no results, bad records, and what file managers leave.
  mkdirSync(join(parent, "collections/c"));
  mkdirSync(join(parent, "collections/_bad"));
  writeFileSync(join(parent, "collections/_bad/part-00000.jsonl"), "");
  writeFileSync(join(parent, "collections/a/.DS_Store"), "");
  for (const name of ["empty", "plain", "collections"]) {
    const out = join(parent, name);
    await checkOutput(out, { overwrite: true });
    await commitDirectory(await filledTemp(out), out, { overwrite: true });
    assert.deepEqual(readdirSync(out), ["byCity"], name);
    assert.equal(readFileSync(join(out, "byCity/part-00000"), "utf8"), "new", name);
  }
  assert.deepEqual(readdirSync(parent).toSorted(), ["collections", "empty", "plain"]);
});

test("overwriting never replaces anything else, and says what is in the way", async (t) => {
  const parent = directory(t);
  const make = (name: string, files: Record<string, string>): void => {
    for (const [file, content] of Object.entries(files)) {
      mkdirSync(join(parent, name, file, ".."), { recursive: true });
      writeFileSync(join(parent, name, file), content);
    }
  };
  make("source", { "src/index.ts": "code" });
  make("hadoop", { _SUCCESS: "", "part-r-00000": "old" });
  make("other", { _SUCCESS: "{}", "part-00000.tsv": "old" });
  make("text", { _SUCCESS: "yes", x: "" });
  writeOutput(join(parent, "notes"), { "part-00000.tsv": "old" });
  make("notes", { "NOTES.md": "mine" });
  writeOutput(join(parent, "deep"), { "a/part-00000.tsv": "old" });
  make("deep", { "a/more/mine": "" });
  writeOutput(join(parent, "git"), { "part-00000.tsv": "old" });
  make("git", { ".git/HEAD": "" });
  writeOutput(join(parent, "real"), { "part-00000.tsv": "old" });
  symlinkSync("real", join(parent, "link"));
  symlinkSync("nothing", join(parent, "dangling"));
  make(".", { file: "mine" });
  const inTheWay: Record<string, RegExp> = {
    source: /would remove .*source\/src: there is no _SUCCESS of a job beside it/,
    hadoop: /would remove .*hadoop\/_SUCCESS: there is no _SUCCESS of a job/,
    other: /would remove/,
    text: /would remove/,
    notes: /would remove .*notes\/NOTES.md: which the job there has not written/,
    deep: /would remove .*deep\/a\/more/,
    git: /would remove .*git\/\.git/,
    link: /would replace a symbolic link/,
    dangling: /would replace a symbolic link/,
    file: /would replace a file/,
  };
  const before = listed(parent);
  for (const [name, message] of Object.entries(inTheWay)) {
    const out = join(parent, name);
    const refused = { code: "OUTPUT_UNWRITABLE", message };
    await assert.rejects(checkOutput(out, { overwrite: true }), refused, name);
    const temp = await filledTemp(out);
    await assert.rejects(commitDirectory(temp, out, { overwrite: true }), refused, name);
    await discardTempOutput(temp);
  }
  assert.deepEqual(listed(parent), before);
});

const listed = (root: string): string[] =>
  readdirSync(root, { recursive: true, encoding: "utf8" }).toSorted();

test("when the swap fails half-way the earlier output is put back", async (t) => {
  const out = join(directory(t), "out");
  writeOutput(out, { old: "old" });
  mkdirSync(join(out, "inner"));
  // The new directory lies in the old one, so it is gone from its path once the old one is set aside.
  const committing = commitDirectory(join(out, "inner"), out, { overwrite: true });
  await assert.rejects(committing, { code: "OUTPUT_UNWRITABLE" });
  assert.equal(readFileSync(join(out, "old"), "utf8"), "old");
  assert.deepEqual(readdirSync(join(out, "..")), ["out"]);
});

test("a commit that fails when there was no earlier output says that, and not that one is lost", async (t) => {
  const parent = directory(t);
  const [out, aside] = [join(parent, "out"), join(parent, "aside")];
  // Nothing to rename: the output would be itself a part of what is renamed.
  const temp = await filledTemp(out);
  const inner = join(temp, "inner/out");
  mkdirSync(join(temp, "inner"));
  for (const overwrite of [false, true]) {
    const committing = commitDirectory(temp, inner, { overwrite, aside });
    await assert.rejects(committing, ({ code, message, hint }: SheafError) => {
      assert.equal(code, "OUTPUT_UNWRITABLE");
      assert.match(message, /cannot rename .*inner/);
      assert.doesNotMatch(`${message} ${hint}`, /earlier|put back/);
      return true;
    });
    assert.equal(existsSync(aside), false);
  }
});

test("an output with read-only directories is replaced, one that is itself read-only refused; nothing else stays", (t) => {
  const parent = directory(t);
  // As root every directory can be written.
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) chownSync(parent, 65_534, 65_534);
  const code = `
    const { chmodSync, mkdirSync, readdirSync, writeFileSync } = require("node:fs");
    import(${JSON.stringify(readableModule(t, "storage/atomic-output"))}).then(async (atomic) => {
      const said = [];
      for (const modes of [[0o555, 0o755], [0o555, 0o555]]) {
        mkdirSync("out/inner", { recursive: true });
        writeFileSync("out/inner/part", "old");
        writeFileSync("out/_SUCCESS", JSON.stringify({ sheaf: 1, parts: [{ file: "inner/part" }] }));
        chmodSync("out/inner", modes[0]);
        chmodSync("out", modes[1]);
        const temp = await atomic.createTempOutput("out");
        writeFileSync(temp + "/new", "new");
        const committing = atomic.commitDirectory(temp, "out", { overwrite: true });
        await committing.catch((error) => said.push(error.message));
        await atomic.discardTempOutput(temp);
        said.push(readdirSync(".").join(), readdirSync("out").join());
        await atomic.discardTempOutput("out");
      }
      console.log(JSON.stringify(said));
    });`;
  const user = isRoot ? { uid: 65_534, gid: 65_534 } : {};
  const run = spawnSync(process.execPath, ["-e", code], { cwd: parent, ...user });
  assert.deepEqual(
    JSON.parse(String(run.stdout)),
    ["out", "new", "cannot rename out: permission denied", "out", "_SUCCESS,inner"],
    String(run.stderr),
  );
});

test("overwriting never removes the current directory or an input", async (t) => {
  const parent = directory(t);
  mkdirSync(join(parent, "in"));
  writeFileSync(join(parent, "in/a"), "");
  const keep = [join(parent, "in/a")];
  for (const out of [parent, join(parent, "in"), "/", process.cwd(), join(process.cwd(), "..")]) {
    await assert.rejects(checkOutput(out, { overwrite: true, keep }), { code: "OUTPUT_UNWRITABLE" }, out);
  }
});

/** Id of a process that has ended. */
function deadPid(): number {
  return spawnSync("true").pid;
}

test("what killed runs left beside the output is removed, what living ones work on is not", async (t) => {
  const parent = directory(t);
  const out = join(parent, "out");
  const mine = await filledTemp(out);
  const stale = join(parent, basename(mine).replace(`-${process.pid}-`, `-${deadPid()}-`));
  renameSync(mine, stale);
  const living = await filledTemp(out);
  const foreign = join(parent, ".other.sheaf-x-1-abc");
  mkdirSync(foreign);
  await checkOutput(out);
  assert.deepEqual([existsSync(stale), existsSync(living), existsSync(foreign)], [false, true, true]);
});

test("an output that a killed run had set aside is put back", async (t) => {
  const parent = directory(t);
  const out = join(parent, "out");
  const temp = await createTempOutput(out);
  const aside = basename(temp)
    .replace(".sheaf-", ".sheaf-old-")
    .replace(`-${process.pid}-`, `-${deadPid()}-`);
  mkdirSync(join(parent, aside, "old"), { recursive: true, mode: 0o700 });
  writeFileSync(join(parent, aside, "old/part-00000"), "kept");
  await discardTempOutput(temp);
  await assert.rejects(checkOutput(out), { code: "OUTPUT_EXISTS" });
  assert.equal(readFileSync(join(out, "part-00000"), "utf8"), "kept");
  assert.deepEqual(readdirSync(parent), ["out"]);
});

test("outputs with the longest names, and below files, are handled", async (t) => {
  const parent = directory(t);
  const out = join(parent, "é".repeat(127));
  await commitDirectory(await filledTemp(out), out);
  assert.deepEqual(readdirSync(parent), [basename(out)]);
  writeFileSync(join(parent, "file"), "");
  await assert.rejects(createTempOutput(join(parent, "file/out")), { code: "OUTPUT_UNWRITABLE" });
  await assert.rejects(checkOutput(join(parent, "x".repeat(300))), { code: "OUTPUT_UNWRITABLE" });
});

test("system errors say the path, the reason and what to do", () => {
  const fail = (code: string): Error => Object.assign(new Error(code), { code });
  const error = asSheafError(fail("ENOSPC"), { path: "/out/part 1", doing: "write", offset: 7 });
  assert.equal(error.code, "DISK_FULL");
  assert.equal(error.message, 'cannot write "/out/part 1" at byte 7: no space left on the device');
  assert.equal(error.retryable, true);
  assert.equal(asSheafError(fail("EACCES"), { path: "a", doing: "read" }).code, "INPUT_UNREADABLE");
  assert.equal(asSheafError(fail("EACCES"), { path: "a", doing: "create" }).code, "OUTPUT_UNWRITABLE");
  assert.equal(asSheafError(fail("EMFILE"), { path: "a", doing: "open" }).retryable, true);
  assert.equal(
    asSheafError(fail("ENOENT"), { path: "a", doing: "read", code: "BLOCK_CORRUPT" }).code,
    "BLOCK_CORRUPT",
  );
  assert.equal(asSheafError(error, { path: "other", doing: "read" }), error);
});
