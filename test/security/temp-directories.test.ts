import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ensureTokenFile } from "#src/security/token-file.js";
import { sheaf, tempDir } from "../cli/support.js";

/** A job that tells what lies in the temporary directory while it runs, and with which mode. */
const nosy = `
  import { readdirSync, statSync } from "node:fs";
  import { tmpdir } from "node:os";
  import { job, text } from "sheaf";
  export default job({
    input: text(),
    map(line, emit) {
      for (const name of readdirSync(tmpdir()))
        emit(name, (statSync(tmpdir() + "/" + name).mode & 0o777).toString(8));
    },
    reduce: (name: string, modes: Iterable<string>) => [...modes][0],
  });`;

test("X24: what a run keeps in the temporary directory is its user's alone, and its name cannot be foreseen", async (t) => {
  const place = tempDir(t);
  const temp = join(place, "tmp");
  mkdirSync(temp);
  writeFileSync(join(place, "nosy.ts"), nosy);
  writeFileSync(join(place, "in.txt"), "one line\n");
  const names: string[] = [];
  for (const umask of ["022", "000"]) {
    const run = ["run", "nosy.ts", "in.txt", "-o", join(place, umask), "--temp", temp];
    const result = await sheaf(run, {
      cwd: place,
      env: { TMPDIR: temp },
      shell: `umask ${umask}; `,
    });
    assert.equal(result.code, 0, result.stderr);
    const lines = readFileSync(join(place, umask, "part-00000.tsv"), "utf8")
      .trim()
      .split("\n");
    assert.notEqual(lines[0], "");
    for (const line of lines) {
      const [name = "", mode] = line.split("\t");
      // Random letters, as mkdtemp gives them.
      assert.match(name, /^sheaf-.*-[A-Za-z0-9]{6}$/);
      assert.equal(mode, "700", line);
      names.push(name);
    }
  }
  assert.equal(new Set(names).size, names.length, "a name came twice");
  assert.deepEqual(readdirSync(temp), []);
});

test("X24: links that others have planted lead a run to nothing", async (t) => {
  const place = tempDir(t);
  const [temp, treasure] = [join(place, "tmp"), join(place, "treasure")];
  for (const directory of [temp, treasure]) mkdirSync(directory);
  writeFileSync(join(treasure, "kept"), "kept");
  writeFileSync(join(place, "nosy.ts"), nosy);
  writeFileSync(join(place, "in.txt"), "one line\n");
  // As a killed run of this host would be called: the next one clears it away.
  const host = createHash("sha256").update(hostname()).digest("hex").slice(0, 8);
  symlinkSync(treasure, join(temp, `sheaf-${host}-4194303-abcdef`));
  const run = ["run", "nosy.ts", "in.txt", "-o", join(place, "out"), "--temp", temp];
  const result = await sheaf(run, { cwd: place, env: { TMPDIR: temp } });
  assert.equal(result.code, 0, result.stderr);
  assert.deepEqual(readdirSync(temp), []);
  assert.deepEqual(readdirSync(treasure), ["kept"]);
});

test("X24: servers refuse a state directory that is a link, or that others can write", async (t) => {
  const place = tempDir(t);
  const token = join(place, "tokens", "agent.token");
  ensureTokenFile(token, "agent");
  mkdirSync(join(place, "target"));
  symlinkSync(join(place, "target"), join(place, "link"));
  mkdirSync(join(place, "open"));
  const made = await sheaf(["coordinator", "--state", join(place, "link"), "--port", "0"]);
  assert.notEqual(made.code, 0);
  assert.match(made.stderr, /link is a link or no directory/);
  for (const [state, says] of [
    ["link", /link is a link or no directory/],
    ["open", /open can be changed by other users/],
  ] as const) {
    const path = join(place, state);
    const args = ["agent", "--join", "http://127.0.0.1:9", "--state", path, "--token-file", token];
    const { code, stderr } = await sheaf(args, { shell: `chmod 777 ${join(place, "open")}; ` });
    assert.notEqual(code, 0);
    assert.match(stderr, says);
    assert.deepEqual(readdirSync(path), []);
  }
  assert.equal(existsSync(join(place, "target", "agent.lock")), false);
});
