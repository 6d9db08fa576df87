import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { checkOutput, createTempOutput, discardTempOutput } from "#src/storage/atomic-output.js";
import { removeDirectory, removeStale, takeFromStale } from "#src/storage/remove-directory.js";
import { makeTempDirectory } from "#src/storage/temp-directory.js";
import { directory } from "../format/support.ts";
import { readableModule } from "../kit/readable-module.ts";

const isRoot = process.geteuid?.() === 0;
const asTwo = isRoot ? {} : { skip: "two users need root" };
const linux = process.platform === "linux" ? {} : { skip: "/proc/self/fd is Linux's" };
/** nobody, on most systems; whoever it is, not root. */
const stranger = 65_534;

test("all goes: files, directories without rights, links and what is no file; what links lead to stays", async (t) => {
  const place = directory(t);
  const [tree, treasure] = [join(place, "tree"), join(place, "treasure")];
  mkdirSync(join(tree, "a/b/c"), { recursive: true });
  mkdirSync(treasure);
  writeFileSync(join(treasure, "kept"), "");
  for (const name of ["a/file", "a/b/.hidden", "a/b/c/nên", "a/b/c/with\nline"]) {
    writeFileSync(join(tree, name), "");
  }
  for (let i = 0; i < 100; i++) writeFileSync(join(tree, "a", `part-${i}`), "");
  symlinkSync(treasure, join(tree, "a/link"));
  symlinkSync(join(treasure, "kept"), join(tree, "a/b/file-link"));
  symlinkSync("nothing", join(tree, "dangling"));
  assert.equal(spawnSync("mkfifo", [join(tree, "a/fifo")]).status, 0);
  for (const name of ["a/b/c", "a/b", "a", ""]) chmodSync(join(tree, name), 0o555);
  await removeDirectory(tree);
  await removeDirectory(tree);
  symlinkSync(treasure, join(place, "link"));
  await removeDirectory(join(place, "link"));
  assert.deepEqual(readdirSync(place), ["treasure"]);
  assert.deepEqual(readdirSync(treasure), ["kept"]);
});

test("who may not write into a directory removes it all the same when it is theirs", asTwo, (t) => {
  const place = directory(t);
  chownSync(place, stranger, stranger);
  const code = `
    const { mkdirSync, chmodSync, writeFileSync, readdirSync } = require("node:fs");
    mkdirSync("tree/a/b", { recursive: true });
    writeFileSync("tree/a/b/file", "");
    for (const name of ["tree/a/b", "tree/a", "tree"]) chmodSync(name, 0o555);
    import(${JSON.stringify(readableModule(t, "storage/remove-directory"))})
      .then(({ removeDirectory }) => removeDirectory("tree"))
      .then(() => console.log(readdirSync(".").join()));`;
  const run = spawnSync(process.execPath, ["-e", code], { cwd: place, uid: stranger, gid: stranger });
  assert.equal(String(run.stdout), "\n", String(run.stderr));
});

/** Makes a directory `name` with files in it and puts a link in its place, again and again. */
const swapper = `
  const { mkdirSync, renameSync, symlinkSync, unlinkSync, writeFileSync } = require("node:fs");
  const [treasure, ...names] = process.argv.slice(1);
  const attempt = (step) => { try { step(); } catch {} };
  const pause = (ms) => ms === 0 || Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  process.stdout.write("on");
  for (let turn = 0; ; turn++) {
    attempt(() => mkdirSync("one"));
    for (const name of names) attempt(() => writeFileSync("one/" + name, ""));
    attempt(() => renameSync("one", "name"));
    pause(turn % 8);
    attempt(() => renameSync("name", "moved-" + turn));
    attempt(() => symlinkSync(treasure, "name"));
    pause(5);
    attempt(() => unlinkSync("name"));
  }`;

test("a directory that becomes a link while it is removed leads to nothing", linux, async (t) => {
  const place = directory(t);
  const [treasure, swapped] = [join(place, "treasure"), join(place, "swapped")];
  for (const made of [treasure, swapped]) mkdirSync(made);
  const names = Array.from({ length: 40 }, (_, i) => `file-${i}`);
  for (const name of names) writeFileSync(join(treasure, name), "");
  const args = ["-e", swapper, treasure, ...names];
  const child = spawn(process.execPath, args, { cwd: swapped, stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  try {
    for (let round = 0; round < 1_500; round++) {
      await removeDirectory(join(swapped, "name"));
      assert.equal(readdirSync(treasure).length, names.length, `round ${round}`);
    }
  } finally {
    child.kill("SIGKILL");
    await once(child, "exit");
  }
});

/** What a run of this host that was killed would have left in the temporary directory and beside `out`. */
function staleNames(out: string): { temp: string; output: string; old: string } {
  const host = createHash("sha256").update(hostname()).digest("hex").slice(0, 8);
  const tail = `${host}-${spawnSync("true").pid}-abcdef`;
  return { temp: `sheaf-${tail}`, output: `.${out}.sheaf-${tail}`, old: `.${out}.sheaf-old-${tail}` };
}

test(
  "what another user has planted under a stale name stays, and is never put back as an output",
  asTwo,
  async (t) => {
    const place = directory(t);
    chmodSync(place, 0o1777);
    const names = staleNames("out");
    const planted = Object.values(names).map((name) => join(place, name));
    for (const path of planted) {
      mkdirSync(join(path, "old"), { recursive: true, mode: 0o700 });
      writeFileSync(join(path, "old/file"), "theirs");
      for (const part of [path, join(path, "old")]) chownSync(part, stranger, stranger);
    }
    await checkOutput(join(place, "out"));
    const made = await makeTempDirectory(place);
    assert.equal(statSync(made).mode & 0o777, 0o700);
    await discardTempOutput(made);
    assert.equal(existsSync(join(place, "out")), false);
    for (const path of planted) assert.deepEqual(readdirSync(join(path, "old")), ["file"], path);
    // Theirs are cleared by them.
    const code = `
    const load = (path) => import(path);
    Promise.all([${["storage/temp-directory", "storage/atomic-output"]
      .map((name) => `load(${JSON.stringify(readableModule(t, name))})`)
      .join()}]).then(async ([work, atomic]) => {
        await work.makeTempDirectory(".");
        await atomic.checkOutput("out").catch((error) => console.log(error.code));
      });`;
    const run = spawnSync(process.execPath, ["-e", code], { cwd: place, uid: stranger, gid: stranger });
    assert.equal(String(run.stdout), "OUTPUT_EXISTS\n", String(run.stderr));
    for (const path of planted) assert.equal(existsSync(path), false, path);
    assert.deepEqual(readdirSync(join(place, "out")), ["file"], "the owner's own output is put back");
  },
);

test("where others may rename what is ours, only what looks like ours is taken for ours", async (t) => {
  const place = directory(t);
  chmodSync(place, 0o777);
  const [precious, left] = [join(place, "precious"), join(place, "left")];
  for (const [path, mode] of [
    [precious, 0o755],
    [left, 0o700],
  ] as const) {
    mkdirSync(path);
    chmodSync(path, mode);
    writeFileSync(join(path, "old"), "");
  }
  for (const path of [precious, left]) await removeStale(path);
  await takeFromStale(precious, "old", join(place, "taken"));
  assert.deepEqual(readdirSync(place), ["precious"]);
  assert.deepEqual(readdirSync(precious), ["old"]);
  chmodSync(place, 0o755);
  await removeStale(precious);
  assert.deepEqual(readdirSync(place), []);
});

test("temporary directories are this user's alone whatever the umask", async (t) => {
  const place = directory(t);
  const before = process.umask(0);
  t.after(() => process.umask(before));
  for (const path of [
    await makeTempDirectory(join(place, "a/b")),
    await createTempOutput(join(place, "out")),
  ]) {
    assert.equal(statSync(path).mode & 0o777, 0o700, path);
  }
});
