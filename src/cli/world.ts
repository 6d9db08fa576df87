import type { Writable } from "node:stream";
import type { Clock } from "../base/clock.ts";
import { asSheafError } from "../storage/fs-error.ts";

/** A place text goes to. */
export type TextStream = Writable & {
  readonly fd?: number;
  readonly isTTY?: boolean;
  readonly columns?: number;
};

/** What a command may touch outside itself. One value, made by main.ts from the process. */
export interface World {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdinIsTerminal: () => boolean;
  /** Data only: results, listings, events. */
  readonly stdout: TextStream;
  /** Everything said to people. */
  readonly stderr: TextStream;
  readonly clock: Clock;
  /** Calls back for SIGINT, SIGTERM and SIGHUP until the returned function is called. */
  onSignal(callback: (signal: NodeJS.Signals) => void): () => void;
  /** Ends this process by the signal, as if nobody had caught it. */
  die(signal: NodeJS.Signals): void;
  /**
   * Calls back when the process ends, however it does (but for SIGKILL), until the returned function is
   * called.
   */
  onExit(callback: () => void): () => void;
}

/**
 * Writes and waits until the stream has taken it, so that a slow reader slows the writer down.
 * @returns false when the reader has gone away (EPIPE): then nothing more need be written. False, too, when
 * standard error cannot be written: there is no place left to say so.
 * @throws SheafError DISK_FULL, OUTPUT_UNWRITABLE
 */
export function writeTo(stream: TextStream, data: string | Uint8Array): Promise<boolean> {
  if (stream.destroyed || stream.errored !== null) return Promise.resolve(false);
  return new Promise((resolve, reject) => {
    stream.write(data, (error) => {
      if (error === null || error === undefined) resolve(true);
      else if ((error as NodeJS.ErrnoException).code === "EPIPE" || stream.fd === 2) resolve(false);
      else reject(unwritable(error));
    });
  });
}

/** The error of standard output, as everything else that cannot be written. */
export function unwritable(error: Error): Error {
  return asSheafError(error, { path: "standard output", doing: "write" });
}
