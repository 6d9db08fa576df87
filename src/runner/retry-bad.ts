import { readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { SheafError } from "../base/errors.ts";
import { suggest } from "../base/suggest.ts";
import { fromWireValue } from "../base/wire-json.ts";
import { type ListedBadRecord, badFilesOf, readBadRecords } from "../engine/bad-list.ts";
import { changed, checkAsRead, filesOfSplit, type ReadFile } from "../engine/chosen-records.ts";
import type { KeptJob } from "../engine/job-history.ts";
import type { LocalRunOptions } from "../engine/options.ts";
import type { RunResult } from "../engine/run-result.ts";
import { storeOf } from "../storage/stores.ts";
import type { Split } from "../task/split.ts";
import type { ChosenFile, ChosenRecords } from "../task/task-spec.ts";
import { keptMapOnly, type MapOnlyRun } from "./map-only-mend.ts";
import { runJob } from "./run.ts";

/** What is known of a job that has set records aside, on this machine or on a cluster. */
export interface BadJob {
  readonly job: string;
  /** Job file; null: it was a Job object. */
  readonly file: string | null;
  readonly name: string;
  /** As they were given. */
  readonly inputs: readonly string[];
  /** The names of several inputs, in order; null: it has one. */
  readonly inputNames: readonly string[] | null;
  readonly params: NonNullable<LocalRunOptions["params"]>;
  /** Those that records were set aside of are among them. */
  readonly files: Iterable<ReadFile>;
}

/** What a retry has to do. */
export interface BadRetry {
  /** Job file, as it is now. */
  readonly file: string;
  readonly options: Pick<LocalRunOptions, "inputs" | "params" | "maxBad" | "name" | "external">;
  readonly only: ChosenRecords;
  readonly records: number;
  /** Bad records that have no place in the input: they came out of a reduce. */
  readonly withoutPlace: number;
  /** Names of inputs of which the reduce sees these records only. */
  readonly partly: readonly string[];
}

/**
 * Finds out which records of which files a job on this machine has set aside.
 * @param cwd directory from which inputs are named
 * @param whole names of inputs that are to be read whole besides
 * @throws SheafError NOT_FOUND when there are none, or they are gone; INPUT_CHANGED naming a file that is not
 * what the job has read; USAGE for what cannot be retried
 */
export async function planRetry(
  { directory, record }: KeptJob,
  cwd: string,
  whole: readonly string[] = [],
): Promise<BadRetry> {
  const { jobId, file, name, inputs } = record;
  if (record.steps !== undefined) {
    throw new SheafError("USAGE", `${jobId} is a pipeline: only records of a job can be retried alone`, {
      hint: `Correct the code, and run its steps once more: sheaf resume ${jobId} --from STEP.`,
    });
  }
  const bad: ListedBadRecord[] = [];
  for (const path of badFilesOf(record)) for await (const one of readBadRecords(path)) bad.push(one);
  const { params = {}, external } = record.settings as Pick<LocalRunOptions, "params" | "external">;
  const known = { job: jobId, file, name, inputs, params: fromWireValue(params) as BadJob["params"] };
  const retry = retryOf({ ...known, ...readBy(directory) }, bad, whole);
  for (const one of retry.only.files) await checkHere(one, cwd);
  return external === undefined ? retry : { ...retry, options: { ...retry.options, external } };
}

/**
 * What is to be done to try bad records again.
 * @throws SheafError as planRetry
 */
export function retryOf(job: BadJob, bad: readonly ListedBadRecord[], whole: readonly string[]): BadRetry {
  const { file, name, params, inputNames } = job;
  if (file === null) {
    throw new SheafError("USAGE", `${job.job} was run from a Job object, and nobody knows its file`, {
      hint: "Run the job from its file.",
    });
  }
  const placed = bad.filter(({ path, offset, phase }) => path !== null && offset !== null && isOfMap(phase));
  if (placed.length === 0) {
    throw new SheafError("NOT_FOUND", `${job.job} has set aside no record that could be retried`, {
      hint:
        bad.length === 0
          ? "It has set none aside."
          : "They came out of a reduce or a source, and have no place in a file: run the whole job.",
    });
  }
  const asWhole = whole.map((one) => inputOf(job, one));
  const offsets = new Map<ReadFile, number[]>();
  const fileOf = fileFinder(job);
  for (const one of placed) {
    const read = fileOf(one);
    if (asWhole.includes(read.input)) continue;
    const some = offsets.get(read);
    if (some === undefined) offsets.set(read, [one.offset!]);
    else some.push(one.offset!);
  }
  const files = [...offsets].map(([read, some]): ChosenFile => ({ ...read, offsets: some }));
  const prefix = (input: number): string => (inputNames === null ? "" : `${inputNames[input]!}=`);
  const texts = files.map(
    ({ input, agent, path, name: own }) => prefix(input) + (agent === undefined ? own : `agent:${path}`),
  );
  const rest = asWhole.flatMap((one) => job.inputs.filter((text) => text.startsWith(prefix(one))));
  const inputs = [...new Set([...texts, ...rest])];
  return {
    file,
    options: { inputs, params, maxBad: placed.length, name },
    only: { files, whole: asWhole },
    records: placed.length,
    withoutPlace: bad.length - placed.length,
    partly: (inputNames ?? []).filter((_, input) => !asWhole.includes(input)),
  };
}

function inputOf({ job, inputNames }: BadJob, name: string): number {
  const index = inputNames?.indexOf(name) ?? -1;
  if (index >= 0) return index;
  if (inputNames === null) {
    throw new SheafError("USAGE", `${job} has one input: nothing of another can be read besides`, {
      hint: "Leave --with out.",
    });
  }
  const near = suggest(name, inputNames);
  throw new SheafError("USAGE", `${job} has no input "${name}"`, {
    hint: near === undefined ? `It has: ${inputNames.join(", ")}.` : `Did you mean ${near}?`,
  });
}

/** Which file a bad record is of. */
function fileFinder({ job, files, inputNames }: BadJob): (bad: ListedBadRecord) => ReadFile {
  const byName = new Map<string, ReadFile[]>();
  for (const file of files) {
    const same = byName.get(file.name) ?? [];
    if (!same.some(({ input }) => input === file.input)) byName.set(file.name, [...same, file]);
  }
  return ({ path, input }) => {
    const found = (byName.get(path!) ?? []).filter(
      (file) => input === undefined || inputNames === null || inputNames[file.input] === input,
    );
    if (found.length === 1) return found[0]!;
    if (found.length === 0) throw notRead(path!, job);
    throw new SheafError("USAGE", `${path}: nobody knows which of the inputs its bad records are of`, {
      hint: "The job was run by an earlier sheaf, which did not say. Run the whole job.",
      details: { path: path! },
    });
  };
}

/** Runs the job file, as it is now, on those records alone. What is still bad is in `_bad` of its output. */
export function runRetry({ file, options, only }: BadRetry, more: LocalRunOptions): Promise<RunResult> {
  return runJob(file, { ...options, ...more }, { only });
}

/** What is done to merge bad records into the output that they were set aside of. */
export interface BadMend {
  readonly file: string;
  readonly options: LocalRunOptions;
  readonly records: number;
  readonly maps: MapOnlyRun | null;
}

/**
 * Finds out whether bad records can be merged into the output that they were set aside of: an incremental run
 * has kept beside it what each map has made.
 * @throws SheafError as planRetry; USAGE for an output beside which nothing is kept
 */
export async function planMend({ directory, record }: KeptJob): Promise<BadMend> {
  const { jobId: job, file, output, inputs, name, badRecords, settings } = record;
  if (record.steps !== undefined) {
    throw new SheafError("USAGE", `${job} is a pipeline: nothing can be merged into its output`, {
      hint: "Only bad records of a job that was run from its file can be tried again alone.",
    });
  }
  const hasBad = badFilesOf(record).length > 0;
  const { params = {}, incremental, ...known } = settings as KnownSettings;
  return mendOf({
    job,
    file,
    name,
    inputs,
    output,
    incremental: incremental === true,
    badRecords: hasBad ? badRecords : 0,
    settings: { ...known, params: fromWireValue(params) as BadJob["params"] },
    maps: keptMapOnly(directory),
  });
}

type KnownSettings = Pick<LocalRunOptions, "params" | "external" | "partBytes" | "growing" | "incremental">;

/** What is known of a job whose bad records are to be merged into its output. */
export interface MendedJob extends Pick<BadJob, "job" | "file" | "name" | "inputs"> {
  readonly output: string | null;
  readonly incremental: boolean;
  /** How many there are in the output. */
  readonly badRecords: number;
  /** Those that change what maps give. */
  readonly settings: KnownSettings;
  /** Of a job without reduce; null: it has one, or nobody has kept which file is of which map. */
  readonly maps: MapOnlyRun | null;
}

/** What is to be done to merge them. @throws SheafError as planMend */
export function mendOf(about: MendedJob): BadMend {
  const { job, file, name, inputs, output, incremental, badRecords, settings, maps } = about;
  if (file === null) {
    throw new SheafError("USAGE", `${job} was run from a Job object, and nobody knows its file`, {
      hint: "Run the job from its file.",
    });
  }
  if (badRecords === 0 || output === null) {
    throw new SheafError("NOT_FOUND", `${job} has set aside no record that could be retried`, {
      hint: badRecords === 0 ? "It has set none aside." : "Give a directory for their results: -o DIR.",
    });
  }
  if (!incremental && maps === null) {
    throw new SheafError("USAGE", "sheaf bad retry writes beside the old output, and needs --output", {
      hint:
        "Give a directory: -o DIR. What a reduce made of the others is kept only by runs with --incremental: " +
        "into the output of such a run they are merged, and here into that of a job without reduce.",
    });
  }
  const { params, external, partBytes, growing } = settings;
  const options: LocalRunOptions = {
    inputs,
    output,
    ...(incremental ? { incremental } : { overwrite: true }),
    maxBad: badRecords,
    name,
    ...(params !== undefined && { params }),
    ...(external !== undefined && { external }),
    ...(partBytes !== undefined && { partBytes }),
    ...(growing !== undefined && { growing }),
  };
  return { file, options, records: badRecords, maps };
}

/**
 * Runs the maps that have set records aside once more, by the job file as it is now, and makes the output
 * anew of that and of what the other maps had made.
 */
export function runMend({ file, options, maps }: BadMend, more: LocalRunOptions): Promise<RunResult> {
  const kind = options.incremental === true || maps === null ? { mends: true } : { maps };
  return runJob(file, { ...options, ...more }, kind);
}

function isOfMap(phase: string): boolean {
  return phase !== "reduce" && phase !== "write";
}

/** The files that the job has read. */
function readBy(directory: string): Pick<BadJob, "files" | "inputNames"> {
  const path = join(directory, "jobconfig.json");
  let splits: readonly Split[];
  let inputNames: readonly string[] | null;
  try {
    const config = JSON.parse(readFileSync(path, "utf8")) as {
      readonly tasks: { readonly map: readonly Split[] };
      readonly inputs?: readonly string[];
    };
    splits = config.tasks.map;
    inputNames = config.inputs ?? null;
  } catch (cause) {
    throw new SheafError("NOT_FOUND", `${path}: what the job has read is not known`, {
      hint: "Run the whole job.",
      cause,
    });
  }
  if (inputNames === null && splits.some(({ input }) => input !== undefined)) {
    throw new SheafError("USAGE", "an earlier sheaf has run this job of several inputs", {
      hint: "What they are called is not known: run the whole job.",
    });
  }
  return { files: splits.flatMap(filesOfSplit), inputNames };
}

/** Sees to it that the name leads to the file that the job has read. */
async function checkHere(file: ChosenFile, cwd: string): Promise<void> {
  const { name, path, version } = file;
  if (name === "-") throw changed(name, "was standard input, and is gone");
  if (version !== undefined) {
    const there = await (await storeOf(path)).stat(path);
    const isFile = there !== null && there !== "directory";
    return checkAsRead(file, isFile ? { ...file, version: there.version ?? "" } : null);
  }
  const now = statSync(path, { throwIfNoEntry: false });
  checkAsRead(file, now === undefined ? null : { fileBytes: now.size, mtimeMs: now.mtimeMs });
  if (resolve(cwd, name) === path) return;
  // ctx.path would be another one, and results with it.
  const folder = path.endsWith(`/${name}`) ? path.slice(0, -name.length - 1) : null;
  throw new SheafError("USAGE", `${name} is not the file here that the job has read (${path})`, {
    hint: folder === null ? "Run this where the job was run." : `Run this where the job was run: ${folder}`,
    details: { path },
  });
}

function notRead(path: string, job: string): SheafError {
  return new SheafError("NOT_FOUND", `${path}: ${job} has not read such a file`, {
    hint: "Its _bad files were changed. Run the whole job.",
    details: { path },
  });
}
