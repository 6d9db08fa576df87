// A word count on Spark, each as spark-submit runs it: sheaf's job, the same in RDDs of PySpark, and in Spark
// SQL, in turns.
//   node bench/spark.mjs [--mb 1024] [--rounds 3] [--master "local[2]"] [--python PYTHON]
// PYTHON is one that has pyspark (with py4j); its Spark runs all of them. Prints seconds of the wall and of
// the processors, and ratios; fails when the results differ.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    mb: { type: "string", default: "1024" },
    rounds: { type: "string", default: "3" },
    master: { type: "string", default: "local[2]" },
    python: { type: "string", default: "python3" },
  },
});
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const root = mkdtempSync(join(tmpdir(), "sheaf-spark-bench-"));
process.once("exit", () => rmSync(root, { recursive: true, force: true }));

const found = "import os, py4j, pyspark; print(os.path.dirname(pyspark.__file__))";
const asked = spawnSync(values.python, ["-c", found], { encoding: "utf8" });
if (asked.status !== 0) throw new Error(`${values.python} has no pyspark: ${asked.stderr}`);
const home = asked.stdout.trim();
const env = {
  ...process.env,
  SPARK_HOME: home,
  SPARK_LOCAL_IP: "127.0.0.1",
  PYSPARK_PYTHON: values.python,
  SHEAF_STATE: join(root, "state"),
  LC_ALL: "C",
  TIMEFORMAT: "%U %S",
};

/** Seconds of the wall and of the processors, children included. */
function timed(...words) {
  const began = performance.now();
  const { status, stderr } = spawnSync("bash", ["-c", 'set -eo pipefail; time ("$@")', "bash", ...words], {
    cwd: root,
    encoding: "utf8",
    env,
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`${words.join(" ")}\n${stderr.slice(-4_000)}`);
  const [user, system] = stderr.trim().split("\n").at(-1).split(" ").map(Number);
  return { wall: (performance.now() - began) / 1000, processor: user + system };
}

const sheaf = [process.execPath, here("../dist/cli/main.js")];
const onSpark = (job, out) => {
  const words = ["run", here(job), "input.txt", "-o", out, "--overwrite", "-q", "--on", "spark"];
  return [...sheaf, ...words, "--master", values.master];
};
const pyspark = (kind) => {
  const submit = [join(home, "bin/spark-submit"), "--master", values.master];
  const words = ["--conf", "spark.ui.enabled=false", here("baselines/spark-words.py"), kind];
  return [...submit, ...words, join(root, "input.txt"), join(root, kind)];
};
const contenders = {
  map: onSpark("jobs/split-words.ts", "map"),
  rdd: pyspark("rdd"),
  sql: pyspark("sql"),
};
const titles = {
  map: "sheaf, map in TypeScript",
  rdd: "PySpark RDDs",
  sql: "Spark SQL",
};

timed(...sheaf, "gen", "text", "input.txt", "--size", `${values.mb}MB`, "-q");
const walls = {};
for (let round = 1; round <= Number(values.rounds); round++) {
  for (const [name, words] of Object.entries(contenders)) {
    rmSync(join(root, name), { recursive: true, force: true });
    const took = timed(...words);
    (walls[name] ??= []).push(took.wall);
    const [wall, processor] = [took.wall, took.processor].map((seconds) => seconds.toFixed(1).padStart(6));
    console.log(`round ${round}  ${titles[name].padEnd(25)} ${wall} s, processors ${processor} s`);
  }
}
for (const name of Object.keys(contenders)) {
  timed("sh", "-c", `sort ${name}/part-* ${name === "map" ? ">lines" : "| cmp - lines"}`);
}
const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
const size = (statSync(join(root, "input.txt")).size / 1e6).toFixed(0);
console.log(`${size} MB on ${values.master} of ${home}, the same lines; times as long as sheaf (medians):`);
for (const other of ["rdd", "sql"]) {
  const ratio = (name) => (median(walls[other]) / median(walls[name])).toFixed(2);
  console.log(`${titles[other].padEnd(14)} ${ratio("map")}`);
}
