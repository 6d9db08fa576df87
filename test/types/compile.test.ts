import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));

/** Compiles one fixture with the options of the tests and returns the exit code and what tsc says. */
function compile(fixture: string): { status: number | null; output: string } {
  const options = ["--noEmit", "--strict", "--target", "es2023", "--module", "nodenext", "--skipLibCheck"];
  const done = spawnSync(
    process.execPath,
    ["node_modules/typescript/bin/tsc", "--ignoreConfig", ...options, `test/fixtures/types/${fixture}`],
    { cwd: root, encoding: "utf8" },
  );
  return { status: done.status, output: done.stdout + done.stderr };
}

test("a job whose emit fits its reduce compiles", () => {
  const { status, output } = compile("right-emit.ts");
  assert.equal(status, 0, output);
});

test("a job whose emit does not fit its reduce fails to compile, at the emitted value", () => {
  const { status, output } = compile("wrong-emit.ts");
  assert.notEqual(status, 0);
  assert.match(
    output,
    /wrong-emit\.ts\(11,16\): error TS2345: .*'string' is not assignable to parameter of type 'number'/,
  );
});
