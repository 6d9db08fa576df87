// Builds the package and its tests, then runs the tests over the built output with Node's own test runner.
// Arguments are path fragments that choose test files ("scheduler", "runner/cancel"); none means all of them.
// --no-build runs what was built before.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { buildTests, root, run } from "./built.mjs";
import { removeStale } from "./stale.mjs";

const wanted = buildTests();

for (const folder of ["test", "examples", "bench"])
  removeStale(join(root, "build", folder), join(root, folder));

/**
 * Those that take longest begin first, so that none of them is still running when all others are done; the
 * clusters of `cluster/` not beside the one of `chaos/`.
 */
const longest =
  "chaos/ hosted/ storage/ faults/ e2e/ cluster/ sim/ pipeline/ incremental/ agent/ cli/ runner/".split(" ");
const rank = (name) => {
  const found = longest.findIndex((folder) => name.startsWith(folder));
  return found < 0 ? longest.length : found;
};

const files = readdirSync(join(root, "build/test"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".test.js"))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
  .map((name) => join("build/test", name));
if (files.length === 0) {
  console.error(`no test file has ${wanted.join(" or ")} in its path`);
  process.exit(2);
}
process.exit(run("scripts/run-tests.mjs", ...files));
