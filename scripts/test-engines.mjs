// Runs the tests of jobs on Hadoop and Spark, one file at a time: those that `npm test` has, too, and the
// matrix of all cases at all places; with "all" also what needs a cluster of Hadoop's or Spark's, which takes
// minutes. --on keeps of the matrix the places whose names have one of these in them: --on yarn,spark
// SHEAF_TEST_HADOOP=3.3.5 has them on that Hadoop.
//   npm run test:engines -- [all] [--no-build] [--on PLACE,...] [BEGINNING OF A FILE'S NAME...]
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { buildTests, root, run } from "./built.mjs";

const words = buildTests();
const on = words.indexOf("--on");
if (on >= 0) process.env["SHEAF_TEST_ON"] = words.splice(on, 2)[1] ?? "";
const isAll = words.includes("all");
process.env["SHEAF_TEST_ENGINES"] = isAll ? "all" : "some";
const wanted = words.filter((word) => word !== "all");
if (run("scripts/build-jar.mjs") !== 0) process.exit(1);

const files = readdirSync(join(root, "build/test/hosted"))
  .filter((name) => name.endsWith(".test.js"))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.startsWith(part)))
  .sort();
const failed = files.filter((name) =>
  run("--enable-source-maps", "scripts/run-tests.mjs", `build/test/hosted/${name}`),
);
for (const name of failed) console.error(`failed: ${name}`);
process.exit(failed.length === 0 ? 0 : 1);
