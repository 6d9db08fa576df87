import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));

test("the helper for Python passes its own tests", () => {
  const { status, stderr } = spawnSync("python3", [`${root}test/python/sheaf_worker_test.py`], {
    env: { ...process.env, PYTHONPATH: `${root}python`, PYTHONDONTWRITEBYTECODE: "1" },
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  assert.match(stderr, /^Ran \d\d tests/m);
});

test("the helper is one file for every Python from 3.8 on", () => {
  const check = "import ast, sys; ast.parse(open(sys.argv[1]).read(), feature_version=(3, 8))";
  const { status, stderr } = spawnSync("python3", ["-c", check, `${root}python/sheaf_worker.py`], {
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  const text = readFileSync(`${root}python/sheaf_worker.py`, "utf8");
  const wide = text.split("\n").filter((line) => line.length > 110);
  assert.deepEqual(wide, []);
});
