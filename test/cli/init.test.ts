import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { templateNames } from "#src/cli/flags/init-flags.js";
import { packageRoot, sheaf, sheafBinary, stateDirectory, tempDir } from "./support.js";

/** Puts in place what `npm install` would, without the network. */
function install(project: string): void {
  mkdirSync(join(project, "node_modules/@types"), { recursive: true });
  symlinkSync(packageRoot, join(project, "node_modules/sheaf"));
  for (const name of ["@types/node", "undici-types"]) {
    symlinkSync(join(packageRoot, "node_modules", name), join(project, "node_modules", name));
  }
}

for (const template of templateNames) {
  test(`init --template ${template}: a project that type-checks, whose test passes and whose job runs`, async (t) => {
    const cwd = tempDir(t);
    const made = await sheaf(["init", "first", "--template", template], { cwd });
    assert.equal(made.code, 0, made.stderr);
    assert.equal(made.stdout, "");
    const project = join(cwd, "first");
    install(project);

    const compiler = join(packageRoot, "node_modules/typescript/bin/tsc");
    const checked = spawnSync(process.execPath, [compiler], { cwd: project, encoding: "utf8" });
    assert.equal(checked.status, 0, checked.stdout + checked.stderr);
    const tests = readdirSync(join(project, "build/test")).map((file) => join("build/test", file));
    const env = { ...process.env, NODE_TEST_CONTEXT: undefined, SHEAF_STATE: stateDirectory };
    const tested = spawnSync(process.execPath, ["--test", ...tests], { cwd: project, encoding: "utf8", env });
    assert.equal(tested.status, 0, tested.stdout + tested.stderr);

    // The commands it says come next, with less data.
    const commands = made.stderr.split("\n").filter((line) => line.startsWith("  sheaf "));
    assert.ok(commands.length > 0);
    for (const command of commands) {
      const words = command.trim().replace("10MiB", "20KiB").split(" ").slice(1);
      const ran = spawnSync(process.execPath, [sheafBinary, ...words], {
        cwd: project,
        encoding: "utf8",
        env,
      });
      assert.equal(ran.status, 0, ran.stderr);
    }
    assert.ok(existsSync(join(project, "out/_SUCCESS")));
  });
}

test("init writes nothing where anything of it exists", async (t) => {
  const cwd = tempDir(t);
  writeFileSync(join(cwd, "sheaf.json"), "mine");
  const { code, stderr } = await sheaf(["init"], { cwd });
  assert.equal(code, 1);
  assert.match(stderr, /has sheaf\.json already; nothing was written \[OUTPUT_EXISTS\]/);
  assert.deepEqual(readdirSync(cwd), ["sheaf.json"]);
  assert.equal(readFileSync(join(cwd, "sheaf.json"), "utf8"), "mine");
});
