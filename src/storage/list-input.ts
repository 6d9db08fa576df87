import type { Stats } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import type * as Tinyglobby from "tinyglobby";
import { SheafError } from "../base/errors.ts";
import { suggest } from "../base/suggest.ts";
import { asSheafError, errnoOf, quotePath } from "./fs-error.ts";

// Loaded when a path first looks like a pattern: most runs name files, and should not wait for it.
const load = createRequire(import.meta.url);
const globber = (): typeof Tinyglobby => load("tinyglobby") as typeof Tinyglobby;
const SPECIAL = /[*?[\]{}()!+@]/;

function isDynamicPattern(path: string): boolean {
  return SPECIAL.test(path) && globber().isDynamicPattern(path);
}

export interface InputFile {
  /** Absolute path. */
  readonly path: string;
  /** The path as the user would know it: as given, or below the directory given. */
  readonly name: string;
  readonly bytes: number;
  readonly mtimeMs: number;
  /**
   * Where its bytes lie, for a storage that knows: what is read there is read from the host's own disks. Left
   * out: no host is nearer than another, as with files of this machine and mounts that all see.
   */
  readonly held?: readonly HeldRange[];
}

/** Bytes `start` to below `end` of a file, and the hosts, by name or address, that each hold all of them. */
export interface HeldRange {
  readonly start: number;
  readonly end: number;
  readonly hosts: readonly string[];
}

const STATS_AT_ONCE = 64;

/**
 * The regular files that user paths mean, sorted by the bytes of their absolute paths, each once (also when
 * links lead to it twice). A path is a file, a directory (all files below it, except names that begin with
 * "." or "_"), or a glob; what exists under a literal name is taken as that name. Links are followed. Never
 * opens a file, so never blocks on one. `step` is called for every file; what it throws ends the listing.
 * @throws SheafError INPUT_MISSING when a path means nothing, INPUT_UNREADABLE for FIFOs, sockets, devices,
 * link loops
 */
export async function listInput(
  paths: readonly string[],
  options: { readonly cwd?: string; readonly step?: (() => void) | undefined } = {},
): Promise<InputFile[]> {
  const cwd = options.cwd ?? process.cwd();
  const found = new Map<string, Found>();
  const add: Add = (path, name, status) => {
    options.step?.();
    if (found.has(path)) return;
    const file = { path, name, bytes: status.size, mtimeMs: status.mtimeMs };
    found.set(path, { file, key: Buffer.from(path), inode: `${status.dev}:${status.ino}` });
  };
  for (const given of paths) await addPath(given, cwd, add);
  const sorted = [...found.values()].toSorted((a, b) => Buffer.compare(a.key, b.key));
  return withoutLinked(sorted);
}

interface Found {
  readonly file: InputFile;
  /** The path's bytes: encoded once, not once per comparison. */
  readonly key: Buffer;
  readonly inode: string;
}

type Add = (path: string, name: string, status: Stats) => void;

/** Leaves out files that were reached a second time over links. Hard links are files of their own. */
async function withoutLinked(sorted: readonly Found[]): Promise<InputFile[]> {
  const count = new Map<string, number>();
  for (const { inode } of sorted) count.set(inode, (count.get(inode) ?? 0) + 1);
  const seen = new Set<string>();
  const files: InputFile[] = [];
  for (const { file, inode } of sorted) {
    if (count.get(inode)! > 1) {
      const real = await realpath(file.path);
      if (seen.has(real)) continue;
      seen.add(real);
    }
    files.push(file);
  }
  return files;
}

async function addPath(given: string, cwd: string, add: Add): Promise<void> {
  if (given === "" || given.includes("\0")) {
    throw new SheafError("USAGE", `input path ${JSON.stringify(given)} is empty or holds a NUL`, {
      hint: "Give files, directories or globs.",
    });
  }
  const path = resolve(cwd, given);
  const status = await statOrNull(path, given);
  if (status !== null) return addExisting(path, given, status, add);
  const matches = isDynamicPattern(given) ? await globMatches(given, cwd) : [];
  for (const match of matches) {
    const name = isAbsolute(given) ? match : relative(cwd, match);
    const matched = await statOrNull(match, name);
    if (matched === null) throw dangling(name);
    if (matched.isFile()) add(match, name, matched);
  }
  if (matches.length === 0) throw await missing(given, path);
}

async function addExisting(path: string, name: string, status: Stats, add: Add): Promise<void> {
  if (status.isDirectory()) return addDirectory(path, name, [], add);
  if (!status.isFile()) {
    throw new SheafError("INPUT_UNREADABLE", `input ${quotePath(name)} is ${kindOf(status)}, not a file`, {
      hint: "Give regular files or directories; pipe a stream into standard input and give - as the input.",
      details: { path: name },
    });
  }
  add(path, name, status);
}

async function addDirectory(path: string, name: string, above: readonly string[], add: Add): Promise<void> {
  const real = await realpath(path).catch((error: unknown) => {
    throw asSheafError(error, { path: name, doing: "list" });
  });
  if (above.includes(real)) {
    throw new SheafError(
      "INPUT_UNREADABLE",
      `input directory ${quotePath(name)} is a link to a directory it lies in`,
      {
        hint: "Remove the link, or give the wanted directories one by one.",
        details: { path: name },
      },
    );
  }
  const names = await readdir(path).catch((error: unknown) => {
    throw asSheafError(error, { path: name, doing: "list" });
  });
  const wanted = names.filter((child) => !child.startsWith(".") && !child.startsWith("_"));
  for (let at = 0; at < wanted.length; at += STATS_AT_ONCE) {
    const some = wanted.slice(at, at + STATS_AT_ONCE);
    const statuses = await Promise.all(some.map((child) => statOrNull(join(path, child), join(name, child))));
    for (const [i, child] of some.entries()) {
      const status = statuses[i];
      const childName = join(name, child);
      if (!status) throw dangling(childName);
      if (status.isDirectory()) await addDirectory(join(path, child), childName, [...above, real], add);
      else if (status.isFile()) add(join(path, child), childName, status);
    }
  }
}

/**
 * Absolute paths; wildcards do not match names that begin with "." or "_" unless the pattern says so itself.
 */
async function globMatches(pattern: string, cwd: string): Promise<string[]> {
  // A directory that matches means what lies below it; following links, glob lists only files.
  const found = await globber().glob([pattern, `${pattern.replace(/\/+$/, "")}/**`], {
    cwd: isAbsolute(pattern) ? "/" : cwd,
    absolute: true,
    expandDirectories: false,
    followSymbolicLinks: true,
  });
  const segments = pattern.split("/");
  const fixed = segments.slice(
    0,
    segments.findIndex((segment) => isDynamicPattern(segment)),
  );
  const base = resolve(cwd, fixed.join("/") || (isAbsolute(pattern) ? "/" : "."));
  const asked = segments.some((segment) => segment.startsWith("_"));
  const hidden = (match: string): boolean =>
    !asked &&
    relative(base, match)
      .split("/")
      .some((segment) => segment.startsWith("_"));
  return found.filter((match) => !hidden(match));
}

async function statOrNull(path: string, name: string): Promise<Stats | null> {
  try {
    return await stat(path);
  } catch (error) {
    const errno = errnoOf(error);
    // A glob may well be longer than any name can be, or look like a path below a file.
    if (errno === "ENOENT" || ((errno === "ENAMETOOLONG" || errno === "ENOTDIR") && isDynamicPattern(name)))
      return null;
    throw asSheafError(error, { path: name, doing: "list" });
  }
}

function dangling(name: string): SheafError {
  const garbled = name.includes("\ufffd");
  const what = garbled ? "has a name that is not UTF-8" : "is a link to nothing, or was just removed";
  return new SheafError("INPUT_UNREADABLE", `input ${quotePath(name)} ${what}`, {
    hint: garbled ? "Rename the file." : "Remove or correct the link, or give the wanted files one by one.",
    details: { path: name },
  });
}

async function missing(given: string, path: string): Promise<SheafError> {
  if (isDynamicPattern(given)) {
    return new SheafError("INPUT_MISSING", `no file matches ${quotePath(given)}`, {
      hint: 'Wildcards do not match names that begin with "." or "_". Quote patterns in the shell.',
      details: { path: given },
    });
  }
  const siblings = await readdir(dirname(path)).catch(() => null);
  const near = siblings === null ? undefined : suggest(basename(path), siblings);
  const hint =
    siblings === null
      ? `There is no directory ${quotePath(dirname(given))} either.`
      : near === undefined
        ? "Check the spelling and the current directory."
        : `Did you mean ${quotePath(join(dirname(given), near))}?`;
  return new SheafError("INPUT_MISSING", `no such input: ${quotePath(given)}`, {
    hint,
    details: { path: given },
  });
}

function kindOf(status: Stats): string {
  if (status.isFIFO()) return "a FIFO";
  if (status.isSocket()) return "a socket";
  if (status.isCharacterDevice() || status.isBlockDevice()) return "a device";
  return "something else";
}
