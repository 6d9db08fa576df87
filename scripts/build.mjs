// Builds dist/: the WebAssembly kernels beside the module that loads them, then tsc, file to file. What has
// not changed since dist/ was built is not compiled again; without dist/ all is.
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, statSync } from "node:fs";
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
removeStale(at("dist"), at("src"));
run("node_modules/typescript/bin/tsc", "-p", "tsconfig.json", ...incremental("dist"));
run("scripts/vendor.mjs");
if (existsSync(at("dist/cli/main.js"))) chmodSync(at("dist/cli/main.js"), 0o755);
