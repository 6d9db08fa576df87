import type { Stats } from "node:fs";
import { lstat, readdir, realpath, stat } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import { SheafError } from "../base/errors.ts";
import { Promise } from "../base/own-globals.ts";
import { suggest } from "../base/suggest.ts";
import { asSheafError, errnoOf, quotePath } from "./fs-error.ts";
import {
  expandBraces,
  type Glob,
  globMatches,
  isHidden,
  isPattern,
  localGlobWorld,
  parseGlob,
} from "./glob.ts";
import { allHidden, circle, hiddenIn, listStored } from "./list-stored.ts";
import { type HeldRange, splitAddress, type StoredFile } from "./store.ts";
import { isStored, storeOf } from "./stores.ts";
import { isOwnDescriptor, isStream } from "./stream-file.ts";

export interface InputFile {
  /** Absolute path, or the address of a file in a store. */
  readonly path: string;
  /** The path as the user would know it: as given, or below the directory given. */
  readonly name: string;
  readonly bytes: number;
  readonly mtimeMs: number;
  /** Of a file in a store: what reads of it are bound to. See StoredFile. */
  readonly version?: string;
  /** See StoredFile. */
  readonly exact?: true;
  /**
   * Where it lies below the input it was reached by (the directory given, the fixed part of a pattern), with
   * a number when several files lie so: the same however the input is spelled, from wherever. What
   * `--sample` knows the file by. Default: its name.
   */
  readonly place?: string;
  /** Its bytes come once, or their number is known only when they have come: see isStream. */
  readonly isStream?: true;
  /**
   * Where its bytes lie, for a storage that knows: what is read there is read from the host's own disks. Left
   * out: no host is nearer than another, as with files of this machine and mounts that all see.
   */
  readonly held?: readonly HeldRange[];
}

export interface ListOptions {
  /** Base of relative paths. Default: the current directory. */
  readonly cwd?: string;
  /** Called for every file; what it throws ends the listing. */
  readonly step?: (() => void) | undefined;
  /** Whether FIFOs and the like are listed when named, with `isStream`. Default false: they are refused. */
  readonly streams?: boolean;
}

const STATS_AT_ONCE = 64;

/**
 * The regular files that user paths mean, sorted by the bytes of their absolute paths, each once (also when
 * links lead to it twice). A path is a file, a directory (all files below it, except names that begin with
 * "." or "_"), or a pattern as bash reads them (see glob.ts); what exists under a literal name is taken as
 * that name. Links are followed. Never blocks on a FIFO. An address ("s3://bucket/logs/*.gz") means the same
 * in its store: see store.ts.
 * @throws SheafError INPUT_MISSING when a path means nothing, INPUT_UNREADABLE for sockets, devices, links to
 * nothing, link loops and, without `streams`, FIFOs; USAGE for an address that no store knows; as a Store's
 */
export async function listInput(paths: readonly string[], options: ListOptions = {}): Promise<InputFile[]> {
  const cwd = options.cwd ?? process.cwd();
  const found = new Map<string, Found>();
  const isKnown = (path: string, place: string): boolean => {
    options.step?.();
    const known = found.get(path);
    if (known === undefined) return false;
    // Reached twice: by the longer way, which does not depend on what was given first.
    if (isFurther(place, known.place)) found.set(path, { ...known, place });
    return true;
  };
  const add: Add = async ({ path, name, place }, status) => {
    if (isKnown(path, place)) return;
    const streams = await isStream(path, status);
    if (streams && options.streams !== true) throw streamRefused(name, status);
    const file = {
      path,
      name,
      bytes: status.size,
      mtimeMs: status.mtimeMs,
      ...(streams && { isStream: true as const }),
    };
    // The number of a descriptor says nothing of what is behind it.
    found.set(path, {
      file,
      place: isOwnDescriptor(path) ? "-" : place,
      key: Buffer.from(path),
      inode: `${status.dev}:${status.ino}`,
    });
  };
  for (const given of paths) {
    if (!isStored(given)) await addPath(given, cwd, add);
    else {
      for (const { file, place } of await listStored(await storeOf(given), given, options.step)) {
        if (!isKnown(file.address, place)) found.set(file.address, foundStored(file, place, options));
      }
    }
  }
  const sorted = [...found.values()].toSorted((a, b) => Buffer.compare(a.key, b.key));
  return numbered(await withoutLinked(sorted));
}

function foundStored(stored: StoredFile, place: string, { streams }: ListOptions): Found {
  const { address, bytes, mtimeMs, version, exact, held, identity = address } = stored;
  const isStream = bytes === null || version === null;
  if (isStream && streams !== true) throw streamRefused(address, null);
  const file: InputFile = {
    path: address,
    name: address,
    bytes: bytes ?? 0,
    mtimeMs,
    ...(isStream ? { isStream } : { version }),
    ...(exact === true && { exact }),
    ...(held !== undefined && { held }),
  };
  return { file, place, key: Buffer.from(address), inode: identity, real: identity };
}

interface Found {
  readonly file: InputFile;
  readonly place: string;
  /** The path's bytes: encoded once, not once per comparison. */
  readonly key: Buffer;
  readonly inode: string;
  /** Its path without links, where that is known. */
  readonly real?: string;
}

interface Place {
  /** Absolute. */
  readonly path: string;
  readonly name: string;
  readonly place: string;
}

type Add = (place: Place, status: Stats) => Promise<void>;

function isFurther(place: string, than: string): boolean {
  return place.length === than.length ? place > than : place.length > than.length;
}

/** Leaves out files that were reached a second time over links. Hard links are files of their own. */
async function withoutLinked(sorted: readonly Found[]): Promise<Found[]> {
  const count = new Map<string, number>();
  for (const { inode } of sorted) count.set(inode, (count.get(inode) ?? 0) + 1);
  const seen = new Set<string>();
  const files: Found[] = [];
  for (const one of sorted) {
    if (count.get(one.inode)! > 1) {
      // What is behind /dev/fd has no path of its own.
      const real = one.real ?? (await realpath(one.file.path).catch(() => one.file.path));
      if (seen.has(real)) continue;
      seen.add(real);
    }
    files.push(one);
  }
  return files;
}

/** Files that lie alike below different inputs are told apart by their order. */
function numbered(files: readonly Found[]): InputFile[] {
  const count = new Map<string, number>();
  return files.map(({ file, place }) => {
    const before = count.get(place) ?? 0;
    count.set(place, before + 1);
    return { ...file, place: before === 0 ? place : `${place}\0${before}` };
  });
}

async function addPath(given: string, cwd: string, add: Add): Promise<void> {
  if (given === "" || given.includes("\0")) {
    throw new SheafError("USAGE", `input path ${JSON.stringify(given)} is empty or holds a NUL`, {
      hint: "Give files, directories or globs.",
    });
  }
  const path = resolve(cwd, given);
  const status = await statOrNull(path, given);
  if (status !== null) return addExisting({ path, name: given, place: basename(path) }, status, add);
  refuseAddress(given);
  if (!isPattern(given)) throw await missing(given, path);
  const words = expandBraces(given).filter((word) => word !== "");
  let count = 0;
  for (const word of words) count += await addWord(parseGlob(word), word, cwd, add);
  if (count === 0) throw await missing(given, path);
}

/** Adds what one word matches; returns how much that is. */
async function addWord(glob: Glob, word: string, cwd: string, add: Add): Promise<number> {
  const matches = await globMatches(glob, localGlobWorld(cwd));
  // As in bash a word without a wildcard stands for itself, whether it is there or not.
  if (matches.length === 0 && glob.segments.length === 0)
    throw await missing(glob.base, resolve(cwd, glob.base));
  const base = resolve(cwd, glob.base === "" ? "." : glob.base);
  for (const match of matches) {
    const path = resolve(cwd, match);
    const name = isAbsolute(word) ? path : relative(cwd, path);
    const status = await statOrNull(path, name);
    if (status === null) throw dangling(name);
    const place = path === base ? basename(path) : relative(base, path);
    await addExisting({ path, name, place }, status, add, glob.segments.length === 0);
  }
  return matches.length;
}

/** @param isGiven false: found by a wildcard; a socket or a device among what matches is no error */
async function addExisting(at: Place, status: Stats, add: Add, isGiven = true): Promise<void> {
  const { path, name, place } = at;
  if (status.isDirectory()) {
    const prefix = isGiven ? "" : place;
    const found = await addDirectory({ path, name, place: prefix }, [], add);
    if (found.files === 0 && found.hidden > 0 && isGiven) throw allHidden(name, found.hidden);
    return;
  }
  if (status.isFile() || (status.isFIFO() && isGiven)) return add(at, status);
  if (!isGiven) return;
  throw new SheafError("INPUT_UNREADABLE", `input ${quotePath(name)} is ${kindOf(status)}, not a file`, {
    hint: "Give regular files or directories; pipe a stream into standard input and give - as the input.",
    details: { path: name },
  });
}

interface Listed {
  files: number;
  hidden: number;
}

async function addDirectory(at: Place, above: readonly string[], add: Add): Promise<Listed> {
  const { path, name } = at;
  const real = await realpath(path).catch((error: unknown) => {
    throw asSheafError(error, { path: name, doing: "list" });
  });
  if (above.includes(real)) throw circle(name);
  const names = await readdir(path).catch((error: unknown) => {
    throw asSheafError(error, { path: name, doing: "list" });
  });
  const wanted = names.filter((child) => !isHidden(child));
  const listed: Listed = { files: 0, hidden: hiddenIn(names) };
  for (let from = 0; from < wanted.length; from += STATS_AT_ONCE) {
    const some = wanted.slice(from, from + STATS_AT_ONCE);
    const statuses = await Promise.all(some.map((child) => statOrNull(join(path, child), join(name, child))));
    for (const [i, child] of some.entries()) {
      const status = statuses[i];
      const below = { path: join(path, child), name: join(name, child), place: join(at.place, child) };
      if (!status) throw dangling(below.name);
      if (status.isDirectory()) {
        const inside = await addDirectory(below, [...above, real], add);
        listed.files += inside.files;
        listed.hidden += inside.hidden;
      } else if (status.isFile()) {
        listed.files++;
        await add(below, status);
      }
    }
  }
  return listed;
}

async function statOrNull(path: string, name: string): Promise<Stats | null> {
  try {
    return await stat(path);
  } catch (error) {
    const errno = errnoOf(error);
    // A glob may well be longer than any name can be, or look like a path below a file.
    if (errno === "ENOENT" || ((errno === "ENAMETOOLONG" || errno === "ENOTDIR") && isPattern(name)))
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

/**
 * Refuses what is an address that no store knows, and no path.
 * @throws SheafError USAGE
 */
export function refuseAddress(given: string, what: "input" | "output" = "input"): void {
  const parts = splitAddress(given);
  if (parts === null || isStored(given)) return;
  const { scheme } = parts;
  const fetched = `${FETCHERS[scheme] ?? "FETCH ADDRESS"} | sheaf run job.ts -`.replace(
    "ADDRESS",
    `'${given}'`,
  );
  throw new SheafError(
    "USAGE",
    `${what} ${quotePath(given)} is an address, and sheaf knows no ${scheme}://`,
    {
      hint:
        what === "output"
          ? "Write to a directory, and copy that."
          : scheme === "file"
            ? "Give the path alone."
            : `Fetch it first, or pipe it in: ${fetched}`,
    },
  );
}

/** What reads an address, with ADDRESS for it, by its scheme. */
const FETCHERS: Readonly<Record<string, string>> = {
  ftp: "curl -fsSL ADDRESS",
  gs: "gcloud storage cat ADDRESS",
};

async function missing(given: string, path: string): Promise<SheafError> {
  const link = await lstat(path).catch(() => null);
  if (link !== null) return dangling(given);
  if (isPattern(given)) {
    return new SheafError("INPUT_MISSING", `no file matches ${quotePath(given)}`, {
      hint: patternHint(given),
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

function patternHint(given: string): string {
  if (/[?*+@!]\(/.test(given))
    return "Parentheses stand for themselves, as in bash without extglob; use {a,b}.";
  if (given.includes("["))
    return "In a pattern [ab] is one character, a or b; write \\[ for a bracket itself.";
  return 'Wildcards do not match names that begin with "." or "_". Quote patterns in the shell.';
}

/** @param status null: it lies in a store */
function streamRefused(name: string, status: Stats | null): SheafError {
  const what =
    status?.isFIFO() === true ? "a FIFO" : "a file whose bytes come only once, or whose size is not known";
  return new SheafError(
    "INPUT_UNREADABLE",
    `input ${quotePath(name)} is ${what}, which can be read here only`,
    {
      hint: "Copy it to a regular file that all can read, and give that, or run the job on this machine alone.",
      details: { path: name },
    },
  );
}

function kindOf(status: Stats): string {
  if (status.isSocket()) return "a socket";
  if (status.isCharacterDevice() || status.isBlockDevice()) return "a device";
  return "something else";
}
