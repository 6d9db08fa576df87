import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** A Python that has a package from PyPI, kept between runs. */
export interface PackagePython {
  readonly program: string;
  /** For the options of tests: why it cannot be had; false when it is there. */
  readonly skip: string | false;
}

export function mrjobPython(): PackagePython {
  return pythonWith("mrjob", "0.7.4");
}

/** Where it cannot be had, that is said; in CI it throws. */
export function pythonWith(name: string, version: string): PackagePython {
  const cache = process.env["SHEAF_TEST_CACHE"] ?? join(homedir(), ".cache", "sheaf-test");
  const place = join(cache, `${name}-${version}`);
  const found = { program: join(place, "bin", "python"), skip: false } as const;
  if (existsSync(found.program)) return found;
  // Test files run at the same time: each makes its own, and the first to be done leaves it for all.
  const making = `${place}.${process.pid}`;
  mkdirSync(cache, { recursive: true });
  const why = install(making, `${name}==${version}`) ?? settle(making, place);
  rmSync(making, { recursive: true, force: true });
  if (why === undefined) return found;
  if (process.env["CI"] === "true") throw new Error(why);
  process.stderr.write(`SKIPPED: tests with ${name}: ${why}\n`);
  return { ...found, skip: why };
}

function install(place: string, wanted: string): string | undefined {
  for (const words of [
    ["python3", "-m", "venv", place],
    [join(place, "bin", "python"), "-m", "pip", "install", "--quiet", wanted],
  ]) {
    const { status, stderr, error } = spawnSync(words[0]!, words.slice(1), { encoding: "utf8" });
    if (status !== 0) return `${wanted} cannot be installed: ${stderr ?? error?.message}`;
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
