import { createReadStream } from "node:fs";
import { cp, link, lstat, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { crc32c, crcText } from "../base/crc32.ts";
import { describeThrown, type ErrorCode, isSheafError, SheafError } from "../base/errors.ts";
import { type SuccessManifest, successText } from "../engine/commit.ts";
import { failureOutsideTasks } from "../engine/error-report.ts";
import type { CommittedPart } from "../engine/events.ts";
import { resultOf } from "../engine/result.ts";
import type { RunResult } from "../engine/run-result.ts";
import type { Key } from "../job/key.ts";
import type { RecordBatch } from "../job/reader.ts";
import { recordsReader, recordsWriter } from "../steps/records.ts";
import { commitDirectory, createTempOutput, jobSibling } from "../storage/atomic-output.ts";
import { asSheafError, errnoOf } from "../storage/fs-error.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import { readText } from "../storage/stored-output.ts";
import { isStored, storedOutput, storeOf } from "../storage/stores.ts";
import { type UploadFile, uploadOutput } from "../storage/upload-output.ts";
import { digest } from "./plan.ts";
import type { Forms, PipelineState, StepSummary } from "./state.ts";

/*
 * The directory of one run of a step, <work>/<step>/<run>: `records`, for other steps, and `files`, as the
 * job writes them. Each appears by one rename, with a _SUCCESS, when it is whole.
 */

/** @param work directory of what lies between the steps of a pipeline */
export function stepDirectory(work: string, step: string, run: number): string {
  return join(work, step, String(run));
}

/** Which forms of its results a run of a step has left, whole. */
export async function formsIn(directory: string): Promise<Forms> {
  const has = async (form: string): Promise<boolean> =>
    (await manifestOfStep(join(directory, form))) !== null;
  return { records: await has("records"), files: await has("files") };
}

/** null when the directory is not whole. */
export async function manifestOfStep(directory: string): Promise<SuccessManifest | null> {
  try {
    return JSON.parse(await readFile(join(directory, "_SUCCESS"), "utf8")) as SuccessManifest;
  } catch {
    return null;
  }
}

/** What a run that was not heard of again had written, from its manifests. */
export async function stepSummary(directory: string, forms: Forms): Promise<StepSummary | null> {
  const files = await manifestOfStep(join(directory, "files"));
  const records = await manifestOfStep(join(directory, "records"));
  const manifest = files ?? records;
  if (manifest === null || (forms.files && files === null) || (forms.records && records === null))
    return null;
  const sum = (of: (part: CommittedPart) => number): number =>
    manifest.parts.reduce((all, one) => all + of(one), 0);
  return {
    recordsIn: 0,
    recordsOut: sum(({ records: count }) => count),
    bytesIn: 0,
    bytesOut: sum(({ bytes }) => bytes),
    badRecords: manifest.badRecords,
    cpuMs: 0,
    elapsedMs: null,
    counters: manifest.counters,
    parts: files?.parts ?? [],
  };
}

/** Of a run that has ended well. */
export function summaryOfResult(
  { stats, counters, badRecords, parts }: RunResult,
  forms: Forms,
): StepSummary {
  const { recordsIn, recordsOut, bytesIn, bytesOut, cpuMs, elapsedMs } = stats;
  return {
    recordsIn,
    recordsOut,
    bytesIn,
    bytesOut,
    badRecords,
    cpuMs,
    elapsedMs,
    counters,
    parts: forms.files ? parts : [],
  };
}

/** Writes the records of a result for other steps, besides the files that its run has written. */
export async function writeRecords(
  result: RunResult,
  collections: readonly string[],
  directory: string,
): Promise<void> {
  const temp = await createTempOutput(directory);
  const parts: CommittedPart[] = [];
  for (const collection of collections) {
    const file = join(collection, "part-00000.records");
    await mkdir(join(temp, collection), { recursive: true });
    const written = await writeRecordsFile(
      join(temp, file),
      result.records(collection === "" ? undefined : collection),
    );
    parts.push({ file, collection, partition: 0, ...written });
  }
  await writeManifest(
    temp,
    { name: result.name, counters: result.counters, badRecords: result.badRecords },
    parts,
  );
  await commitDirectory(temp, directory);
}

async function writeRecordsFile(
  path: string,
  records: AsyncIterable<readonly [Key, unknown]>,
): Promise<Pick<CommittedPart, "bytes" | "records" | "crc32c">> {
  const encoder = recordsWriter().encoder();
  const pieces: Uint8Array[] = [];
  let [bytes, count, crc] = [0, 0, 0];
  const sink = {
    text: (text: string): void => sink.bytes(Buffer.from(text)),
    byte: (value: number): void => sink.bytes(Uint8Array.of(value)),
    bytes: (piece: Uint8Array): void => void pieces.push(Uint8Array.from(piece)),
  };
  const flush = async (): Promise<void> => {
    const all = Buffer.concat(pieces.splice(0));
    bytes += all.length;
    crc = crc32c(all, crc);
    await writeFile(path, all, { flag: "a" });
  };
  encoder.begin?.(sink);
  for await (const [key, value] of records) {
    encoder.write(key, value, sink);
    count++;
    if (pieces.length >= 64) await flush();
  }
  encoder.end?.(sink);
  await flush();
  return { bytes, records: count, crc32c: crcText(crc) };
}

/** A map-only step of which no task ran leaves no file: whoever reads it finds one without a record. */
export async function completeRecords(directory: string, collections: readonly string[]): Promise<void> {
  for (const collection of collections) {
    const place = join(directory, collection);
    const names = await readdir(place).catch(() => []);
    if (names.some((name) => name.endsWith(".records"))) continue;
    await mkdir(place, { recursive: true });
    await writeRecordsFile(join(place, "part-00000.records"), nothing());
  }
}

async function* nothing(): AsyncGenerator<[Key, unknown]> {}

/** The records that a step has written, in order. */
export async function* readStepRecords(directory: string): AsyncGenerator<[Key, unknown]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(".records"));
  for (const name of names.toSorted()) {
    const path = join(directory, name);
    const decoder = recordsReader().decoder({ path, recordBytesMax: Number.MAX_SAFE_INTEGER });
    const batch: RecordBatch<readonly [Key, unknown]> = { records: [], offsets: [], bad: [] };
    for await (const piece of createReadStream(path, { highWaterMark: 1 << 18 })) {
      decoder.decode(piece as Uint8Array, 0, false, batch);
      for (const [key, value] of batch.records.splice(0)) yield [key, value];
    }
    decoder.decode(new Uint8Array(0), 0, true, batch);
  }
}

/** What goes into the output directory: the files of one step. */
export interface Delivered {
  readonly step: string;
  /** Its `files`. */
  readonly directory: string;
  readonly summary: StepSummary;
  /** They stay where they are, too. */
  readonly stays: boolean;
}

/** What the manifest says of all. */
export interface OutputFacts {
  readonly name: string;
  readonly counters: Readonly<Record<string, number>>;
  readonly badRecords: number;
}

export interface OutputPlan {
  /** Of the pipeline's run. */
  readonly id: string;
  readonly about: OutputFacts;
  /** Directories of what steps have set aside. */
  readonly bad: readonly (readonly [step: string, directory: string])[];
  readonly overwrite: boolean;
  /** Called between uploads; what it throws ends the commit. */
  readonly step: () => void;
}

/** The parts of all steps, as they lie below the output directory. */
export function partsOf(delivered: readonly Delivered[]): CommittedPart[] {
  return delivered.flatMap(({ step, summary }) =>
    summary.parts.map((part) => ({
      ...part,
      file: `${step}/${part.file}`,
      collection: collectionName(step, part.collection),
    })),
  );
}

/** What the results of a step are called among those of the pipeline: STEP, or STEP/COLLECTION. */
export function collectionName(step: string, collection: string): string {
  return collection === "" ? step : `${step}/${collection}`;
}

/** Whether what lies there is what this pipeline has committed there: it may replace that. */
export async function isCommittedBy(
  committedTo: PipelineState["committedTo"],
  out: string,
): Promise<boolean> {
  return committedTo?.output === out && digest(await successIn(out)) === committedTo.digest;
}

/** null: there is none, or it cannot be read. */
async function successIn(out: string): Promise<string | null> {
  try {
    return isStored(out)
      ? await readText(await storeOf(out), `${out}_SUCCESS`)
      : await readFile(join(out, "_SUCCESS"), "utf8");
  } catch {
    return null;
  }
}

/**
 * Makes the output directory of what the steps have written, at once: OUT/<step>/..., and one _SUCCESS for
 * all. May be done again after a crash at any moment.
 * @returns the digest of that _SUCCESS
 */
export async function commitSteps(
  out: string,
  plan: OutputPlan,
  delivered: readonly Delivered[],
): Promise<string> {
  if (isStored(out)) return uploadSteps(out, plan, delivered);
  const { id, about, bad, overwrite } = plan;
  const place = jobSibling(out, id);
  const staging = join(place, "out");
  const parts = partsOf(delivered);
  const manifest = manifestText(about, parts);
  const sources = await Promise.all(delivered.map(({ directory }) => exists(directory)));
  const isThere = (await successIn(out)) === manifest;
  // The rename has happened, and perhaps all behind it.
  const moved = delivered.some(({ stays }, index) => !stays && !sources[index]);
  const isDone = isThere && !(await exists(staging)) && ((await exists(place)) || moved);
  if (!isDone) {
    await mkdir(staging, { recursive: true });
    for (const [index, { step, directory, stays }] of delivered.entries()) {
      const target = join(staging, step);
      if (stays && sources[index]) await linkTree(directory, target);
      else if (sources[index] && !(await exists(target))) await moveTree(directory, target);
      if (!(await exists(target))) throw gone(step);
      // What counts is the manifest of all, and what all have set aside.
      for (const name of ["_SUCCESS", "_bad"]) await rm(join(target, name), { recursive: true, force: true });
    }
    for (const [step, directory] of bad) {
      if (await exists(directory)) await linkTree(directory, join(staging, "_bad", step));
    }
    await writeFile(join(staging, "_SUCCESS"), manifest);
    const whole = ["_SUCCESS", ...parts.map(({ file }) => file)];
    const options = { overwrite: overwrite || isThere, aside: join(place, "aside"), whole };
    await commitDirectory(staging, resolve(out), options);
  }
  await removeDirectory(place);
  return digest(manifest);
}

/** The same of an output in a storage. What the steps have written stays where it is. */
async function uploadSteps(
  out: string,
  { id: job, about, bad, overwrite, step: check }: OutputPlan,
  delivered: readonly Delivered[],
): Promise<string> {
  // What a killed run of this pipeline had decided is carried out, and all else of it removed.
  await (await storedOutput(out, job)).check({ overwrite: true, step: check });
  const manifest = manifestText(about, partsOf(delivered));
  const files: UploadFile[] = [];
  for (const { step, directory, summary } of delivered) {
    if (!(await exists(directory))) throw gone(step);
    for (const { file, bytes, crc32c: sum } of summary.parts)
      files.push({ source: join(directory, file), name: `${step}/${file}`, bytes, crc32c: sum });
  }
  for (const [step, directory] of bad) {
    if (!(await exists(directory))) continue;
    for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const source = join(entry.parentPath, entry.name);
      files.push({ source, name: `_bad/${step}/${relative(directory, source)}` });
    }
  }
  files.push({ source: Buffer.from(manifest), name: "_SUCCESS" });
  const isThere = (await successIn(out)) === manifest;
  await uploadOutput(files, { output: out, job, overwrite: overwrite || isThere, step: check });
  return digest(manifest);
}

function gone(step: string): SheafError {
  return new SheafError("NOT_FOUND", `what step ${step} has written is not there any more`, {
    hint: `Run it again: sheaf resume @ --from ${step}.`,
  });
}

export async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return false;
    throw asSheafError(error, { path, doing: "read" });
  }
}

async function moveTree(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (errnoOf(error) !== "EXDEV") throw error;
    await copyTree(from, to);
  }
}

/** A second name for each file, where the file system has that; else a copy. */
export async function linkTree(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await mkdir(to, { recursive: true });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await linkTree(source, target);
    else await link(source, target).catch(() => cp(source, target));
  }
}

/** The copy appears when it is whole. */
async function copyTree(from: string, to: string): Promise<void> {
  const aside = `${to}.copy`;
  await rm(aside, { recursive: true, force: true });
  await cp(from, aside, { recursive: true });
  await rename(aside, to);
}

/** Puts a second name, or a copy, of a round's results where those of its loop belong. */
export async function placeForm(from: string, to: string, about: OutputFacts): Promise<void> {
  const aside = `${to}.aside`;
  const { parts } = (await manifestOfStep(from))!;
  await linkTree(from, aside);
  // Not in place: it is the round's, too.
  await rm(join(aside, "_SUCCESS"));
  await writeManifest(aside, about, parts);
  await rm(to, { recursive: true, force: true });
  await rename(aside, to);
}

export async function writeManifest(
  directory: string,
  about: OutputFacts,
  parts: readonly CommittedPart[],
): Promise<void> {
  await writeFile(join(directory, "_SUCCESS"), manifestText(about, parts));
}

export function manifestText(
  { name, counters, badRecords }: OutputFacts,
  parts: readonly CommittedPart[],
): string {
  return successText({ job: name, code: null, counters, badRecords, parts });
}

/** How a step has ended that is no job, when it threw. */
export function resultOfThrown(
  error: unknown,
  known: Pick<RunResult, "jobId" | "name" | "stats">,
  {
    signal,
    code,
    hint,
  }: { readonly signal: AbortSignal | undefined; readonly code: ErrorCode; readonly hint: string },
): RunResult {
  if (signal?.aborted === true) return resultOf({ ...known, status: "CANCELLED" });
  const told = isSheafError(error)
    ? error
    : new SheafError(code, describeThrown(error), { hint, cause: error });
  return resultOf({ ...known, status: "FAILED", error: failureOutsideTasks(told) });
}
