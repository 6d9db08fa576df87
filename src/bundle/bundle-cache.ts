import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";

/** Which bundle a job file gave, and the state of every file that had a say in it. */
interface CacheEntry {
  readonly hash: string;
  readonly warnings: readonly string[];
  /** Path to signature; "" for a file that did not exist and whose appearance would matter. */
  readonly files: Readonly<Record<string, string>>;
}

/**
 * A file changed this shortly before it was read may change again within one tick of the file system's
 * clock.
 */
const racyMs = 50;

/**
 * The bundle last made of `entry`, or null when there is none or any file it was made of has changed since.
 */
export function readBundleCache(
  outDirectory: string,
  entry: string,
): { hash: string; warnings: readonly string[] } | null {
  try {
    const cached = JSON.parse(readFileSync(entryPath(outDirectory, entry), "utf8")) as CacheEntry;
    for (const [path, known] of Object.entries(cached.files)) {
      if (signature(path) !== known) return null;
    }
    return existsSync(join(outDirectory, bundleDirectory(cached.hash), "job.mjs")) ? cached : null;
  } catch {
    return null;
  }
}

/**
 * Remembers a bundle. `startedMs`: wall time before the first input was read. Failing to write is no
 * failure.
 */
export function writeBundleCache(
  outDirectory: string,
  entry: string,
  made: { hash: string; warnings: readonly string[]; inputs: readonly string[]; startedMs: number },
): void {
  const files: Record<string, string> = {};
  for (const path of [...made.inputs, ...resolutionFiles(entry)]) {
    files[path] = signature(path);
    if (changedMs(path) > made.startedMs - racyMs) return;
  }
  const path = entryPath(outDirectory, entry);
  try {
    mkdirSync(dirname(path), { recursive: true });
    const entryToWrite: CacheEntry = { hash: made.hash, warnings: made.warnings, files };
    const aside = mkdtempSync(`${path}.`);
    writeFileSync(join(aside, "entry"), JSON.stringify(entryToWrite));
    renameSync(join(aside, "entry"), path);
    rmdirSync(aside);
  } catch {
    // A cache that cannot be kept costs time only.
  }
}

/**
 * Where a bundle is kept: by its hash, and by this package's place, whose URL is in the bundle as it is
 * loaded.
 */
export function bundleDirectory(hash: string): string {
  return `${hash}.${digest(import.meta.url, 8)}`;
}

/** Keyed by the job file and by this package's place. */
function entryPath(outDirectory: string, entry: string): string {
  return join(outDirectory, "index", `${digest(`3\0${import.meta.url}\0${entry}`, 24)}.json`);
}

function digest(text: string, letters: number): string {
  return createHash("sha256").update(text).digest("hex").slice(0, letters);
}

/** Files and directories that steer how imports resolve, from the job file's directory up. */
function resolutionFiles(entry: string): string[] {
  const found: string[] = [];
  for (let directory = dirname(entry); ; directory = dirname(directory)) {
    for (const name of ["package.json", "tsconfig.json", "node_modules"]) found.push(join(directory, name));
    if (directory === dirname(directory)) return found;
  }
}

function signature(path: string): string {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? "" : `${stat.mtimeNs}-${stat.ctimeNs}-${stat.size}-${stat.ino}`;
}

function changedMs(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.ctimeMs ?? 0;
}
