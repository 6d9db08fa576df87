import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { SheafError } from "../../../base/errors.ts";
import { asSheafError, errnoOf } from "../../../storage/fs-error.ts";

/*
 * OUT/.sheaf-watch.jsonl, one JSON object a line. FROZEN as version 1:
 *   {"sheafWatch":1,"directory":"/abs/DIR"}                            first
 *   {"begin":"2026-11-29T...","files":[["a.csv","17:1700000000000000000"], ...]}
 *   {"end":"2026-11-29T...","done":true}                               false: nothing of it was written
 * A line is on the disk before what it says begins or counts. A last line that is cut was never said.
 */

/** Path below the directory, and its signature when it was taken. */
type TakenFile = readonly [path: string, signature: string];

/** A run that has begun: the name of its output below OUT, and its files. */
export interface BegunRun {
  readonly name: string;
  readonly files: readonly TakenFile[];
}

export const ledgerName = ".sheaf-watch.jsonl";
const version = 1;

/** Which files are done with, on the disk. */
export class Ledger {
  /** Signatures of the files whose results are written. */
  readonly done: Map<string, string>;
  /** Runs that are done. */
  runs: number;
  /** What was begun by a process that then ended. */
  readonly left: BegunRun | null;
  readonly #path: string;
  readonly #file: number;
  #begun: BegunRun | null;

  /**
   * Opens the ledger of an output directory that exists, or begins it.
   * @throws SheafError USAGE when it is about another directory; STATE_CORRUPT; VERSION_MISMATCH
   */
  constructor(out: string, directory: string) {
    this.#path = join(out, ledgerName);
    const read = readLedger(this.#path, directory);
    this.done = read.done;
    this.runs = read.runs;
    this.left = read.left;
    this.#begun = read.left;
    this.#file = this.#writeAnew(directory);
  }

  begin(run: BegunRun): void {
    this.#append({ begin: run.name, files: run.files });
    this.#begun = run;
  }

  /** @param done whether its output is there; if not, its files are as if they had never been taken */
  end(done: boolean): void {
    const run = this.#begun;
    if (run === null) return;
    this.#append({ end: run.name, done });
    this.#begun = null;
    if (!done) return;
    this.runs++;
    for (const [path, signature] of run.files) this.done.set(path, signature);
  }

  close(): void {
    closeSync(this.#file);
  }

  /** Without what came to nothing. The old one is there until the new one is whole. */
  #writeAnew(directory: string): number {
    const done = [...this.done];
    const lines: object[] = [{ sheafWatch: version, directory }];
    if (done.length > 0) lines.push({ begin: "", files: done }, { end: "", done: true, runs: this.runs });
    if (this.left !== null) lines.push({ begin: this.left.name, files: this.left.files });
    const aside = `${this.#path}.new`;
    try {
      const file = openSync(aside, "w");
      writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
      fsyncSync(file);
      renameSync(aside, this.#path);
      syncDirectory(dirname(this.#path));
      return file;
    } catch (error) {
      throw asSheafError(error, { path: this.#path, doing: "write" });
    }
  }

  #append(line: object): void {
    try {
      writeFileSync(this.#file, `${JSON.stringify(line)}\n`);
      fsyncSync(this.#file);
    } catch (error) {
      throw asSheafError(error, { path: this.#path, doing: "write" });
    }
  }
}

interface Read {
  readonly done: Map<string, string>;
  readonly runs: number;
  readonly left: BegunRun | null;
}

function readLedger(path: string, directory: string): Read {
  const done = new Map<string, string>();
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw asSheafError(error, { path, doing: "read" });
    return { done, runs: 0, left: null };
  }
  const lines = text.split("\n");
  // What stands behind the last line break was never said.
  lines.pop();
  let left: BegunRun | null = null;
  let runs = 0;
  for (const [index, line] of lines.entries()) {
    const entry = parseLine(line);
    if (entry === null) throw corrupt(path, index);
    if (index === 0) checkHead(entry, path, directory);
    else if (typeof entry["begin"] === "string" && isFiles(entry["files"])) {
      left = { name: entry["begin"], files: entry["files"] };
    } else if (left !== null && entry["end"] === left.name && typeof entry["done"] === "boolean") {
      if (entry["done"]) {
        runs += typeof entry["runs"] === "number" ? entry["runs"] : 1;
        for (const [file, signature] of left.files) done.set(file, signature);
      }
      left = null;
    } else throw corrupt(path, index);
  }
  return { done, runs, left };
}

function parseLine(line: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" ? (value as Readonly<Record<string, unknown>> | null) : null;
  } catch {
    return null;
  }
}

function isFiles(value: unknown): value is readonly TakenFile[] {
  return (
    Array.isArray(value) &&
    value.every(
      (file: unknown) =>
        Array.isArray(file) && file.length === 2 && file.every((part) => typeof part === "string"),
    )
  );
}

function checkHead(head: Readonly<Record<string, unknown>>, path: string, directory: string): void {
  if (head["sheafWatch"] !== version) {
    throw new SheafError("VERSION_MISMATCH", `${path} was not written by this version of sheaf`, {
      hint: "Go on with the version that wrote it, or give another -o DIR.",
    });
  }
  if (head["directory"] === directory) return;
  throw new SheafError("USAGE", `${dirname(path)} has the results of ${String(head["directory"])}`, {
    hint: `Give another -o DIR for ${directory}. If that directory has only moved, correct the first line of ${path}.`,
  });
}

function corrupt(path: string, index: number): SheafError {
  return new SheafError("STATE_CORRUPT", `${path}: line ${index + 1} makes no sense`, {
    hint: "It says which files are done with. Put back a copy; or remove it, and every file is read again.",
  });
}

function syncDirectory(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } catch {
    // Not every file system does that.
  } finally {
    closeSync(directory);
  }
}
