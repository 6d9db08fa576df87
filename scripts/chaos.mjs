// Builds the package and its tests, then runs jobs on a cluster of this machine while faults come; arguments
// go to it (--help lists them). --no-build runs what was built before.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const run = (...args) => spawnSync(process.execPath, args, { stdio: "inherit", cwd: root }).status ?? 1;

const args = process.argv.slice(2).filter((word) => word !== "--no-build");
if (!process.argv.includes("--no-build")) {
  const steps = [["scripts/build.mjs"], ["node_modules/typescript/bin/tsc", "-p", "tsconfig.test.json"]];
  for (const step of steps) {
    const status = run(...step);
    if (status !== 0) process.exit(status);
  }
}
process.exit(run("--enable-source-maps", "build/test/chaos/main.js", ...args));
