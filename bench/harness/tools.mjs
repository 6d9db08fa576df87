// Programs a bench is run against. None of them has to be there.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const baseline = (name) => fileURLToPath(new URL(`../baselines/${name}`, import.meta.url));
export const benchJob = (name) => fileURLToPath(new URL(`../jobs/${name}`, import.meta.url));
export const example = (name) => fileURLToPath(new URL(`../../examples/${name}`, import.meta.url));
const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

/** A shell command: no user input goes in, paths are given as "$1", "$2" ... */
export const shell = (script, ...paths) => ["sh", "-c", script, "sh", ...paths];

export function sheaf(job, inputs, output, { workers, memory } = {}) {
  const command = [process.execPath, main, "run", job, ...inputs, "-o", output, "--quiet", "--overwrite"];
  if (workers !== undefined) command.push("--workers", String(workers));
  if (memory !== undefined) command.push("--memory", String(memory));
  return command;
}

/** undefined when the tool can be run, otherwise why not. */
export function missing(tool) {
  const found = spawnSync("sh", ["-c", `command -v ${tool}`]).status === 0;
  return found ? undefined : `no ${tool} here`;
}

/** Compiles a C baseline into the data directory: {path} or {skipped}. */
export function compiled(data, name) {
  const skipped = missing("cc");
  if (skipped) return { skipped };
  const path = data.path(`bin-${name}`);
  const flags = ["-O3", "-march=native", "-pthread", "-o", path, baseline(`${name}.c`)];
  const done = spawnSync("cc", flags, { encoding: "utf8" });
  return done.status === 0 && existsSync(path) ? { path } : { skipped: `cc: ${done.stderr}` };
}
