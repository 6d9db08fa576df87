import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const VERSION = "0.7.4";

/** A Python that has mrjob, from PyPI, kept between runs. */
export interface MrjobPython {
  readonly program: string;
  /** For the options of tests: why it cannot be had; false when it is there. */
  readonly skip: string | false;
}

/** Where it cannot be had, that is said; in CI it throws. */
export function mrjobPython(): MrjobPython {
  const cache = process.env["SHEAF_TEST_CACHE"] ?? join(homedir(), ".cache", "sheaf-test");
  const place = join(cache, `mrjob-${VERSION}`);
  const found = { program: join(place, "bin", "python"), skip: false } as const;
  if (existsSync(found.program)) return found;
  // Test files run at the same time: each makes its own, and the first to be done leaves it for all.
  const making = `${place}.${process.pid}`;
  mkdirSync(cache, { recursive: true });
  const why = install(making) ?? settle(making, place);
  rmSync(making, { recursive: true, force: true });
  if (why === undefined) return found;
  if (process.env["CI"] === "true") throw new Error(why);
  process.stderr.write(`SKIPPED: tests with mrjob: ${why}\n`);
  return { ...found, skip: why };
}

function install(place: string): string | undefined {
  for (const words of [
    ["python3", "-m", "venv", place],
    [join(place, "bin", "python"), "-m", "pip", "install", "--quiet", `mrjob==${VERSION}`],
  ]) {
    const { status, stderr, error } = spawnSync(words[0]!, words.slice(1), { encoding: "utf8" });
    if (status !== 0) return `mrjob ${VERSION} cannot be installed: ${stderr ?? error?.message}`;
  }
  writeFileSync(join(place, "whole"), "");
  return undefined;
}

/** The interpreter of a virtual environment finds its packages wherever the directory lies. */
function settle(from: string, place: string): string | undefined {
  try {
    renameSync(from, place);
  } catch (error) {
    if (!existsSync(join(place, "whole"))) return String(error);
  }
  return undefined;
}
