import { process } from "../base/own-globals.ts";

/**
 * What is started is a shell that becomes the program: it leads a group of its own, and leaves a watcher in
 * it that ends the group when the other end of descriptor 3 is gone, however this process ended. The program
 * has not the watcher for a child. Its words are arguments, which the shell does not look at.
 */
const LAUNCH = '( ( read -r _ <&3; kill -KILL 0 ) <&3 >/dev/null 2>&1 & ); exec 3<&-; exec "$@"';

/**
 * The command that becomes a program, whose group ends with this process.
 * REQUIRES: descriptor 3 is a pipe.
 */
export function launched(file: string, words: readonly string[]): [command: string, words: string[]] {
  return isPosix() ? ["/bin/sh", ["-c", LAUNCH, "sheaf", file, ...words]] : [file, [...words]];
}

export function isPosix(): boolean {
  return process.platform !== "win32";
}

/** Sends a signal to the program, and to all of its group. */
export function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(isPosix() ? -pid : pid, signal);
  } catch {
    // It is gone.
  }
}
