import { LineSplitter } from "../exec/line-splitter.ts";
import { commandText, type ExecPlan } from "../job/exec.ts";
import type { TaskOutput } from "./result-output.ts";

const NEWLINE = 10;

/** Writes a program's lines to an output as they are. */
export class RawLines {
  readonly #splitter: LineSplitter;
  readonly #output: TaskOutput;
  lines = 0;

  constructor(plan: ExecPlan, output: TaskOutput) {
    this.#splitter = new LineSplitter(plan.recordBytesMax, commandText(plan));
    this.#output = output;
  }

  async take(chunk: Buffer): Promise<void> {
    for (const lines of this.#splitter.split(chunk)) await this.#write(lines);
  }

  async end(): Promise<void> {
    const rest = this.#splitter.rest();
    if (rest !== undefined) await this.#write(rest);
  }

  async #write(lines: Buffer): Promise<void> {
    let count = 0;
    for (let at = lines.indexOf(NEWLINE); at >= 0; at = lines.indexOf(NEWLINE, at + 1)) count++;
    this.lines += count;
    await this.#output.writeLines(lines, count);
  }
}
