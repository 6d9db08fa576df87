// Builds the package and its tests, then runs jobs on a cluster of this machine while faults come; arguments
// go to it (--help lists them). --no-build runs what was built before.
import { buildTests, run } from "./built.mjs";

const args = buildTests();
process.exit(run("--enable-source-maps", "build/test/chaos/main.js", ...args));
