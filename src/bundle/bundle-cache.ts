import { createHash } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import type { Stats } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { packageUrl } from "../base/package-places.ts";
import type { LookedAt } from "./looked-at.ts";

/** What a bundle is remembered by. */
export interface BundleKey {
  readonly outDirectory: string;
  /** Absolute path of the job file. */
  readonly entry: string;
  readonly external: readonly string[];
}

interface Made {
  readonly hash: string;
  /** SHA-256 of job.mjs. */
  readonly runnable: string;
  readonly warnings: readonly string[];
}

/** A directory of which some entries matter: those esbuild always looks for, and those it tried. */
interface DirectoryFact {
  /** When nothing has come or gone since, the rest need not be looked at; "" when that cannot be told. */
  readonly stamp: string;
  /** Beginnings of names that matter; "" for all. */
  readonly stems: readonly string[];
  readonly names: readonly string[];
}

/** Which bundle a job file gave, and the state of everything that had a say in it. */
interface CacheEntry extends Made {
  readonly files: Readonly<Record<string, string>>;
  readonly links: Readonly<Record<string, string>>;
  readonly directories: Readonly<Record<string, DirectoryFact>>;
}

/**
 * A file changed this shortly before it was read may change again within one tick of the file system's
 * clock.
 */
const racyMs = 50;

/** What esbuild looks for in every directory on its way up, without saying so when it is not there. */
const configNames = [
  "package.json",
  "tsconfig.json",
  "jsconfig.json",
  "node_modules",
  ".pnp.cjs",
  ".pnp.js",
  ".pnp.data.json",
];

/**
 * The bundle last made for `key`; null when there is none, when anything that esbuild read or tried has
 * changed since, or when the bundle is no longer what was made.
 */
export function readBundleCache(key: BundleKey): Pick<Made, "hash" | "warnings"> | null {
  try {
    const cached = JSON.parse(readFileSync(entryPath(key), "utf8")) as CacheEntry;
    for (const [path, known] of Object.entries(cached.files)) if (signature(path) !== known) return null;
    for (const [path, target] of Object.entries(cached.links))
      if (realpathSync.native(path) !== target) return null;
    for (const [path, fact] of Object.entries(cached.directories)) if (!holds(path, fact)) return null;
    const directory = join(key.outDirectory, bundleDirectory(cached.hash));
    const isWhole =
      digest(readFileSync(join(directory, "job.mjs"))) === cached.runnable &&
      digest(readFileSync(join(directory, "portable.mjs"))).startsWith(cached.hash);
    return isWhole ? cached : null;
  } catch {
    return null;
  }
}

/**
 * Remembers a bundle. `startedMs`: wall time before the first input was read. Failing to write is no
 * failure.
 */
export function writeBundleCache(
  key: BundleKey,
  made: Made & { readonly inputs: readonly string[]; readonly looked: LookedAt; readonly startedMs: number },
): void {
  const { hash, runnable, warnings, inputs, looked, startedMs } = made;
  try {
    const facts = factsOf([...inputs, ...ownFiles(), ...looked.paths], looked, startedMs - racyMs);
    if (facts === null) return;
    const entry: CacheEntry = { hash, runnable, warnings, ...facts };
    const path = entryPath(key);
    mkdirSync(dirname(path), { recursive: true });
    const aside = mkdtempSync(`${path}.`);
    writeFileSync(join(aside, "entry"), JSON.stringify(entry));
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
  return `${hash}.${digest(import.meta.url).slice(0, 8)}`;
}

/** Keyed by the job file, this package's place, the options, and what of the environment has a say. */
function entryPath({ outDirectory, entry, external }: BundleKey): string {
  const { NODE_ENV, NODE_PATH, ESBUILD_BINARY_PATH } = process.env;
  const key = ["4", import.meta.url, entry, external, NODE_ENV, NODE_PATH, ESBUILD_BINARY_PATH];
  return join(outDirectory, "index", `${digest(JSON.stringify(key)).slice(0, 24)}.json`);
}

/** Another version of sheaf may bundle otherwise. */
function ownFiles(): string[] {
  return [fileURLToPath(import.meta.url), fileURLToPath(new URL("package.json", packageUrl))];
}

function digest(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/** Null when something has just changed, so that nobody can say whether esbuild saw it. */
function factsOf(
  paths: readonly string[],
  looked: LookedAt,
  settledMs: number,
): Omit<CacheEntry, keyof Made> | null {
  const files: Record<string, string> = {};
  const links: Record<string, string> = {};
  const stems = new Map<string, Set<string>>();
  const mind = (directory: string, stem: string): void => {
    if (!stems.has(directory)) stems.set(directory, new Set());
    stems.get(directory)!.add(stem);
  };
  for (const path of new Set(paths)) {
    const stat = statOf(path);
    if (stat === null) {
      mindMissing(path, mind);
      continue;
    }
    const target = realpathSync.native(path);
    if (target !== path) links[path] = target;
    if (!stat.isFile()) continue;
    if (stat.ctimeMs > settledMs) return null;
    files[path] = signature(path);
  }
  for (const stem of looked.stems) {
    const [directory, name] = stem.endsWith("/") ? [stem.slice(0, -1), ""] : [dirname(stem), basename(stem)];
    if (isDirectory(directory)) mind(directory, name);
    else mindMissing(directory, mind);
  }
  for (const directory of looked.walked) mind(directory, "");
  for (const directory of looked.directories) {
    if (!isDirectory(directory)) continue;
    if (!stems.has(directory)) stems.set(directory, new Set());
    for (const name of configNames) {
      const path = join(directory, name);
      const stat = statOf(path);
      if (stat?.isFile() !== true) continue;
      if (stat.ctimeMs > settledMs) return null;
      files[path] = signature(path);
    }
  }
  const directories: Record<string, DirectoryFact> = {};
  for (const [directory, minded] of stems) {
    const fact = directoryFact(directory, [...minded], settledMs);
    if (fact === null) return null;
    directories[directory] = fact;
  }
  return { files, links, directories };
}

/** Of a path that is not there, the first part that is missing matters. */
function mindMissing(path: string, mind: (directory: string, stem: string) => void): void {
  let missing = path;
  while (!isDirectory(dirname(missing)) && dirname(missing) !== missing) missing = dirname(missing);
  mind(dirname(missing), basename(missing));
}

function directoryFact(directory: string, stems: string[], settledMs: number): DirectoryFact | null {
  const stat = statSync(directory, { bigint: true });
  const names = namesIn(directory, stems);
  for (const name of names) {
    const entry = lstatSync(join(directory, name), { throwIfNoEntry: false });
    if (entry?.isDirectory() === false && entry.ctimeMs > settledMs) return null;
  }
  return { stamp: Number(stat.ctimeMs) > settledMs ? "" : stampOf(stat), stems, names };
}

function holds(directory: string, { stamp, stems, names }: DirectoryFact): boolean {
  const stat = statSync(directory, { bigint: true, throwIfNoEntry: false });
  if (stat === undefined) return false;
  if (stampOf(stat) === stamp) return true;
  const now = namesIn(directory, stems);
  return now.length === names.length && now.every((name, index) => name === names[index]);
}

/** The entries that matter, sorted. */
function namesIn(directory: string, stems: readonly string[]): string[] {
  if (stems.length === 0) return configNames.filter((name) => existsSync(join(directory, name)));
  const matters = (name: string): boolean =>
    configNames.includes(name) || stems.some((stem) => name.startsWith(stem));
  return readdirSync(directory).filter(matters).sort();
}

function isDirectory(path: string): boolean {
  return statOf(path)?.isDirectory() ?? false;
}

/** Null when nothing can be read there, whatever the reason. */
function statOf(path: string): Stats | null {
  try {
    return statSync(path, { throwIfNoEntry: false }) ?? null;
  } catch {
    return null;
  }
}

type BigStat = {
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly size: bigint;
  readonly ino: bigint;
};

function stampOf(stat: Omit<BigStat, "size">): string {
  return `${stat.mtimeNs}-${stat.ctimeNs}-${stat.ino}`;
}

function signature(path: string): string {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? "" : `${stampOf(stat)}-${stat.size}`;
}
