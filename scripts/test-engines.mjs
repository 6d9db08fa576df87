// Runs the suite of engines (scripts/suites.mjs), one file at a time; with "all" also what needs a cluster of
// Hadoop's or Spark's, which takes minutes. --on keeps of the matrix of all cases the places whose names have
// one of these in them: --on yarn,spark. SHEAF_TEST_HADOOP=3.3.5 has them on that Hadoop.
//   npm run test:engines -- [all] [--no-build] [--on PLACE,...] [BEGINNING OF A FILE'S NAME...]
import { basename } from "node:path";
import { buildTests, run } from "./built.mjs";
import { suiteOf, testFiles } from "./suites.mjs";

const words = buildTests();
const on = words.indexOf("--on");
if (on >= 0) process.env["SHEAF_TEST_ON"] = words.splice(on, 2)[1] ?? "";
const isAll = words.includes("all");
process.env["SHEAF_TEST_ENGINES"] = isAll ? "all" : "some";
const wanted = words.filter((word) => word !== "all");
if (run("scripts/build-jar.mjs") !== 0) process.exit(1);

const files = testFiles()
  .filter((name) => suiteOf(name) === "engines")
  .filter((name) => wanted.length === 0 || wanted.some((part) => basename(name).startsWith(part)));
const failed = files.filter((name) =>
  run("--enable-source-maps", "scripts/run-tests.mjs", `build/test/${name}`),
);
for (const name of failed) console.error(`failed: ${name}`);
if (files.length === 0)
  console.error(`no file of this suite has a name that begins with ${wanted.join(" or ")}`);
process.exit(files.length === 0 ? 2 : failed.length === 0 ? 0 : 1);
