import { limits } from "../base/limits.ts";
import { process, setImmediate } from "../base/own-globals.ts";

/** Lines a task may print and log before the rest is dropped. */
/** Below this many lines each is sent at once, so that code which then hangs or dies has been heard. */
const promptLines = 50;
const batchChars = 16 * 1024;
const tailLines = 20;
const tailLineChars = 400;

export type OutputStream = "log" | "stdout" | "stderr";

/**
 * Collects what user code prints, line by line, with a cap per task: a flood costs neither memory nor
 * messages, and
 * nothing waits for a reader.
 */
export class OutputCapture {
  readonly #send: (stream: OutputStream, text: string) => void;
  #pending: Record<OutputStream, string> = { log: "", stdout: "", stderr: "" };
  #partial: Record<OutputStream, string> = { log: "", stdout: "", stderr: "" };
  #chars = 0;
  #lines = 0;
  #dropped = 0;
  #tail: string[] = [];
  #flushSet = false;

  constructor(send: (stream: OutputStream, text: string) => void) {
    this.#send = send;
  }

  /** The last lines, each cut to a readable length. */
  tail(): string[] {
    return [...this.#tail];
  }

  /** Begins a new task: flushes what is left of the last one. */
  reset(): void {
    this.end();
    this.#chars = 0;
    this.#lines = 0;
    this.#dropped = 0;
    this.#tail = [];
  }

  write(stream: OutputStream, chunk: string): void {
    const room = limits.taskLogBytesMax - this.#chars;
    if (room <= 0) {
      this.#dropped += chunk.length;
      return;
    }
    const kept = chunk.length > room ? chunk.slice(0, room) : chunk;
    this.#dropped += chunk.length - kept.length;
    this.#chars += kept.length;
    const text = this.#partial[stream] + kept;
    const end = text.lastIndexOf("\n");
    this.#partial[stream] = text.slice(end + 1);
    if (end >= 0) this.#addLines(stream, text.slice(0, end));
  }

  line(stream: OutputStream, line: string): void {
    this.write(stream, `${line}\n`);
  }

  /** Sends what is complete. */
  flush(): void {
    this.#flushSet = false;
    for (const stream of ["log", "stdout", "stderr"] as const) {
      if (this.#pending[stream] === "") continue;
      this.#send(stream, this.#pending[stream].slice(0, -1));
      this.#pending[stream] = "";
    }
  }

  /** Sends everything, also an unfinished line, and says how much was dropped. */
  end(): void {
    for (const stream of ["log", "stdout", "stderr"] as const) {
      if (this.#partial[stream] !== "") this.#addLines(stream, this.#partial[stream]);
      this.#partial[stream] = "";
    }
    this.flush();
    if (this.#dropped > 0) {
      this.#addLines(
        "log",
        `(${this.#dropped} characters more were printed and dropped: 1 MiB per task is kept)`,
      );
      this.#dropped = 0;
    }
    this.flush();
  }

  #addLines(stream: OutputStream, lines: string): void {
    this.#pending[stream] += `${lines}\n`;
    this.#remember(lines);
    if (this.#lines <= promptLines || this.#pending[stream].length > batchChars) this.flush();
    else if (!this.#flushSet) {
      this.#flushSet = true;
      setImmediate(() => this.flush());
    }
  }

  #remember(lines: string): void {
    for (const line of lines.split("\n").slice(-tailLines)) {
      this.#tail.push(line.length > tailLineChars ? `${line.slice(0, tailLineChars)}...` : line);
    }
    this.#lines += 1;
    if (this.#tail.length > tailLines) this.#tail = this.#tail.slice(-tailLines);
  }
}

/** Sends a Node stream's writes to the capture instead. */
export function captureStream(
  target: NodeJS.WriteStream,
  stream: OutputStream,
  capture: OutputCapture,
): void {
  const write = (
    chunk: string | Uint8Array,
    encodingOrDone?: BufferEncoding | ((error?: Error | null) => void),
    done?: (error?: Error | null) => void,
  ): boolean => {
    const encoding = typeof encodingOrDone === "string" ? encodingOrDone : "utf8";
    capture.write(stream, typeof chunk === "string" ? chunk : Buffer.from(chunk).toString(encoding));
    const finished = typeof encodingOrDone === "function" ? encodingOrDone : done;
    if (finished !== undefined) process.nextTick(finished);
    return true;
  };
  target.write = write as typeof target.write;
}
