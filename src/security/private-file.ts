import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import type { Stats } from "node:fs";
import { dirname } from "node:path";
import { type ErrorCode, SheafError, describeThrown } from "../base/errors.ts";

/** For the messages: what the file is, and which code an error about it has. */
export interface PrivateKindOfFile {
  /** As it reads in "the <what> /path is empty". */
  readonly what: string;
  readonly code: ErrorCode;
}

/** Windows has no such modes: access lists decide there. */
const hasModes = process.platform !== "win32";

/**
 * The text of a file that holds a secret.
 * @throws SheafError with `kind.code` when it is missing, unreadable, no regular file, larger than
 * `bytesMax`, belongs to another user (root excepted), or its mode lets others read or write it
 */
export function readPrivateFile(path: string, kind: PrivateKindOfFile, bytesMax: number): string {
  const refuse = refusing(path, kind);
  let file: number;
  try {
    // Non-blocking, so that a FIFO put there does not hold the process.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw refuse(
      missing ? "does not exist" : `cannot be read: ${describeThrown(error)}`,
      missing
        ? "Check the path, or make the file first."
        : "Check the owner and mode of the file and its directories.",
      error,
    );
  }
  try {
    const stats = fstatSync(file);
    if (!stats.isFile()) throw refuse("is no regular file", "Give the path of a file.");
    checkOwner(stats, refuse);
    if (hasModes && (stats.mode & 0o077) !== 0) {
      const mode = (stats.mode & 0o777).toString(8).padStart(4, "0");
      const hint = `Run: chmod 600 ${path}. Then make a new one if somebody may have read it.`;
      throw refuse(`can be read or changed by other users (mode ${mode})`, hint);
    }
    const bytes = Buffer.alloc(bytesMax + 1);
    let length = 0;
    for (let n = -1; n !== 0 && length < bytes.length; length += n) {
      n = readSync(file, bytes, length, bytes.length - length, null);
    }
    if (length > bytesMax)
      throw refuse(`is larger than ${bytesMax} bytes`, "It is another file: check the path.");
    return bytes.toString("utf8", 0, length);
  } finally {
    closeSync(file);
  }
}

/**
 * Writes a secret to a new file of mode 0600, in a directory of mode 0700 that is made when there is none.
 * The file appears whole or not at all; of two processes that do this at once, one wins.
 * @returns false when there is a file at the path already, which is left as it is
 * @throws SheafError with `kind.code` when it cannot be written, or others may write to the directory
 */
export function createPrivateFile(path: string, text: string, kind: PrivateKindOfFile): boolean {
  const refuse = refusing(path, kind);
  ensurePrivateDirectory(dirname(path), kind.code);
  const temporary = `${path}.${randomBytes(8).toString("hex")}.tmp`;
  try {
    const file = openSync(temporary, "wx", 0o600);
    try {
      writeSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    // A link, where a rename would replace what another process has just made.
    linkSync(temporary, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    const hint = "Check the owner, mode and free space of its directory.";
    throw refuse(`cannot be written: ${describeThrown(error)}`, hint, error);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/**
 * Makes the directory with mode 0700, parents too, when it is not there.
 * @throws SheafError with `code` when it cannot be made, is a link or no directory, belongs to another
 * user, or other users may write to it: they could put files of theirs in the place of ours
 */
export function ensurePrivateDirectory(path: string, code: ErrorCode): void {
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
    const mode = (stats.mode & 0o777).toString(8).padStart(4, "0");
    throw refuse(`can be changed by other users (mode ${mode})`, `Run: chmod go-w ${path}`);
  }
}

type Refuse = (problem: string, hint: string, cause?: unknown) => SheafError;

function refusing(path: string, kind: PrivateKindOfFile): Refuse {
  return (problem, hint, cause) =>
    new SheafError(kind.code, `the ${kind.what} ${path} ${problem}`, {
      hint,
      details: { path },
      ...(cause !== undefined && { cause }),
    });
}

function checkOwner(stats: Stats, refuse: Refuse): void {
  const user = process.geteuid?.();
  if (user === undefined || stats.uid === user || stats.uid === 0) return;
  throw refuse(
    `belongs to user ${stats.uid}, not to ${user}`,
    "Use one that belongs to the user who runs sheaf.",
  );
}
