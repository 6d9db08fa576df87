import { chmodSync, lstatSync, mkdirSync } from "node:fs";
import type { Stats } from "node:fs";
import { type ErrorCode, SheafError, describeThrown } from "../base/errors.ts";

/** For the messages: what the file is, and which code an error about it has. */
export interface PrivateKindOfFile {
  /** As it reads in "the <what> /path is empty". */
  readonly what: string;
  readonly code: ErrorCode;
}

/** Windows has no such users, modes and flags: access lists decide there. */
export const hasModes = process.platform !== "win32";

/**
 * Makes a directory that only this user can read, mode 0700, parents too. One that is there already and that
 * others can read is closed to them: what is in it may hold keys, and records of users.
 * @throws SheafError with `code` as ensureUnsharedDirectory does, and when it cannot be closed
 */
export function ensurePrivateDirectory(path: string, code: ErrorCode): void {
  const stats = ensureUnsharedDirectory(path, code);
  if (!hasModes || (stats.mode & 0o077) === 0) return;
  let cause: unknown;
  try {
    chmodSync(path, 0o700);
    // Some file systems take a mode and forget it.
    if ((lstatSync(path).mode & 0o077) === 0) return;
  } catch (error) {
    cause = error;
  }
  const refuse = refusing(path, { what: "directory", code });
  const hint = `Run: chmod 700 ${path}, or choose a directory on a file system that keeps modes.`;
  throw refuse(`can be read by other users (mode ${modeText(stats)})`, hint, cause);
}

/**
 * Makes the directory with mode 0700, parents too, when it is not there.
 * @throws SheafError with `code` when it cannot be made, is a link or no directory, belongs to another
 * user, or other users may write to it: they could put files of theirs in the place of ours
 */
export function ensureUnsharedDirectory(path: string, code: ErrorCode): Stats {
  const refuse = refusing(path, { what: "directory", code });
  let stats: Stats;
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    stats = lstatSync(path);
  } catch (error) {
    const hint = "Check the owner and mode of the directories above it.";
    throw refuse(`cannot be made: ${describeThrown(error)}`, hint, error);
  }
  if (!stats.isDirectory()) throw refuse("is a link or no directory", "Give the real path of a directory.");
  checkOwner(stats, refuse);
  if (hasModes && (stats.mode & 0o022) !== 0) {
    throw refuse(`can be changed by other users (mode ${modeText(stats)})`, `Run: chmod go-w ${path}`);
  }
  return stats;
}

export type Refuse = (problem: string, hint: string, cause?: unknown) => SheafError;

export function refusing(path: string, kind: PrivateKindOfFile): Refuse {
  return (problem, hint, cause) =>
    new SheafError(kind.code, `the ${kind.what} ${path} ${problem}`, {
      hint,
      details: { path },
      ...(cause !== undefined && { cause }),
    });
}

/** Throws unless the file is this user's or root's. */
export function checkOwner(stats: Stats, refuse: Refuse): void {
  const user = process.geteuid?.();
  if (user === undefined || stats.uid === user || stats.uid === 0) return;
  throw refuse(
    `belongs to user ${stats.uid}, not to ${user}`,
    "Use one that belongs to the user who runs sheaf.",
  );
}

/** As chmod takes it: "0755". */
export function modeText(stats: Stats): string {
  return (stats.mode & 0o777).toString(8).padStart(4, "0");
}
