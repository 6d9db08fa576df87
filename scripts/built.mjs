// What the scripts share that run something built: building it first.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { incremental } from "./stale.mjs";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** Runs Node with these arguments in the root; its exit code. */
export const run = (...args) =>
  spawnSync(process.execPath, args, { stdio: "inherit", cwd: root }).status ?? 1;

/**
 * Builds the package and its tests, unless --no-build is given; ends this process when that fails.
 * @returns the other arguments
 */
export function buildTests() {
  const given = process.argv.slice(2);
  if (!given.includes("--no-build")) {
    const steps = [
      ["scripts/build.mjs"],
      ["node_modules/typescript/bin/tsc", "-p", "tsconfig.test.json", ...incremental("build")],
    ];
    for (const step of steps) {
      const status = run(...step);
      if (status !== 0) process.exit(status);
    }
  }
  return given.filter((word) => word !== "--no-build");
}
