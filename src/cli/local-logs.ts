import { closeSync, openSync, readSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { StringDecoder } from "node:string_decoder";
import { setTimeout as pause } from "node:timers/promises";
import { errnoOf } from "../storage/fs-error.ts";

const lookMs = 200;
const readBytes = 64 * 1024;

/** One line of a task's log; "load" is the job file's own, while it is loaded. */
export interface LogLine {
  readonly task: string;
  readonly text: string;
}

/**
 * What the tasks of a job of this machine have printed, from its job directory: task after task, each in the
 * order in which it printed.
 * @param isRunning asked before each look at the files: while it says so, what is added is given, too
 */
export async function* localLogs(
  directory: string,
  task: string | null,
  isRunning: () => Promise<boolean>,
): AsyncGenerator<LogLine, void, undefined> {
  const tails = new Map<string, Tail>();
  for (;;) {
    // Asked first: what it has written until it ended is read once more.
    const goesOn = await isRunning();
    for (const name of logsIn(directory)) {
      if (task !== null && name !== task) continue;
      if (!tails.has(name)) tails.set(name, new Tail(join(directory, "logs", `${name}.log`)));
      for (const text of tails.get(name)!.lines(!goesOn)) yield { task: name, text };
    }
    if (!goesOn) return;
    await pause(lookMs);
  }
}

function logsIn(directory: string): string[] {
  try {
    const files = readdirSync(join(directory, "logs")).filter((file) => file.endsWith(".log"));
    const names = files.map((file) => file.slice(0, -".log".length)).sort();
    return [...names.filter((name) => name === "load"), ...names.filter((name) => name !== "load")];
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

/** Whole lines of a file that grows. */
class Tail {
  readonly #path: string;
  readonly #decoder = new StringDecoder("utf8");
  #offset = 0;
  #begun = "";

  constructor(path: string) {
    this.#path = path;
  }

  *lines(isLast: boolean): Generator<string, void, undefined> {
    const buffer = Buffer.allocUnsafe(readBytes);
    const fd = openSync(this.#path, "r");
    try {
      for (;;) {
        const count = readSync(fd, buffer, 0, readBytes, this.#offset);
        if (count === 0) break;
        this.#offset += count;
        const lines = (this.#begun + this.#decoder.write(buffer.subarray(0, count))).split("\n");
        this.#begun = lines.pop()!;
        yield* lines;
      }
    } finally {
      closeSync(fd);
    }
    if (isLast && this.#begun !== "") yield this.#begun;
  }
}
