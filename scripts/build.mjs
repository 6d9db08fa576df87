// Builds the package twice: dist/, which users run, and modules/, file to file, for tests of single modules.
// Both have the WebAssembly kernels; tsc writes modules/ and the types of dist/. What has not changed since
// is not compiled again; without dist/ all is.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { incremental, removeStale } from "./stale.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const at = (path) => `${root}${path}`;

function run(file, ...args) {
  const done = spawnSync(process.execPath, [at(file), ...args], { stdio: "inherit", cwd: root });
  if (done.status !== 0) process.exit(done.status ?? 1);
}

const kernels = "dist/kernel/kernels.wasm";
const isOlder = (path) =>
  !existsSync(at(kernels)) || statSync(at(kernels)).mtimeMs < statSync(at(path)).mtimeMs;
const kernelSources = readdirSync(at("src/kernel/assembly"), { recursive: true, encoding: "utf8" });

if (["scripts/build.mjs", ...kernelSources.map((name) => `src/kernel/assembly/${name}`)].some(isOlder)) {
  mkdirSync(at("dist/kernel"), { recursive: true });
  run(
    "node_modules/assemblyscript/bin/asc.js",
    "src/kernel/assembly/index.ts",
    "--outFile",
    `dist/kernel/kernels.${process.pid}.wasm`,
    "--runtime",
    "stub",
    "--importMemory",
    "--initialMemory",
    "1",
    "--enable",
    "simd",
    "--enable",
    "bulk-memory",
    "-O3",
    "--noAssert",
  );
  // By rename: whoever reads the file meanwhile sees the old or the new one whole.
  renameSync(at(`dist/kernel/kernels.${process.pid}.wasm`), at(kernels));
}
if (!existsSync(at("dist/index.d.ts"))) rmSync(at("modules"), { recursive: true, force: true });
mkdirSync(at("modules/kernel"), { recursive: true });
copyFileSync(at(kernels), at("modules/kernel/kernels.wasm"));
for (const built of ["dist", "modules"]) {
  mkdirSync(at(`${built}/hosted`), { recursive: true });
  copyFileSync(at("src/hosted/run.sh"), at(`${built}/hosted/run.sh`));
}
for (const built of ["dist", "modules"]) removeStale(at(built), at("src"));
run("node_modules/typescript/bin/tsc", "-p", "tsconfig.json", ...incremental("modules"));
run("scripts/bundle.mjs");
run("scripts/vendor.mjs");
