import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot, tempDir } from "../cli/support.js";

interface Lock {
  readonly packages: Record<string, Record<string, unknown>>;
}

const script = join(packageRoot, "scripts/check-install-scripts.mjs");
const lock = readFileSync(join(packageRoot, "package-lock.json"), "utf8");

test("no package needs a script while it is installed, and each is pinned by a checksum", () => {
  const done = spawnSync(process.execPath, [script], { encoding: "utf8" });
  assert.equal(done.status, 0, done.stderr);
  assert.match(readFileSync(join(packageRoot, ".npmrc"), "utf8"), /^ignore-scripts=true$/m);
  assert.match(
    readFileSync(join(packageRoot, ".ci/run"), "utf8"),
    /^node scripts\/check-install-scripts\.mjs$/m,
  );
});

test("a package that brings a script, another source or no checksum fails the check", (t) => {
  const path = join(tempDir(t), "package-lock.json");
  const cases: readonly (readonly [(packages: Lock["packages"]) => void, RegExp])[] = [
    [(all) => (all["node_modules/fastify"]!["hasInstallScript"] = true), /fastify .* runs a script/],
    [
      (all) => (all["node_modules/x/node_modules/evil"] = { version: "1.0.0" }),
      /evil 1\.0\.0 has no checksum/,
    ],
    [
      (all) => (all["node_modules/fastify"]!["resolved"] = "git+ssh://git@example.org/fastify.git#1"),
      /fastify .* comes from git\+ssh/,
    ],
    [(all) => delete all["node_modules/fastify"]!["integrity"], /fastify .* has no checksum/],
    [
      (all) => {
        for (const place of Object.keys(all)) if (place !== "") delete all[place];
      },
      /lists no packages/,
    ],
  ];
  for (const [change, message] of cases) {
    const changed = JSON.parse(lock) as Lock;
    change(changed.packages);
    writeFileSync(path, JSON.stringify(changed));
    const done = spawnSync(process.execPath, [script, path], { encoding: "utf8" });
    assert.equal(done.status, 1, done.stdout);
    assert.match(done.stderr, message);
  }
});
