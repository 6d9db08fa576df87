import type { Writable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import type { Clock } from "../base/clock.ts";
import { SheafError } from "../base/errors.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { keepColours, printed } from "./ui/style.ts";

/**
 * A place text goes to. It has no `write`, for what is said to people goes through `writeTo` and `say`,
 * which let nothing in it reach a terminal but letters, and data through `dataWriter`.
 */
export type TextStream = Pick<Writable, "destroyed" | "errored"> & {
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
 * Writes text for people, or JSON, and waits until the stream has taken it, so that a slow reader slows the
 * writer down. What would do something to a terminal, and is not of our own style, is escaped as in JSON.
 * @returns false when the reader has gone away (EPIPE): then nothing more need be written. False, too, when
 * standard error cannot be written: there is no place left to say so.
 * @throws SheafError DISK_FULL, OUTPUT_UNWRITABLE
 */
export function writeTo(stream: TextStream, text: string): Promise<boolean> {
  return write(stream, printed(text));
}

/** Writes a value to standard output as a line of JSON. */
export function writeJson(world: Pick<World, "stdout">, value: unknown): Promise<boolean> {
  return writeTo(world.stdout, `${JSON.stringify(value)}\n`);
}

/** `writeTo` without waiting; what cannot be written, the stream's own "error" tells. */
export function say(stream: TextStream, text: string): void {
  (stream as Writable).write(printed(text));
}

/**
 * The stream as commands write to it. If it is a terminal, what is written to it otherwise, by user code
 * that runs in this process and by Node, is escaped from now on, but for colours.
 */
export function ownStream(stream: TextStream & Pick<Writable, "write">): TextStream {
  if (stream.isTTY !== true) return stream;
  const write = stream.write.bind(stream) as (...args: readonly unknown[]) => boolean;
  const decoder = new StringDecoder("utf8");
  stream.write = (data: string | Uint8Array, ...rest: readonly unknown[]) => {
    const text = typeof data === "string" ? data : decoder.write(data);
    return write(keepColours(text), ...rest.filter((one) => typeof one === "function"));
  };
  return Object.create(stream, { write: { value: write } }) as TextStream;
}

/** Where a log's lines go. */
export function logSink(stream: TextStream): { write(line: string): void } {
  return { write: (line) => say(stream, line) };
}

/**
 * Writes data, as `writeTo` does: byte for byte to a file or pipe. On a terminal, somebody looks at it: then
 * as UTF-8 text, escaped.
 */
export function dataWriter(stream: TextStream): (data: string | Uint8Array) => Promise<boolean> {
  if (stream.isTTY !== true) return (data) => write(stream, data);
  const decoder = new StringDecoder("utf8");
  return (data) => writeTo(stream, typeof data === "string" ? data : decoder.write(data));
}

function write(stream: TextStream, data: string | Uint8Array): Promise<boolean> {
  if (stream.destroyed || stream.errored !== null) return Promise.resolve(false);
  return new Promise((resolve, reject) => {
    (stream as Writable).write(data, (error) => {
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

export interface Stop {
  readonly signal: AbortSignal;
  /** What stopped it, as people call it: "Ctrl-C". Undefined while nothing has. */
  by(): string | undefined;
  /** Signals do again what they do by default. */
  release(): void;
}

/**
 * The first SIGINT, SIGTERM or SIGHUP aborts; the second ends the process at once, by that signal.
 * @param farewell what is said at the first. Default: that what was written is removed.
 */
export function stopOnSignal(
  reporter: { say(text: string): void; end(): void },
  world: World,
  farewell?: string,
): Stop {
  const controller = new AbortController();
  let by: string | undefined;
  const release = world.onSignal((name) => {
    if (by !== undefined) {
      reporter.end();
      world.die(name);
      return;
    }
    by = name === "SIGINT" ? "Ctrl-C" : name;
    const what = farewell ?? "stopping, and removing what was written";
    reporter.say(`${what} (${name === "SIGINT" ? "Ctrl-C" : name} again kills at once)`);
    controller.abort(new SheafError("CANCELLED", `stopped by ${by}`));
  });
  return { signal: controller.signal, by: () => by, release };
}
