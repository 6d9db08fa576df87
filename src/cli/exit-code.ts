import type { ErrorCode } from "../base/errors.ts";

/** What the process says when it ends. Scripts rely on these numbers: frozen. */
export const exitCodes = {
  ok: 0,
  /** The job failed, or could not start: a bad job file, no input, an output that exists. */
  failed: 1,
  /** A wrong command, flag or argument: nothing was tried. */
  usage: 2,
  /**
   * Stopped by the user (SIGINT, SIGTERM), and cleaned up. A second signal kills: shells then show 130 or
   * 143.
   */
  cancelled: 3,
  /** A bug in sheaf. */
  internal: 4,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** One line each, for help and docs. */
export const exitCodeDocs: readonly (readonly [ExitCode, string])[] = [
  [0, "the command did what was asked"],
  [1, "the job failed, or could not start (bad job file, no input, output exists ...)"],
  [2, "wrong command, flag or argument: nothing was tried"],
  [3, "stopped by Ctrl-C (SIGINT) or SIGTERM and cleaned up; a second Ctrl-C kills at once (130)"],
  [4, "a bug in sheaf"],
];

export function exitCodeOf(code: ErrorCode): ExitCode {
  switch (code) {
    case "USAGE":
      return exitCodes.usage;
    case "CANCELLED":
      return exitCodes.cancelled;
    case "INTERNAL":
      return exitCodes.internal;
    default:
      return exitCodes.failed;
  }
}
