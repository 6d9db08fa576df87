import { fileURLToPath } from "node:url";
import { builtUrl } from "../../../base/package-places.ts";
import { shellWord } from "../../../base/shell-word.ts";

/** Between the warning and the end of the time, besides the agents' grace, s: Slurm warns 60 s early. */
const warnSeconds = 90;
const signalSecondsMax = 65_535;

export interface BatchScriptOptions {
  readonly nodes: number;
  /** Directory of the log, slurm-JOB.log. */
  readonly directory: string;
  readonly graceMs: number;
  /** The job's comment, by which it is found again. */
  readonly mark: string;
  /** Arguments of `sheaf slurm pilot`. */
  readonly pilot: readonly string[];
}

/**
 * The batch script of a pilot. Slurm signals it before the time is up, and `sheaf slurm down` does; it is the
 * pilot itself by then, which lets the agents finish what they run.
 */
export function batchScript({ nodes, directory, graceMs, mark, pilot }: BatchScriptOptions): string {
  const signal = Math.min(signalSecondsMax, Math.ceil(graceMs / 1000) + warnSeconds);
  return [
    "#!/bin/sh",
    "# A sheaf cluster for as long as this job runs: a coordinator, and an agent on each node.",
    "#SBATCH --job-name=sheaf",
    `#SBATCH --comment=${mark}`,
    `#SBATCH --nodes=${nodes}`,
    "#SBATCH --ntasks-per-node=1",
    // A node that fails takes its agent with it, and no more.
    "#SBATCH --no-kill",
    `#SBATCH --signal=B:TERM@${signal}`,
    `#SBATCH --output=${outputPattern(directory)}`,
    "",
    ...startSheaf(pilot),
    "",
  ].join("\n");
}

/** The lines that become this very sheaf, by the Node of this machine or, without one, of the PATH. */
function startSheaf(args: readonly string[]): string[] {
  const main = fileURLToPath(new URL("cli/main.js", builtUrl));
  return [
    `usual=${shellWord(process.execPath)}`,
    `main=${shellWord(main)}`,
    'if [ -x "$usual" ]; then node=$usual; else node=$(command -v node) || {',
    '  echo "there is no Node on $(hostname): neither $usual nor one on the PATH" >&2; exit 127; }',
    "fi",
    '[ -r "$main" ] || {',
    '  echo "$(hostname) does not see $main: install sheaf on a file system that the nodes share" >&2; exit 127; }',
    `exec "$node" "$main" ${args.map((word) => shellWord(word)).join(" ")}`,
  ];
}

/** As sbatch reads it, which fills in what begins with %. */
function outputPattern(directory: string): string {
  const path = `${directory.replaceAll("%", "%%")}/slurm-%j.log`;
  return /^[\w./%+=:,@-]+$/.test(path) ? path : `"${path.replace(/["\\]/g, "\\$&")}"`;
}
