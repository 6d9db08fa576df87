// Builds the package and its tests, then sends a cluster of this machine messages that nobody of sheaf sends;
// arguments go to it (--help lists them). --no-build runs what was built before.
import { buildTests, run } from "./built.mjs";

const args = buildTests();
process.exit(run("--enable-source-maps", "build/test/fuzz/main.js", ...args));
