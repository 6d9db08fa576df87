import { closeSync, existsSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { crc32c, crcText } from "../base/crc32.ts";
import { SheafError } from "../base/errors.ts";
import { asSheafError } from "../storage/fs-error.ts";
import type { JournalEntry } from "./state.ts";

/*
 * pipeline.journal, in the job directory of a pipeline: what it has done, so that whoever goes on from there
 * knows. One line an entry: eight hex digits (CRC-32C of the rest of the line), a blank, JSON. A line is on
 * the disk before what it announces begins. A process that is killed may leave half a last line: that one
 * was never acted upon.
 */
export const journalName = "pipeline.journal";

/** Appends entries, each of them lasting when append() returns. */
export class PipelineJournal {
  readonly #path: string;
  readonly #file: number;

  /** @param keep bytes of it that hold; what is behind them is cut off */
  constructor(path: string, keep: number) {
    this.#path = path;
    try {
      this.#file = openSync(path, existsSync(path) ? "r+" : "w+", 0o600);
      ftruncateSync(this.#file, keep);
      this.#at = keep;
    } catch (error) {
      throw asSheafError(error, { path, doing: "write" });
    }
  }

  #at: number;

  append(entry: JournalEntry): void {
    const text = JSON.stringify(entry);
    const line = Buffer.from(`${checksum(text)} ${text}\n`);
    try {
      for (let done = 0; done < line.length;)
        done += writeSync(this.#file, line, done, line.length - done, this.#at + done);
      fsyncSync(this.#file);
      this.#at += line.length;
    } catch (error) {
      throw asSheafError(error, { path: this.#path, doing: "write" });
    }
  }

  close(): void {
    closeSync(this.#file);
  }
}

/**
 * The entries of a journal, and how many of its bytes hold them.
 * @throws SheafError NOT_FOUND; STATE_CORRUPT naming the line that is damaged
 */
export function readJournal(path: string): {
  readonly entries: readonly JournalEntry[];
  readonly bytes: number;
} {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new SheafError("NOT_FOUND", `${path}: there is no journal of a pipeline`, {
      hint: "Only pipelines can be gone on from, and only while `sheaf jobs` lists them.",
      cause,
    });
  }
  const lines = text.split("\n");
  // Behind the last newline is nothing, or what was being written.
  lines.pop();
  const entries = lines.map((line, index) => {
    const json = line.slice(9);
    if (line.slice(0, 9) === `${checksum(json)} `) return JSON.parse(json) as JournalEntry;
    throw new SheafError("STATE_CORRUPT", `${path}:${index + 1}: the journal is damaged here`, {
      hint: "What was done cannot be told any more: run the pipeline anew with sheaf run.",
      details: { path },
    });
  });
  const bytes = lines.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0);
  return { entries, bytes };
}

function checksum(text: string): string {
  return crcText(crc32c(text));
}
