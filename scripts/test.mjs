// Builds the package and its tests, then runs the tests over the built output with Node's own test runner.
// Arguments are path fragments that choose test files ("scheduler", "runner/cancel"), of whatever suite; none
// means the main suite, or the one that --suite names (scripts/suites.mjs). --no-build runs what was built
// before.
import { join } from "node:path";
import { buildTests, root, run } from "./built.mjs";
import { removeStale } from "./stale.mjs";
import { suiteOf, suites, testFiles } from "./suites.mjs";

const words = buildTests();
const at = words.indexOf("--suite");
const [, suite = ""] = at < 0 ? ["", "main"] : words.splice(at, 2);
if (!Object.hasOwn(suites, suite)) {
  console.error(`no suite is called ${suite}: there are ${Object.keys(suites).join(", ")}`);
  process.exit(2);
}

for (const folder of ["test", "examples", "bench"])
  removeStale(join(root, "build", folder), join(root, folder));

/**
 * Those that take longest begin first, so that none of them is still running when all others are done; the
 * clusters of `cluster/` not beside the one of `chaos/`.
 */
const longest =
  "chaos/ storage/ faults/ e2e/ types/ cluster/ sim/ pipeline/ incremental/ agent/ cli/ hosted/ runner/".split(
    " ",
  );
const rank = (name) => {
  const found = longest.findIndex((folder) => name.startsWith(folder));
  return found < 0 ? longest.length : found;
};

const all = testFiles();
const files = all
  .filter((name) => (words.length > 0 && at < 0) || suiteOf(name) === suite)
  .filter((name) => words.length === 0 || words.some((part) => name.includes(part)))
  .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
  .map((name) => join("build/test", name));
if (files.length === 0) {
  console.error(`no test file has ${words.join(" or ")} in its path`);
  process.exit(2);
}
const status = run("scripts/run-tests.mjs", ...files);
if (words.length === 0)
  for (const [name, { command, has }] of Object.entries(suites))
    if (name !== suite)
      console.log(
        `# NOT RUN HERE: ${all.filter((file) => suiteOf(file) === name).length} files, ${has}: ${command}`,
      );
process.exit(status);
