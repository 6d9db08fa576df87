// Runs the tests of jobs on Hadoop and Spark, one file at a time: those that `npm test` has, too; with "all"
// also those that need a cluster, which take minutes.
//   npm run test:engines -- [all] [--no-build] [PATH FRAGMENT...]
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { buildTests, root, run } from "./built.mjs";

const [first, ...rest] = buildTests();
const isAll = first === "all";
if (isAll) process.env["SHEAF_TEST_ENGINES"] = "all";
const wanted = isAll || first === undefined ? rest : [first, ...rest];
if (run("scripts/build-jar.mjs") !== 0) process.exit(1);

const files = readdirSync(join(root, "build/test/hosted"))
  .filter((name) => name.endsWith(".test.js"))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .sort();
const failed = files.filter((name) =>
  run("--enable-source-maps", "scripts/run-tests.mjs", `build/test/hosted/${name}`),
);
for (const name of failed) console.error(`failed: ${name}`);
process.exit(failed.length === 0 ? 0 : 1);
