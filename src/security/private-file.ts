import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { describeThrown } from "../base/errors.ts";
import {
  type PrivateKindOfFile,
  checkOwner,
  ensureUnsharedDirectory,
  hasModes,
  modeText,
  refusing,
} from "../storage/private-directory.ts";

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
      const hint = `Run: chmod 600 ${path}. Then make a new one if somebody may have read it.`;
      throw refuse(`can be read or changed by other users (mode ${modeText(stats)})`, hint);
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
  ensureUnsharedDirectory(dirname(path), kind.code);
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
