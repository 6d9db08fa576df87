import { type ErrorCode, SheafError, describeThrown, isSheafError } from "../base/errors.ts";

export interface FsErrorPlace {
  /** The path as the user would know it. */
  readonly path: string;
  /** What was being done, as it reads in "cannot <doing> <path>". Decides between input and output codes. */
  readonly doing: "list" | "open" | "read" | "create" | "write" | "sync" | "rename" | "remove";
  /** Byte offset in the file, where there is one. */
  readonly offset?: number;
  /** Code for errors that are neither a full disk nor a code below. Default: by what was being done. */
  readonly code?: ErrorCode;
}

interface Known {
  readonly reading: ErrorCode;
  readonly writing: ErrorCode;
  readonly says: string;
  readonly hint: string;
  readonly retryable?: boolean;
}

const both = (code: ErrorCode): Pick<Known, "reading" | "writing"> => ({ reading: code, writing: code });
const usual = { reading: "INPUT_UNREADABLE", writing: "OUTPUT_UNWRITABLE" } as const;

const KNOWN: Readonly<Record<string, Known>> = {
  ENOSPC: {
    ...both("DISK_FULL"),
    says: "no space left on the device",
    hint: "Free some space, or put the output or the work directory on another disk.",
    retryable: true,
  },
  EDQUOT: {
    ...both("DISK_FULL"),
    says: "the disk quota is used up",
    hint: "Free some space, or put the output or the work directory on another disk.",
    retryable: true,
  },
  EFBIG: {
    ...both("DISK_FULL"),
    says: "the file would grow beyond the size limit",
    hint: "Raise the file size limit (ulimit -f), or use smaller parts.",
  },
  EACCES: {
    ...usual,
    says: "permission denied",
    hint: "Check the owner and mode of the path and of its directories.",
  },
  EPERM: { ...usual, says: "operation not permitted", hint: "Check the owner, mode and flags of the path." },
  EROFS: {
    ...usual,
    says: "the file system is read-only",
    hint: "Choose a path on a file system that can be written.",
  },
  EMFILE: {
    ...usual,
    says: "too many open files in this process",
    hint: "Raise the limit of open files (ulimit -n), or use fewer workers.",
    retryable: true,
  },
  ENFILE: {
    ...usual,
    says: "too many open files on this machine",
    hint: "Close some programs.",
    retryable: true,
  },
  ENOENT: {
    reading: "INPUT_MISSING",
    writing: "OUTPUT_UNWRITABLE",
    says: "no such file or directory",
    hint: "Check the spelling, and that nothing removes it while the job runs.",
  },
  EISDIR: { ...usual, says: "it is a directory", hint: "Give the path of a file." },
  ENOTDIR: {
    ...usual,
    says: "a part of the path is not a directory",
    hint: "Check each directory of the path.",
  },
  ELOOP: { ...usual, says: "its symbolic links form a loop", hint: "Remove or correct the link." },
  ENAMETOOLONG: {
    ...usual,
    says: "the name is too long",
    hint: "Use a shorter name; most file systems allow 255 bytes.",
  },
  EXDEV: { ...usual, says: "the paths lie on different file systems", hint: "Keep both on one file system." },
  EBUSY: { ...usual, says: "it is in use", hint: "Stop what uses it and run again.", retryable: true },
  EIO: { ...usual, says: "the device reported an error", hint: "Check the disk (dmesg).", retryable: true },
  ENXIO: {
    ...usual,
    says: "it is not a regular file",
    hint: "Give regular files; pipe a stream into standard input.",
  },
  ESTALE: { ...usual, says: "the network file system lost the file", hint: "Run again.", retryable: true },
};

/**
 * Turns what node:fs threw into a SheafError that names the path, what was being done, the reason and what to
 * do. A SheafError is returned as it is. Anything unknown keeps its text and gets the code of its direction.
 */
export function asSheafError(error: unknown, place: FsErrorPlace): SheafError {
  if (isSheafError(error)) return error;
  const { path, doing, offset } = place;
  const reading = doing === "list" || doing === "open" || doing === "read";
  const errno = errnoOf(error);
  const known = errno === undefined ? undefined : KNOWN[errno];
  const ownCode = known && (reading ? known.reading : known.writing);
  const code =
    ownCode === "DISK_FULL" ? ownCode : (place.code ?? ownCode ?? usual[reading ? "reading" : "writing"]);
  const where = offset === undefined ? quotePath(path) : `${quotePath(path)} at byte ${offset}`;
  return new SheafError(code, `cannot ${doing} ${where}: ${known?.says ?? describeThrown(error)}`, {
    hint: known?.hint ?? "See the cause for what the operating system said.",
    retryable: known?.retryable ?? false,
    cause: error,
    details: { path, ...(offset !== undefined && { offset }), ...(errno !== undefined && { errno }) },
  });
}

/** What any call may meet on a machine that is short of something, however right the call is. */
const SHORTAGES = new Set(["ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "EROFS", "EIO"]);

/**
 * For errors that came up where none was expected: a machine in trouble, told as asSheafError would; null for
 * anything else, which is then a bug.
 */
export function asShortage(error: unknown): SheafError | null {
  const errno = errnoOf(error);
  if (errno === undefined || !SHORTAGES.has(errno) || !(error instanceof Error)) return null;
  const path = "path" in error && typeof error.path === "string" ? error.path : "a file";
  const opening = "syscall" in error && error.syscall === "open" && errno !== "ENOSPC";
  return asSheafError(error, { path, doing: opening ? "open" : "write" });
}

/** "ENOENT" and the like, or undefined for anything that is no system error. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/**
 * The path as one printable word: quoted when it holds spaces, quotes or control characters; cut when very
 * long.
 */
export function quotePath(path: string): string {
  const shown = path.length > 300 ? `${path.slice(0, 140)}...${path.slice(-140)}` : path;
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  return shown === "" || /[\s"'\u0000-\u001f\u007f]/.test(shown) ? JSON.stringify(shown) : shown;
}
