import { createReadStream, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { SheafError } from "../base/errors.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { splitAddress } from "../storage/store.ts";
import type { SuccessManifest } from "./commit.ts";
import { manifestIn } from "./committed-output.ts";
import type { JobRecord } from "./job-directory.ts";

/** A record that a job has set aside, as task/bad-records.ts writes it. */
export interface ListedBadRecord {
  /** Of a job with several inputs which it was read of. Left out: of one, or by an earlier version. */
  readonly input?: string;
  /** As the user would know the file; null: it came out of a reduce, or of a source. */
  readonly path: string | null;
  /** In the decompressed file; of a source the number of the record. */
  readonly offset: number | null;
  /** "read", "map", "reduce" ... */
  readonly phase: string;
  readonly code: string;
  readonly error: string;
  /** Printable, cut to 1,000 characters. */
  readonly record: string;
}

/**
 * The files in which the job's output has the records that were set aside.
 * @throws SheafError NOT_FOUND when they were not kept, or are gone, or the output is by now another run's
 */
export function badFilesOf(record: JobRecord): string[] {
  const { output, jobId, badRecords } = record;
  if (badRecords === 0) return [];
  if (output === null) {
    throw new SheafError("NOT_FOUND", `the ${badRecords} bad records of ${jobId} were not kept`, {
      hint: "They are kept beside the results: run the job with -o DIR.",
    });
  }
  if (record.status !== "SUCCEEDED") {
    throw new SheafError("NOT_FOUND", `${jobId} did not succeed, and so set nothing aside`, {
      hint: "Raise --max-bad until it succeeds; its error names the first bad record.",
    });
  }
  if (splitAddress(output) !== null) {
    throw new SheafError("NOT_FOUND", `the bad records of ${jobId} are not on this machine`, {
      hint: `They lie in ${output}_bad/, one JSON object a line: copy that directory, or give it to a job as an input.`,
      details: { path: output },
    });
  }
  const manifest = manifestIn(output);
  if (manifest === null) {
    throw new SheafError("NOT_FOUND", `${output}: the output of ${jobId} is not there any more`, {
      hint: "Results that went to standard output leave no bad records: run the job with -o DIR.",
      details: { path: output },
    });
  }
  if (!isOf(manifest, record)) {
    throw new SheafError("NOT_FOUND", `${output} is not the output of ${jobId} any more`, {
      hint: "Another run has replaced it: name that one. sheaf jobs lists them.",
      details: { path: output },
    });
  }
  return badFilesIn(output);
}

/** The files of `DIR/_bad`, in order; of a pipeline those of each step are in a directory of its own. */
export function badFilesIn(output: string): string[] {
  return filesBelow(join(output, "_bad"));
}

function filesBelow(directory: string): string[] {
  if (!existsSync(directory)) return [];
  const entries = readdirSync(directory, { withFileTypes: true });
  return entries
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) return filesBelow(path);
      return /^part-\d+\.jsonl$/.test(entry.name) ? [path] : [];
    });
}

function isOf(manifest: SuccessManifest, { name, code, badRecords, counters, steps }: JobRecord): boolean {
  if (manifest.job !== name || manifest.badRecords !== badRecords) return false;
  // Steps of a pipeline may be of several states of its code.
  if (steps === undefined && manifest.code !== code) return false;
  const names = Object.keys(manifest.counters);
  return (
    names.length === Object.keys(counters).length &&
    names.every((counter) => manifest.counters[counter] === counters[counter])
  );
}

/**
 * The records of such a file, in the order in which they were set aside.
 * @throws SheafError BLOCK_CORRUPT for a line that is none, OUTPUT_UNWRITABLE when it cannot be read
 */
export async function* readBadRecords(path: string): AsyncGenerator<ListedBadRecord> {
  const lines = createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY });
  let number = 0;
  try {
    for await (const line of lines) yield badRecordOf(line, path, ++number);
  } catch (error) {
    throw asSheafError(error, { path, doing: "read" });
  } finally {
    lines.close();
  }
}

function badRecordOf(line: string, path: string, number: number): ListedBadRecord {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    value = null;
  }
  if (isBadRecord(value)) return value;
  throw new SheafError("BLOCK_CORRUPT", `${path}, line ${number}: this is no bad record`, {
    hint: "The file was changed, or the disk is damaged. sheaf inspect checks the whole output.",
    details: { path },
  });
}

function isBadRecord(value: unknown): value is ListedBadRecord {
  if (typeof value !== "object" || value === null) return false;
  const {
    input = "",
    path,
    offset,
    phase,
    code,
    error,
    record,
  } = value as Partial<Record<keyof ListedBadRecord, unknown>>;
  return (
    (path === null || typeof path === "string") &&
    (offset === null || Number.isSafeInteger(offset)) &&
    [input, phase, code, error, record].every((text) => typeof text === "string")
  );
}
