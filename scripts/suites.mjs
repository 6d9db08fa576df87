// Which suite a test file belongs to: what most changes need in minutes, and two that start what takes long.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { root } from "./built.mjs";

/** Suites by name: how one runs them, what they have, and their files below test/; main has all others. */
export const suites = {
  main: { command: "npm test", has: "all that needs neither" },
  cluster: {
    command: "npm run test:cluster",
    has: "clusters of several agents, kills, full disks, damaged state, hostile code",
    files:
      /^(?:cluster|faults|fuzz)\/|^(?:agent\/real-coordinator|cli\/cluster-(?:jobs|queue)|incremental\/(?:cluster|killed)|pipeline\/(?:agents|kill)|runner\/(?:system|user-code)-faults)\.test/,
  },
  engines: {
    command: "npm run test:engines",
    has: "Hadoop, HDFS and Spark",
    files:
      /^hosted\/(?:hadoop|jar|lost-machine|matrix|near-maps|spark(?:-faults|-pipe|-yarn)?|streaming|strict-memory|yarn)\.test|^storage\/webhdfs-store\.test/,
  },
};

/** @returns {keyof typeof suites} the suite of a file, named from test/ on: "cluster/jobs.test.js" */
export const suiteOf = (name) =>
  Object.keys(suites).find((suite) => suites[suite].files?.test(name)) ?? "main";

/** Built test files, named from build/test/ on, sorted. */
export const testFiles = () =>
  readdirSync(join(root, "build/test"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".test.js"))
    .sort();
