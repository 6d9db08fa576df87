// Builds dist/: the WebAssembly kernels beside the module that loads them, then tsc, file to file.
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, renameSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { removeStale } from "./stale.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const at = (path) => `${root}${path}`;

function run(file, ...args) {
  const done = spawnSync(process.execPath, [at(file), ...args], { stdio: "inherit", cwd: root });
  if (done.status !== 0) process.exit(done.status ?? 1);
}

if (existsSync(at("src/kernel/assembly/index.ts"))) {
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
  renameSync(at(`dist/kernel/kernels.${process.pid}.wasm`), at("dist/kernel/kernels.wasm"));
}
removeStale(at("dist"), at("src"));
run("node_modules/typescript/bin/tsc", "-p", "tsconfig.json");
run("scripts/vendor.mjs");
if (existsSync(at("dist/cli/main.js"))) chmodSync(at("dist/cli/main.js"), 0o755);
