import { createReadStream } from "node:fs";
import { cp, link, lstat, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { crc32c } from "../base/crc32.ts";
import { SheafError } from "../base/errors.ts";
import type { SuccessManifest } from "../engine/commit.ts";
import type { CommittedPart } from "../engine/events.ts";
import type { RunResult } from "../engine/options.ts";
import type { Key } from "../job/key.ts";
import type { RecordBatch } from "../job/reader.ts";
import { recordsReader, recordsWriter } from "../steps/records.ts";
import { commitDirectory, createTempOutput, jobSibling, syncPath } from "../storage/atomic-output.ts";
import { asSheafError, errnoOf } from "../storage/fs-error.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import { digest } from "./plan.ts";
import type { Forms, PipelineState, StepSummary } from "./state.ts";

/*
 * The directory of one run of a step, <work>/<step>/<run>: `records`, for other steps, and `files`, as the
 * job writes them. Each appears by one rename, with a _SUCCESS, when it is whole.
 */

/** Which forms of its results a run of a step has left, whole. */
export async function formsIn(directory: string): Promise<Forms> {
  const has = async (form: string): Promise<boolean> => (await manifestIn(join(directory, form))) !== null;
  return { records: await has("records"), files: await has("files") };
}

/** null when the directory is not whole. */
export async function manifestIn(directory: string): Promise<SuccessManifest | null> {
  try {
    return JSON.parse(await readFile(join(directory, "_SUCCESS"), "utf8")) as SuccessManifest;
  } catch {
    return null;
  }
}

/** What a run that was not heard of again had written, from its manifests. */
export async function stepSummary(directory: string, forms: Forms): Promise<StepSummary | null> {
  const files = await manifestIn(join(directory, "files"));
  const records = await manifestIn(join(directory, "records"));
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
  return { bytes, records: count, crc32c: crc.toString(16).padStart(8, "0") };
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

export interface OutputFacts {
  readonly id: string;
  readonly name: string;
  readonly counters: Readonly<Record<string, number>>;
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

function successIn(directory: string): Promise<string | null> {
  return readFile(join(directory, "_SUCCESS"), "utf8").catch(() => null);
}

/**
 * Makes the output directory of what the steps have written, at once: OUT/<step>/..., and one _SUCCESS for
 * all. May be done again after a crash at any moment.
 * @returns the digest of that _SUCCESS
 */
export async function commitSteps(
  out: string,
  { id, name, counters }: OutputFacts,
  delivered: readonly Delivered[],
  overwrite: boolean,
): Promise<string> {
  const place = jobSibling(out, id);
  const staging = join(place, "out");
  const parts = partsOf(delivered);
  const badRecords = delivered.reduce((sum, { summary }) => sum + summary.badRecords, 0);
  const manifest = manifestText({ name, counters, badRecords }, parts);
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
      // What counts is the manifest of all.
      await rm(join(target, "_SUCCESS"), { force: true });
      if (await exists(join(target, "_bad"))) {
        await mkdir(join(staging, "_bad"), { recursive: true });
        await rename(join(target, "_bad"), join(staging, "_bad", step));
      }
    }
    await writeFile(join(staging, "_SUCCESS"), manifest);
    const whole = ["_SUCCESS", ...parts.map(({ file }) => file)];
    const options = { overwrite: overwrite || isThere, aside: join(place, "aside"), whole };
    await commitDirectory(staging, resolve(out), options);
  }
  await removeDirectory(place);
  return digest(manifest);
}

function gone(step: string): SheafError {
  return new SheafError("NOT_FOUND", `what step ${step} has written is not there any more`, {
    hint: `Run it again: sheaf resume @ --from ${step}.`,
  });
}

async function exists(path: string): Promise<boolean> {
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
async function linkTree(from: string, to: string): Promise<void> {
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
export async function placeForm(
  from: string,
  to: string,
  about: Pick<OutputFacts, "name" | "counters">,
): Promise<void> {
  const aside = `${to}.aside`;
  const { badRecords, parts } = (await manifestIn(from))!;
  await linkTree(from, aside);
  // Not in place: it is the round's, too.
  await rm(join(aside, "_SUCCESS"));
  await writeManifest(aside, { ...about, badRecords }, parts);
  await rm(to, { recursive: true, force: true });
  await rename(aside, to);
}

export async function writeManifest(
  directory: string,
  about: Omit<OutputFacts, "id"> & { readonly badRecords: number },
  parts: readonly CommittedPart[],
): Promise<void> {
  await writeFile(join(directory, "_SUCCESS"), manifestText(about, parts));
  await syncPath(dirname(directory)).catch(() => undefined);
}

function manifestText(
  { name, counters, badRecords }: Omit<OutputFacts, "id"> & { readonly badRecords: number },
  parts: readonly CommittedPart[],
): string {
  const sorted = Object.fromEntries(Object.entries(counters).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  const manifest: SuccessManifest = { sheaf: 1, job: name, code: null, counters: sorted, badRecords, parts };
  return `${JSON.stringify(manifest, null, 2)}\n`;
}
