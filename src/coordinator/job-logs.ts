import { appendFileSync, closeSync, existsSync, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";

/**
 * What the tasks of one job printed, in one file: "[map-00003.1 stdout] text". Readers follow the file, so
 * that nothing is kept in memory for a slow one.
 */
export class JobLogs {
  readonly #file: string;
  readonly #bytesMax: number;
  #bytes: number;
  #full = false;
  #ended = false;
  #waiting: (() => void)[] = [];

  constructor(directory: string, bytesMax: number, ended: boolean) {
    this.#file = join(directory, "logs.txt");
    this.#bytesMax = bytesMax;
    this.#ended = ended;
    this.#bytes = existsSync(this.#file) ? statSync(this.#file).size : 0;
    this.#full = this.#bytes >= bytesMax;
  }

  /** Never throws: a job goes on without its log. */
  add(lines: readonly { task: string; attempt: number; stream: string; text: string }[]): void {
    if (this.#full) return;
    let text = "";
    let bytes = 0;
    for (const line of lines) {
      const prefix =
        line.task === "" ? `[${line.stream}] ` : `[${line.task}.${line.attempt} ${line.stream}] `;
      // Before anything is made of it: a text of line ends alone becomes many times as long.
      bytes += Buffer.byteLength(line.text) + countLines(line.text) * Buffer.byteLength(prefix) + 1;
      if (this.#bytes + bytes > this.#bytesMax) {
        this.#full = true;
        text = `[log] more than ${this.#bytesMax} bytes were printed; the rest is not kept here\n`;
        break;
      }
      text += `${prefix}${line.text.replaceAll("\n", `\n${prefix}`)}\n`;
    }
    try {
      appendFileSync(this.#file, text);
      this.#bytes += Buffer.byteLength(text);
    } catch {
      this.#full = true;
    }
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *read(task: string | null, follow: boolean, signal: AbortSignal): AsyncGenerator<string> {
    let at = 0;
    let rest = "";
    const chunk = Buffer.alloc(64 * 1024);
    const decoder = new TextDecoder();
    while (!signal.aborted) {
      const isOver = this.#ended || !follow;
      const count = readAt(this.#file, chunk, at);
      at += count;
      if (count > 0) {
        const lines = (rest + decoder.decode(chunk.subarray(0, count), { stream: true })).split("\n");
        rest = lines.pop()!;
        for (const line of lines) {
          if (task === null || line.startsWith(`[${task}.`)) yield line;
        }
      } else if (isOver) {
        return;
      } else {
        await this.#more(signal);
      }
    }
  }

  #more(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.#waiting.push(wake);
      signal.addEventListener("abort", wake, { once: true });
    });
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

function readAt(path: string, into: Buffer, at: number): number {
  try {
    const file = openSync(path, "r");
    try {
      return readSync(file, into, 0, into.length, at);
    } finally {
      closeSync(file);
    }
  } catch {
    return 0;
  }
}

function countLines(text: string): number {
  let count = 1;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++;
  return count;
}
