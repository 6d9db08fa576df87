// Runs the tests over the built output with Node's own test runner. Arguments are path fragments that
// choose test files ("scheduler", "e2e/faults"); none means all of them.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const run = (...args) => spawnSync(process.execPath, args, { stdio: "inherit", cwd: root }).status ?? 1;

const wanted = process.argv.slice(2).filter((a) => a !== "--no-build");
if (!process.argv.includes("--no-build")) {
  for (const step of [["scripts/build.mjs"], ["node_modules/typescript/bin/tsc", "-p", "tsconfig.test.json"]]) {
    const status = run(...step);
    if (status !== 0) process.exit(status);
  }
}
const files = readdirSync(join(root, "build/test"), { recursive: true, encoding: "utf8" })
  .filter((f) => f.endsWith(".test.js"))
  .filter((f) => wanted.length === 0 || wanted.some((w) => f.includes(w)))
  .map((f) => join("build/test", f))
  .sort();
process.exit(run("--test", "--test-concurrency=2", "--enable-source-maps", ...files));
