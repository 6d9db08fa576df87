import { readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { SheafError } from "../base/errors.ts";
import { fromWireValue } from "../base/wire-json.ts";
import { type ListedBadRecord, badFilesOf, readBadRecords } from "../engine/bad-list.ts";
import { manifestIn } from "../engine/committed-output.ts";
import type { KeptJob } from "../engine/job-history.ts";
import type { LocalRunOptions, RunResult } from "../engine/options.ts";
import { readState } from "../incremental/kept-state.ts";
import { storeOf } from "../storage/stores.ts";
import type { Split, SplitPiece } from "../task/task-spec.ts";
import { runJob } from "./run.ts";

type FilePiece = Extract<SplitPiece, { kind: "file" }>;

/** What a retry has to do. */
export interface BadRetry {
  /** Job file, as it is now. */
  readonly file: string;
  readonly options: Pick<LocalRunOptions, "inputs" | "params" | "maxBad" | "name" | "external">;
  /** By absolute path: the offsets of the records. */
  readonly only: Readonly<Record<string, readonly number[]>>;
  readonly records: number;
  /** Bad records that have no place in the input: they came out of a reduce. */
  readonly withoutPlace: number;
}

/**
 * Finds out which records of which files a job on this machine has set aside.
 * @param cwd directory from which inputs are named
 * @throws SheafError NOT_FOUND when there are none, or they are gone; INPUT_CHANGED naming a file that is not
 * what the job has read; USAGE for what cannot be retried
 */
export async function planRetry({ directory, record }: KeptJob, cwd: string): Promise<BadRetry> {
  const { jobId, file, name, badRecords } = record;
  if (file === null) {
    throw new SheafError("USAGE", `${jobId} was run from a Job object, and nobody knows its file`, {
      hint: "Run the job from its file.",
    });
  }
  if (record.steps !== undefined) {
    throw new SheafError("USAGE", `${jobId} is a pipeline: only records of a job can be retried alone`, {
      hint: `Correct the code, and run its steps once more: sheaf resume ${jobId} --from STEP.`,
    });
  }
  const bad: ListedBadRecord[] = [];
  for (const path of badFilesOf(record)) for await (const one of readBadRecords(path)) bad.push(one);
  const placed = bad.filter(({ path, offset, phase }) => path !== null && offset !== null && isOfMap(phase));
  if (placed.length === 0) {
    throw new SheafError("NOT_FOUND", `${jobId} has set aside no record that could be retried`, {
      hint:
        badRecords === 0
          ? "It has set none aside."
          : "They came out of a reduce or a source, and have no place in a file: run the whole job.",
    });
  }
  const read = piecesOf(directory);
  const only: Record<string, number[]> = {};
  const inputs = new Set<string>();
  for (const { path, offset } of placed) {
    const piece = read.get(path!);
    if (piece === undefined) throw notRead(path!, jobId);
    if (only[piece.path] === undefined) inputs.add(await checked(piece, cwd));
    (only[piece.path] ??= []).push(offset!);
  }
  const { params, external } = record.settings as Pick<LocalRunOptions, "params" | "external">;
  const options = {
    inputs: [...inputs],
    maxBad: placed.length,
    name,
    ...(params === undefined ? {} : { params: fromWireValue(params) as typeof params }),
    ...(external === undefined ? {} : { external }),
  };
  const withoutPlace = bad.length - placed.length;
  return { file, options, only, records: placed.length, withoutPlace };
}

/** Runs the job file, as it is now, on those records alone. What is still bad is in `_bad` of its output. */
export function runRetry({ file, options, only }: BadRetry, more: LocalRunOptions): Promise<RunResult> {
  return runJob(file, { ...options, ...more }, only === undefined ? {} : { only });
}

/** What is done to merge bad records into the output that they were set aside of. */
export interface BadMend {
  readonly file: string;
  readonly options: LocalRunOptions;
  readonly records: number;
}

/**
 * Finds out whether bad records can be merged into the output that they were set aside of: an incremental run
 * has kept beside it what each map has made.
 * @throws SheafError as planRetry; USAGE for an output beside which nothing is kept
 */
export async function planMend({ record }: KeptJob): Promise<BadMend> {
  const { jobId, file, output, inputs, name, badRecords } = record;
  if (file === null || record.steps !== undefined) {
    throw new SheafError(
      "USAGE",
      `${jobId} is no run of a job's file: nothing can be merged into its output`,
      {
        hint: "Only bad records of a job that was run from its file can be tried again alone.",
      },
    );
  }
  const files = badFilesOf(record);
  if (badRecords === 0 || output === null || files.length === 0) {
    throw new SheafError("NOT_FOUND", `${jobId} has set aside no record that could be retried`, {
      hint: "It has set none aside.",
    });
  }
  if (record.settings["incremental"] !== true) {
    throw new SheafError("USAGE", "sheaf bad retry writes beside the old output, and needs --output", {
      hint:
        "Give a directory: -o DIR. What a reduce made of the others is kept only by runs with --incremental: " +
        "into the output of such a run they are merged.",
    });
  }
  const known = ["params", "external", "partBytes", "growing"] as const;
  const settings = record.settings as Partial<Record<(typeof known)[number], unknown>>;
  const given = Object.fromEntries(known.map((one) => [one, settings[one]]));
  const { params, external, partBytes, growing } = given as {
    params?: unknown;
    external?: LocalRunOptions["external"];
    partBytes?: number;
    growing?: boolean;
  };
  const partitions = await partitionsIn(output);
  const options: LocalRunOptions = {
    inputs,
    output,
    ...(partitions !== null && { partitions }),
    incremental: true,
    maxBad: badRecords,
    name,
    ...(params === undefined ? {} : { params: fromWireValue(params) as LocalRunOptions["params"] & {} }),
    ...(external === undefined ? {} : { external }),
    ...(partBytes === undefined ? {} : { partBytes }),
    ...(growing === undefined ? {} : { growing }),
  };
  return { file, options, records: badRecords };
}

/** As many as there were; null where it cannot be told of which collection each number is. */
async function partitionsIn(output: string): Promise<number | Readonly<Record<string, number>> | null> {
  const found = await readState(output);
  if (found.kind === "none") return null;
  const { partitions } = found.state;
  if (partitions.length === 1) return partitions[0]!;
  const parts = manifestIn(output)?.parts ?? [];
  const names = [...new Set(parts.map(({ collection }) => collection))];
  if (names.length !== partitions.length) return null;
  return Object.fromEntries(names.map((name, index) => [name, partitions[index]!]));
}

/**
 * Runs the maps that have set records aside once more, by the job file as it is now, and makes the output
 * anew of that and of what the other maps had made.
 */
export function runMend({ file, options }: BadMend, more: LocalRunOptions): Promise<RunResult> {
  return runJob(file, { ...options, ...more }, { mends: true });
}

function isOfMap(phase: string): boolean {
  return phase !== "reduce" && phase !== "write";
}

/** The files that the job has read, by the name it knew each by. */
function piecesOf(directory: string): Map<string, FilePiece> {
  const path = join(directory, "jobconfig.json");
  let splits: readonly Split[];
  try {
    const { tasks } = JSON.parse(readFileSync(path, "utf8")) as { tasks: { map: readonly Split[] } };
    splits = tasks.map;
  } catch (cause) {
    throw new SheafError("NOT_FOUND", `${path}: what the job has read is not known`, {
      hint: "Run the whole job.",
      cause,
    });
  }
  if (splits.some(({ input }) => input !== undefined)) {
    throw new SheafError("USAGE", "bad records of a job with several inputs cannot be retried alone", {
      hint: "Run the whole job: what is joined needs the other inputs.",
    });
  }
  const pieces = splits.flatMap((split) => split.pieces.filter((piece) => piece.kind === "file"));
  return new Map(pieces.map((piece) => [piece.name, piece]));
}

/** The file's name, when it is the file that the job has read. */
async function checked(piece: FilePiece, cwd: string): Promise<string> {
  const { name, path } = piece;
  if (name === "-") throw changed(name, "was standard input, and is gone");
  if (piece.version !== undefined) {
    const there = await (await storeOf(path)).stat(path);
    if (there === null) throw changed(path, "is gone");
    if (there === "directory" || there.version !== piece.version)
      throw changed(path, "has changed since the job has read it");
    return name;
  }
  const now = statSync(path, { throwIfNoEntry: false });
  if (now === undefined) throw changed(path, "is gone");
  if (now.size !== piece.fileBytes || now.mtimeMs !== piece.mtimeMs)
    throw changed(path, "has changed since the job has read it");
  if (resolve(cwd, name) === path) return name;
  // ctx.path would be another one, and results with it.
  const folder = path.endsWith(`/${name}`) ? path.slice(0, -name.length - 1) : null;
  throw new SheafError("USAGE", `${name} is not the file here that the job has read (${path})`, {
    hint: folder === null ? "Run this where the job was run." : `Run this where the job was run: ${folder}`,
    details: { path },
  });
}

function changed(path: string, what: string): SheafError {
  return new SheafError("INPUT_CHANGED", `${path} ${what}`, {
    hint: "The records at those offsets may be others by now: run the whole job.",
    details: { path },
  });
}

function notRead(path: string, job: string): SheafError {
  return new SheafError("NOT_FOUND", `${path}: ${job} has not read such a file`, {
    hint: "Its _bad files were changed. Run the whole job.",
    details: { path },
  });
}
