import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { plainError } from "../base/errors.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { phaseErrorOf, printRecord } from "./scene.ts";

/** Keeps the records that failed, one JSON object a line: input, path, offset, phase, code, error, record. */
export class BadRecords {
  readonly #path: string;
  readonly #input: string;
  #fd: number | undefined;
  count = 0;

  /** @param input its name in a job with several; "": the job has one */
  constructor(directory: string, input: string) {
    this.#path = join(directory, "bad.jsonl");
    this.#input = input;
  }

  /** The file, or null when nothing was bad. */
  get path(): string | null {
    return this.#fd === undefined ? null : this.#path;
  }

  add(path: string | null, offset: number | null, thrown: unknown, record: unknown, phase: string): void {
    const from = phaseErrorOf(thrown);
    const { code, message } = plainError(from === null ? thrown : from.cause);
    const json = JSON.stringify({
      ...(this.#input !== "" && { input: this.#input }),
      path,
      offset,
      phase: from?.phase ?? phase,
      code: code ?? "USER_CODE",
      error: message,
      record: printRecord(record),
    });
    try {
      this.#fd ??= openSync(this.#path, "wx", 0o600);
      const line = Buffer.from(`${json}\n`);
      // A disk that is nearly full takes a part without an error.
      for (let done = 0; done < line.length;) done += writeSync(this.#fd, line, done);
    } catch (cause) {
      throw asSheafError(cause, { path: this.#path, doing: "write" });
    }
    this.count++;
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
  }
}
