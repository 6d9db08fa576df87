import { constants, existsSync, readFileSync, type Dirent, type Stats } from "node:fs";
import { type FileHandle, open, readdir, rename, rm, rmdir, stat, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errnoOf } from "./fs-error.ts";
import { hasModes } from "./private-directory.ts";

/*
 * Removing directories where other users may write, as in /tmp: between a look at a directory and the step
 * into it somebody may put a link in its place, and what the link leads to would be removed. So each
 * directory is opened without following a link, and all that is done in it goes through the open descriptor,
 * by Linux's /proc/self/fd. Elsewhere by paths, which stay what they are in directories that only this user
 * can change: others are left.
 */

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
const descriptors = "/proc/self/fd";
const hasDescriptors = process.platform === "linux" && existsSync(descriptors);

/**
 * Removes a directory with all that is in it, directories without the right to write included, or a file or
 * link. Never follows a link, never throws, and leaves what it cannot remove.
 */
export async function removeDirectory(path: string): Promise<void> {
  await remove(path, () => true);
}

/**
 * Removes what an earlier run has left: a directory of this user's, or a link. What belongs to others stays,
 * whatever its name says; so does, where others may rename what is this user's, a directory that is not of
 * mode 0700, as all temporary ones are. Never throws.
 */
export async function removeStale(path: string): Promise<void> {
  await remove(path, await staleRule(path));
}

/** Moves `name` out of a directory that removeStale would remove, to `target`. Never throws. */
export async function takeFromStale(directory: string, name: string, target: string): Promise<void> {
  try {
    const mayTake = await staleRule(directory);
    await within(directory, async (place, stats) => {
      if (mayTake(stats)) await rename(join(place, name), target);
    });
  } catch {
    // It is gone, or is not there.
  }
}

async function staleRule(path: string): Promise<(stats: Stats) => boolean> {
  const isSafe = await isOnlyOurs(dirname(path)).catch(() => false);
  return (stats) => isOwn(stats) && (isSafe || (stats.mode & 0o777) === 0o700);
}

/** Whether a process of this machine runs, whoever's it is: not one that has ended and is not yet reaped. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (errnoOf(error) === "ESRCH") return false;
  }
  return !hasEnded(pid);
}

/** Its parent may never ask how a process ended: until then it has a number, and does nothing. */
function hasEnded(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // Behind the program's name in parentheses, which may hold anything.
    return /^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}

/** Nobody else can remove or rename what this user has put into it. */
async function isOnlyOurs(directory: string): Promise<boolean> {
  const stats = await stat(directory);
  const isTrusted = isOwn(stats) || stats.uid === 0;
  const isSticky = (stats.mode & 0o1000) !== 0;
  return isTrusted && (isSticky || (stats.mode & 0o022) === 0);
}

function isOwn(stats: Stats): boolean {
  return !hasModes || stats.uid === process.geteuid!();
}

async function remove(path: string, mayRemove: (stats: Stats) => boolean): Promise<void> {
  try {
    if (!hasModes) await rm(path, { recursive: true, force: true, maxRetries: 3 });
    else if (hasDescriptors || (await isOnlyOurs(dirname(path)))) await removeEntry(path, mayRemove);
  } catch {
    // What cannot be removed stays. A later run tries again.
  }
}

async function removeEntry(path: string, mayRemove: (stats: Stats) => boolean): Promise<void> {
  try {
    const mayGo = await within(path, async (place, stats, handle) => {
      if (!mayRemove(stats)) return false;
      // From here on only this user can put anything into it, and can remove what is in it.
      if (isOwn(stats)) await handle.chmod(0o700);
      await empty(place);
      return true;
    });
    if (mayGo) await rmdir(path);
  } catch (error) {
    const errno = errnoOf(error);
    // No directory, or a link, which has this error by one of these names.
    if (errno === "ENOTDIR" || errno === "ELOOP" || errno === "EMLINK") await unlink(path);
    else if (errno !== "ENOENT") throw error;
  }
}

/** Files removed at once. */
const UNLINKS_AT_ONCE = 16;

async function empty(place: string): Promise<void> {
  const entries: Dirent[] = await readdir(place, { withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory());
  for (let at = 0; at < files.length; at += UNLINKS_AT_ONCE) {
    const some = files.slice(at, at + UNLINKS_AT_ONCE);
    await Promise.allSettled(some.map((entry) => unlink(join(place, entry.name))));
  }
  // What others have put there can go as well, where its way is held by descriptors.
  const inner = hasDescriptors ? (): boolean => true : isOwn;
  for (const entry of entries) {
    // One that stays keeps no other from going.
    if (entry.isDirectory()) await removeEntry(join(place, entry.name), inner).catch(() => undefined);
  }
}

/**
 * Runs `use` with a path that leads to the directory that is at `path` now, and to no other as long as `use`
 * runs. Throws ENOTDIR or ELOOP when it is no directory.
 */
async function within<T>(
  path: string,
  use: (place: string, stats: Stats, handle: FileHandle) => Promise<T>,
): Promise<T> {
  const handle = await open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const place = hasDescriptors ? join(descriptors, String(handle.fd)) : path;
    return await use(place, await handle.stat(), handle);
  } finally {
    await handle.close();
  }
}
