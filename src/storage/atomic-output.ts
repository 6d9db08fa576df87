import { createHash } from "node:crypto";
import { fsync, lstatSync, renameSync } from "node:fs";
import { chmod, lstat, mkdir, mkdtemp, open, readdir, realpath, rename, rmdir } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { basename, dirname, join, resolve, sep } from "node:path";
import { promisify } from "node:util";
import { SheafError } from "../base/errors.ts";
import { asSheafError, errnoOf, quotePath } from "./fs-error.ts";
import { refuseAddress } from "./list-input.ts";
import { checkOwnOutput, outputExists } from "./own-output.ts";
import { isAlive, removeDirectory, removeStale, takeFromStale } from "./remove-directory.ts";
import { canonicalAddress, isStored, storedOutput } from "./stores.ts";
import { makeTempDirectory } from "./temp-directory.ts";

/*
 * Beside an output directory `out` may lie, while a run works or after one was killed:
 *   .out.sheaf-<host>-<pid>-<random>       what it has written so far
 *   .out.sheaf-old-<host>-<pid>-<random>   the output it replaces, between the two renames of a swap
 *   .out.sheaf-job-<job>                   both, of a job that several machines have a hand in
 * <host> is a hash of the host's name: on a shared file system only the host of a process can tell that it is
 * dead.
 */

/** Whoever only looks whether an output can be made, ahead of its job, writes nothing. */
const checkingJob = "check";

export interface OutputOptions {
  /** Whether an existing output is replaced. Default false. */
  readonly overwrite?: boolean;
  /**
   * Paths that the output must not contain or be: inputs, the job file. The current directory is always one
   * of them.
   */
  readonly keep?: readonly string[];
}

export interface CommitOptions {
  /** Whether an existing output is replaced. Default false. */
  readonly overwrite?: boolean;
  /**
   * Directory, on the output's file system, where the output that is replaced waits. Whoever commits again
   * after a crash, with the same one, goes on from there. Default: one of this process's own.
   */
  readonly aside?: string;
  /**
   * Files that the new directory has once it is whole. Where several commit at once, one may find the
   * directory made anew by another, when a third has already made it the output: without these files it is
   * not exchanged for that. Default: none, the directory has to be there.
   */
  readonly whole?: readonly string[];
  /** Called before each step up to the swap itself; what it throws ends the commit. */
  readonly step?: (() => void) | undefined;
  /**
   * Places another directory, just before the swap, when all else is done: it stays when this one does.
   * Default: nothing.
   */
  readonly beside?: (() => Promise<Placed>) | undefined;
}

/**
 * Called before any task: whether `out`, a path or an address, can become the output. First clears away what
 * killed runs have left beside it; an output that one of them had set aside and not yet replaced is put back.
 * @throws SheafError OUTPUT_EXISTS when there is anything at `out` (a link to nothing, too) and `overwrite`
 * is off; OUTPUT_UNWRITABLE when it cannot be created, or overwriting it would remove something in `keep` or
 * what no job has written
 */
export async function checkOutput(out: string, options: OutputOptions = {}): Promise<void> {
  if (out === "" || out.includes("\0")) {
    throw new SheafError("USAGE", `output path ${JSON.stringify(out)} is empty or holds a NUL`, {
      hint: "Give the path of a directory.",
    });
  }
  refuseAddress(out, "output");
  if (isStored(out)) {
    // Whether the storage can be written is told first.
    const output = await storedOutput(out, checkingJob);
    const stored = (options.keep ?? []).filter((one) => isStored(one));
    return output.check({ ...options, keep: await Promise.all(stored.map(canonicalAddress)) });
  }
  const path = resolve(out);
  await clearStale(path);
  if (!(await exists(path, out))) return;
  if (options.overwrite !== true) throw outputExists(out);
  await checkKept(out, [process.cwd(), ...(options.keep ?? [])]);
  await checkOwnOutput(path, out);
}

/**
 * Refuses an output whose replacement would remove one of the files or directories in `kept`, which may be
 * many; addresses among them are as they were listed.
 * @throws SheafError OUTPUT_UNWRITABLE
 */
export async function checkKept(out: string, kept: readonly string[]): Promise<void> {
  if (isStored(out)) {
    const address = await canonicalAddress(out);
    const inside = kept.find((one) => one.startsWith(address));
    if (inside !== undefined) throw wouldRemove(out, inside);
    return;
  }
  const path = resolve(out);
  const real = await realpath(path).catch(() => path);
  const inside = real === sep ? sep : real + sep;
  const parents = new Map<string, string>();
  for (const file of kept) {
    const parent = dirname(resolve(file));
    let parentReal = parents.get(parent);
    if (parentReal === undefined) {
      parentReal = await realpath(parent).catch(() => parent);
      parents.set(parent, parentReal);
    }
    const name = basename(resolve(file));
    // The file itself may be a link; so may be what it is a part of.
    const places = [join(parentReal, name), await realpath(file).catch(() => resolve(file))];
    if (!places.some((place) => place === real || place.startsWith(inside))) continue;
    throw wouldRemove(out, file);
  }
}

function wouldRemove(out: string, file: string): SheafError {
  return new SheafError(
    "OUTPUT_UNWRITABLE",
    `overwriting ${quotePath(out)} would remove ${quotePath(file)}`,
    {
      hint: "Choose another output directory, or inputs that do not lie in this one.",
      details: { path: out },
    },
  );
}

/**
 * Makes a directory beside `out`, on the same file system, for the files that will be committed; of an output
 * in a store, where they are uploaded from, in the temporary directory. Its mode is 0700; missing parents of
 * `out` are created. @throws SheafError OUTPUT_UNWRITABLE, DISK_FULL
 */
export async function createTempOutput(out: string): Promise<string> {
  if (isStored(out)) return makeTempDirectory(tmpdir());
  const path = resolve(out);
  try {
    await mkdir(dirname(path), { recursive: true });
    return await mkdtemp(`${siblingPrefix(path)}${hostTag()}-${process.pid}-`);
  } catch (error) {
    throw asSheafError(error, { path: dirname(out), doing: "create", code: "OUTPUT_UNWRITABLE" });
  }
}

/** Removes what createTempOutput made, with all that is in it. Never throws; a second call does nothing. */
export async function discardTempOutput(temp: string): Promise<void> {
  await removeDirectory(temp);
}

/** A directory that has its place, until it is said that it is to stay there. */
export interface Placed {
  /** What was replaced goes. Never throws. */
  done(): Promise<void>;
  /** All is as it was before. @throws SheafError OUTPUT_UNWRITABLE where it cannot be */
  undo(): Promise<void>;
}

/**
 * Makes `temp` the output, at once and durably: its files and directories are synced, then it is renamed to
 * `out`. With `overwrite` what was at `out` is set aside first and removed last; when the swap fails in
 * between it is put back. After a throw `out` is as it was before and `temp` is still there.
 * @throws SheafError OUTPUT_EXISTS when something has appeared at `out`; OUTPUT_UNWRITABLE, with `overwrite`
 * also when that is no job's output; DISK_FULL
 */
export async function commitDirectory(temp: string, out: string, options: CommitOptions = {}): Promise<void> {
  const placed = await placeDirectory(temp, out, options);
  await placed.done();
}

/** The same, when it is not known yet whether it is to stay. */
export async function placeDirectory(
  temp: string,
  out: string,
  options: CommitOptions = {},
): Promise<Placed> {
  const path = resolve(out);
  try {
    await chmod(temp, 0o777 & ~process.umask());
    await syncTree(temp, options.step);
    options.step?.();
  } catch (error) {
    throw asSheafError(error, { path: temp, doing: "sync" });
  }
  const beside = (await options.beside?.()) ?? null;
  try {
    const aside = await swap(temp, out, options);
    return {
      async done() {
        // The output is in its place: whatever goes wrong from here on cannot undo that, and is no failure.
        await beside?.done();
        await syncPath(dirname(path)).catch(() => undefined);
        if (aside !== null) await removeDirectory(aside);
      },
      async undo() {
        await rename(path, temp).catch((error: unknown) => {
          throw asSheafError(error, { path: out, doing: "rename" });
        });
        if (aside !== null) await putBack(aside, path, out, null);
        await beside?.undo();
      },
    };
  } catch (error) {
    await beside?.undo();
    throw error;
  }
}

/** @returns where what was there before waits; null: there was nothing */
async function swap(temp: string, out: string, options: CommitOptions): Promise<string | null> {
  const path = resolve(out);
  const aside = (await exists(path, out))
    ? await setAside(temp, path, out, options)
    : (options.aside ?? null);
  try {
    await rename(temp, path);
  } catch (error) {
    if (aside !== null) await putBack(aside, path, out, error);
    const errno = errnoOf(error);
    if (errno === "ENOTEMPTY" || errno === "EEXIST" || errno === "ENOTDIR") throw outputExists(out);
    throw asSheafError(error, { path: out, doing: "rename" });
  }
  return aside;
}

async function setAside(temp: string, path: string, out: string, options: CommitOptions): Promise<string> {
  if (options.overwrite !== true) throw outputExists(out);
  // What is there now may not be what was there when the job began.
  await checkOwnOutput(path, out);
  let aside: string | null = null;
  try {
    if (options.aside === undefined) {
      aside = await mkdtemp(`${siblingPrefix(path)}old-${hostTag()}-${process.pid}-`);
    } else {
      aside = options.aside;
      await mkdir(aside, { recursive: true, mode: 0o700 });
    }
    // In one go: when somebody else has just made `temp` the output, that is not the one to be set aside.
    for (const file of options.whole ?? [""]) lstatSync(join(temp, file));
    renameSync(path, join(aside, OLD_NAME));
    return aside;
  } catch (error) {
    // Only when it is empty: it may hold what an earlier try has set aside.
    if (aside !== null) await rmdir(aside).catch(() => undefined);
    throw asSheafError(error, { path: out, doing: "rename" });
  }
}

const OLD_NAME = "old";

/**
 * After a commit with `aside` that nobody will finish: the output it was about to replace is in its place
 * again. Never throws; nothing happens when there is nothing to put back, or the output is there.
 */
export async function putAsideBack(aside: string, out: string): Promise<void> {
  const path = resolve(out);
  try {
    if (!(await exists(path, out))) await rename(join(aside, OLD_NAME), path);
  } catch {
    // Nothing was set aside.
  }
}

/** Where a job puts its output together beside `out`, whichever machines have a hand in it. */
export function jobSibling(out: string, job: string): string {
  return `${siblingPrefix(resolve(out))}job-${job}`;
}

async function putBack(aside: string, path: string, out: string, cause: unknown): Promise<void> {
  try {
    await rename(join(aside, OLD_NAME), path);
    await removeDirectory(aside);
  } catch (error) {
    // No earlier output was set aside.
    if (errnoOf(error) === "ENOENT" && !(await exists(join(aside, OLD_NAME), out))) return;
    throw new SheafError(
      "OUTPUT_UNWRITABLE",
      `the new output could not be renamed to ${quotePath(out)}, nor could the earlier one be put back`,
      {
        hint: `The earlier output is in ${quotePath(join(aside, OLD_NAME))}; move it back by hand.`,
        cause: new AggregateError([cause, error]),
        details: { path: out },
      },
    );
  }
}

/** Removes what dead runs have left beside `path`. Best effort: what cannot be removed stays. */
async function clearStale(path: string): Promise<void> {
  const directory = dirname(path);
  const prefix = basename(siblingPrefix(path));
  const names = await readdir(directory).catch(() => []);
  for (const name of names) {
    if (!name.startsWith(prefix)) continue;
    const match = /^(old-)?([0-9a-f]+)-(\d+)-\w+$/.exec(name.slice(prefix.length));
    if (match === null || match[2] !== hostTag() || isAlive(Number(match[3]))) continue;
    const stale = join(directory, name);
    if (match[1] !== undefined && !(await exists(path, path))) {
      await takeFromStale(stale, OLD_NAME, path);
      // Whatever is in it may be all that is left of an output.
      if (!(await exists(path, path))) {
        await rmdir(stale).catch(() => undefined);
        continue;
      }
    }
    await removeStale(stale);
  }
}

/** Long names are cut: with the rest of the name they would exceed the 255 bytes a name may have. */
function siblingPrefix(path: string): string {
  const name = Buffer.from(basename(path))
    .subarray(0, 150)
    .toString("utf8")
    .replace(/\ufffd+$/, "");
  return join(dirname(path), `.${name}.sheaf-`);
}

/** A hash of the name of this host. */
export function hostTag(): string {
  return createHash("sha256").update(hostname()).digest("hex").slice(0, 8);
}

async function exists(path: string, out: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw asSheafError(error, { path: out, doing: "create" });
  }
}

/** Files synced at once: enough to keep a disk busy, few enough for any limit on open files. */
const SYNCS_AT_ONCE = 16;

async function syncTree(directory: string, step: (() => void) | undefined): Promise<void> {
  const files: string[] = [];
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await syncTree(path, step);
    else if (entry.isFile()) files.push(path);
  }
  for (let at = 0; at < files.length; at += SYNCS_AT_ONCE) {
    step?.();
    await Promise.all(files.slice(at, at + SYNCS_AT_ONCE).map(syncPath));
  }
  await syncPath(directory).catch((error: unknown) => {
    // Some file systems cannot sync a directory; its files are safe all the same.
    if (!UNSYNCABLE.has(errnoOf(error) ?? "")) throw error;
  });
}

const UNSYNCABLE: ReadonlySet<string> = new Set(["EINVAL", "ENOTSUP", "EPERM", "EACCES", "EISDIR"]);

/** Puts a file or directory on the disk. */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    // Not handle.sync(), which Yarn's Plug'n'Play does not have.
    await promisify(fsync)(handle.fd);
  } finally {
    await handle.close();
  }
}
