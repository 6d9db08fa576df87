import { copyFile, lstat, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { crcText } from "../base/crc32.ts";
import { isSheafError, SheafError } from "../base/errors.ts";
import { OutputNames, clashOf } from "../base/output-name.ts";
import { STATE_DIRECTORY, stateFileName } from "../incremental/kept-state.ts";
import type { StateFiles } from "../incremental/run-notes.ts";
import {
  createTempOutput,
  discardTempOutput,
  placeDirectory,
  type Placed,
} from "../storage/atomic-output.ts";
import { asSheafError, errnoOf } from "../storage/fs-error.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import { readText } from "../storage/stored-output.ts";
import { isStored, storeOf } from "../storage/stores.ts";
import { uploadOutput } from "../storage/upload-output.ts";
import type { OutputPart, TaskFailure, TaskSuccess } from "../task/task-spec.ts";
import type { CommittedPart } from "./events.ts";
import { byName as byFieldName } from "./once.ts";

/** Results of the successful attempts, one per task, in task order. */
export interface Outputs {
  readonly sample: readonly TaskSuccess[];
  readonly map: readonly TaskSuccess[];
  readonly reduce: readonly TaskSuccess[];
  readonly counters: Readonly<Record<string, number>>;
}

export interface CommitPlan {
  readonly name: string;
  /** Content hash of the job's code; null for a Job object. */
  readonly code: string | null;
  /** Collection names by index. */
  readonly collections: readonly string[];
  /** Directory in which the output is put together, on the output's file system. */
  readonly staging: string;
  readonly output: string;
  readonly overwrite: boolean;
  /** Of an output in a store, which job of all it is of. */
  readonly job?: string;
  /** As in CommitOptions: needed where a commit may be done again after a crash. */
  readonly aside?: string;
  /** Called before each step; what it throws ends the commit, and nothing more is changed. */
  readonly step?: () => void;
  /** Called before anything is moved, unless that is done already; what it throws ends the commit. */
  readonly check?: () => Promise<void>;
  /** As in CommitOptions. */
  readonly beside?: (() => Promise<Placed>) | undefined;
  /** Is told of what has its place, and says whether it stays there. Default: it does. */
  readonly held?: (placed: Placed) => void;
  /**
   * Makes the output, where its files lie elsewhere. Default: they are moved, or uploaded, from here.
   * @param kept with `state`: the file that says what the output keeps
   */
  readonly place?: (
    files: readonly PlacedFile[],
    success: string,
    kept: readonly { readonly source: Uint8Array; readonly name: string }[],
  ) => Promise<void>;
  /**
   * What the output keeps for the next run, told where each file of a result lies below the output. Default:
   * nothing.
   */
  readonly state?: (placed: (source: string) => string) => Promise<StateFiles>;
}

/** A file of an output: where it lies, and its name below the output. */
export interface PlacedFile {
  readonly source: string;
  readonly name: string;
  /** Left out: not known. */
  readonly bytes?: number;
}

/**
 * The file `_SUCCESS`: present if and only if every part is. The same for every run that gives the same
 * output.
 */
export interface SuccessManifest {
  readonly sheaf: 1;
  readonly job: string;
  readonly code: string | null;
  readonly counters: Readonly<Record<string, number>>;
  readonly badRecords: number;
  readonly parts: readonly CommittedPart[];
}

interface NamedPart {
  readonly source: string;
  readonly part: CommittedPart;
}

/**
 * Names the parts in (partition, roll) order, per collection and name that route() gave: "part-00000.tsv",
 * "byAge/part-00000.csv", "byAge/2024-01/part-00000.csv". The names depend on the output only, never on which
 * attempt or worker made it.
 * @throws SheafError VALUE_INVALID for names that are one directory on some file systems
 */
export function nameParts(
  results: readonly TaskSuccess[],
  collections: readonly string[],
  kind: OutputPart["kind"],
): NamedPart[] {
  const parts = results.flatMap((result) => result.parts).filter((part) => part.kind === kind);
  parts.sort(
    (a, b) => a.collection - b.collection || byName(a, b) || a.partition - b.partition || a.roll - b.roll,
  );
  const names = collections.map(() => new OutputNames());
  const counts = new Map<string, number>();
  return parts.map((part) => {
    const collection = collections[part.collection]!;
    const below =
      part.name === undefined ? collection : collection === "" ? part.name : `${collection}/${part.name}`;
    const number = counts.get(below) ?? 0;
    counts.set(below, number + 1);
    const other =
      part.name === undefined || number > 0 ? undefined : names[part.collection]!.clash(part.name);
    if (other !== undefined) throw clashOf(other, part.name!);
    const name = `part-${String(number).padStart(5, "0")}${part.extension}`;
    const { partition, bytes, records, headerBytes } = part;
    const crc32c = crcText(part.crc32c);
    const file = below === "" ? name : `${below}/${name}`;
    const header = headerBytes === undefined ? {} : { headerBytes };
    return { source: part.path, part: { file, collection, partition, bytes, records, crc32c, ...header } };
  });
}

function byName({ name: a = "" }: OutputPart, { name: b = "" }: OutputPart): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Puts the output together and makes it visible at once. On a throw nothing of it is visible. After a crash
 * at any point it can be called again with the same arguments, by anyone who sees the files, and goes on from
 * there; once it has succeeded it changes nothing any more. Of several that do it at once all succeed.
 */
export async function commitOutput(plan: CommitPlan, outputs: Outputs): Promise<CommittedPart[]> {
  const results = [...outputs.map, ...outputs.reduce];
  const named = nameParts(results, plan.collections, "output");
  const bad = results.flatMap(({ badPath }) => (badPath === null ? [] : [badPath]));
  const badName = (index: number): string => join("_bad", `part-${String(index).padStart(5, "0")}.jsonl`);
  const parts = named.map(({ part }) => part);
  const placed = new Map([
    ...named.map(({ source, part }): [string, string] => [source, part.file]),
    ...bad.map((source, index): [string, string] => [source, badName(index)]),
  ]);
  const keep = (): Promise<StateFiles> | undefined => plan.state?.((source) => placed.get(source)!);
  if (plan.place !== undefined || isStored(plan.output)) {
    const { output, overwrite, job = plan.name, step } = plan;
    const success = manifestText(plan, outputs, parts);
    const state = await keep();
    const files: PlacedFile[] = [
      ...named.map(({ source, part: { file: name, bytes, crc32c } }) => ({ source, name, bytes, crc32c })),
      ...bad.map((source, index) => ({ source, name: badName(index) })),
      ...(state?.moves ?? []).map(([source, name]) => ({ source, name })),
    ];
    const kept = state === undefined ? [] : [{ source: Buffer.from(state.text), name: stateFileName }];
    const beside = (await plan.beside?.()) ?? null;
    try {
      if (plan.check !== undefined && !(await isCommitted(output, success))) await plan.check();
      if (plan.place !== undefined) await plan.place(files, success, kept);
      else {
        const all = [...files, ...kept, { source: Buffer.from(success), name: "_SUCCESS" }];
        await uploadOutput(all, { output, job, overwrite, step });
      }
    } catch (error) {
      await beside?.undo();
      throw error;
    }
    await beside?.done();
    return parts;
  }
  const moves: Move[] = [
    ...named.map(({ source, part }): Move => [source, join(plan.staging, part.file), part.bytes]),
    ...bad.map((source, index): Move => [source, join(plan.staging, badName(index)), null]),
  ];
  const state = await keep();
  for (const [source, name] of state?.moves ?? []) moves.push([source, join(plan.staging, name), null]);
  const manifest = manifestText(plan, outputs, parts);
  try {
    if (!(await isDone(plan, manifest, moves))) await commitNew(plan, { manifest, moves, state });
    else await (await plan.beside?.())?.done();
  } catch (error) {
    // Somebody else may have done it meanwhile.
    if (!(await isDone(plan, manifest, moves).catch(() => false))) {
      throw asSheafError(error, { path: plan.output, doing: "write" });
    }
  }
  if (plan.aside !== undefined && plan.held === undefined) await removeDirectory(plan.aside);
  return parts;
}

/** Whether it is done, or decided by somebody who was cut off then, whose commit is carried out first. */
async function isCommitted(output: string, success: string): Promise<boolean> {
  if (!isStored(output)) return false;
  try {
    return (await readText(await storeOf(output), `${output}_SUCCESS`)) === success;
  } catch (error) {
    return isSheafError(error) && error.code === "INPUT_UNREADABLE";
  }
}

interface NewOutput {
  readonly manifest: string;
  readonly moves: readonly Move[];
  readonly state: StateFiles | undefined;
}

async function commitNew(plan: CommitPlan, { manifest, moves, state }: NewOutput): Promise<void> {
  await plan.check?.();
  const directories = new Set([plan.staging, ...moves.map(([, target]) => dirname(target))]);
  for (const name of plan.collections) directories.add(join(plan.staging, name));
  if (state !== undefined) directories.add(join(plan.staging, STATE_DIRECTORY));
  for (const directory of directories) await mkdir(directory, { recursive: true });
  await moveFiles(moves, plan.step);
  plan.step?.();
  if (state !== undefined) await writeFile(join(plan.staging, stateFileName), state.text);
  await writeFile(join(plan.staging, "_SUCCESS"), manifest);
  const { overwrite, aside, step, beside, held } = plan;
  const whole = ["_SUCCESS", ...moves.map(([, target]) => relative(plan.staging, target))];
  const options = { overwrite, step, beside, whole, ...(aside === undefined ? {} : { aside }) };
  const placed = await placeDirectory(plan.staging, plan.output, options);
  if (held === undefined) await placed.done();
  else held(placed);
}

function manifestText(plan: CommitPlan, outputs: Outputs, parts: readonly CommittedPart[]): string {
  const results = [...outputs.map, ...outputs.reduce];
  const badRecords = results.reduce((sum, { stats }) => sum + stats.badRecords, 0);
  return successText({ job: plan.name, code: plan.code, counters: outputs.counters, badRecords, parts });
}

/** What is in _SUCCESS: the same for the same output. */
export function successText(about: Omit<SuccessManifest, "sheaf">): string {
  const { job, code, counters, badRecords, parts } = about;
  const sorted = Object.fromEntries(byFieldName(counters)) as SuccessManifest["counters"];
  const manifest: SuccessManifest = { sheaf: 1, job, code, counters: sorted, badRecords, parts };
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/** The output is in its place already: nothing is left to be moved, and what is there is what would be. */
async function isDone(plan: CommitPlan, manifest: string, moves: readonly Move[]): Promise<boolean> {
  const there = await readFile(join(plan.output, "_SUCCESS"), "utf8").catch(() => null);
  if (there !== manifest) return false;
  for (const [source, target] of moves) {
    if ((await sizeOf(source)) !== null || (await sizeOf(target)) !== null) return false;
  }
  return moves.length > 0 || (await sizeOf(plan.staging)) === null;
}

/**
 * Makes a dataset of the records that map tasks have kept: as commitOutput makes an output, in a directory of
 * its own.
 */
export function commitRecords(
  plan: Omit<CommitPlan, "collections">,
  { map }: Pick<Outputs, "map">,
): Promise<CommittedPart[]> {
  const outputs = { sample: [], map: recordsOf(map), reduce: [], counters: {} };
  return commitOutput({ ...plan, collections: [""] }, outputs);
}

/**
 * Makes a directory that is to stay only where the output does.
 * @param commit puts it together in `temp`, and hands over what has its place
 */
export async function placeBeside(
  directory: string,
  commit: (temp: string, held: (placed: Placed) => void) => Promise<unknown>,
): Promise<Placed> {
  const temp = await createTempOutput(directory);
  // Where it lies in a storage it is final at once.
  let placed = null as Placed | null;
  try {
    await commit(temp, (one) => void (placed = one));
  } catch (error) {
    await discardTempOutput(temp);
    throw error;
  }
  const ended = (work: (one: Placed) => Promise<void>) => async (): Promise<void> => {
    if (placed !== null) await work(placed);
    await discardTempOutput(temp);
  };
  return { done: ended((one) => one.done()), undo: ended((one) => one.undo()) };
}

/** The results of map tasks as if the records that they have kept were all that they have made. */
export function recordsOf(map: readonly TaskSuccess[]): TaskSuccess[] {
  return map.map((result): TaskSuccess => ({
    ...result,
    stats: { ...result.stats, badRecords: 0 },
    badPath: null,
    parts: result.parts
      .filter(({ kind }) => kind === "records")
      .map((part) => ({ ...part, kind: "output", collection: 0 })),
  }));
}

/**
 * Moves the collected results out of the attempts' directories; [collection name, path] in (partition, roll)
 * order.
 */
export async function keepCollected(
  results: readonly TaskSuccess[],
  collections: readonly string[],
  directory: string,
): Promise<{ collection: string; path: string }[]> {
  const kept: { collection: string; path: string }[] = [];
  for (const { source, part } of nameParts(results, collections, "collected")) {
    const path = join(directory, part.file);
    await mkdir(dirname(path), { recursive: true });
    await moveFile(source, path, part.bytes);
    kept.push({ collection: part.collection, path });
  }
  return kept;
}

/** Files moved at once: what waits for the disk then waits together. */
const MOVES_AT_ONCE = 16;

/** What is to be moved where, and its size; null when that is not known. */
type Move = readonly [source: string, target: string, bytes: number | null];

/** Moves all of them. After a throw none is being moved any more. */
async function moveFiles(files: readonly Move[], step: (() => void) | undefined): Promise<void> {
  for (let at = 0; at < files.length; at += MOVES_AT_ONCE) {
    step?.();
    const moves = files.slice(at, at + MOVES_AT_ONCE).map((move) => moveFile(...move));
    for (const move of await Promise.allSettled(moves)) if (move.status === "rejected") throw move.reason;
  }
}

/** A file that is not at its source but, of that size, at its target was moved before. */
async function moveFile(source: string, target: string, bytes: number | null): Promise<void> {
  try {
    await rename(source, target);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") {
      const moved = await sizeOf(target);
      if (moved !== null && (bytes === null || moved === bytes)) return;
      throw asSheafError(error, { path: source, doing: "rename" });
    }
    if (errnoOf(error) !== "EXDEV") throw error;
    await copyFile(source, target);
    await rm(source, { force: true });
  }
}

/** null when there is nothing. */
async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await lstat(path)).size;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return null;
    throw error;
  }
}

/** What the gate said: why not, or how it failed itself. @returns what is thrown then */
export function expectRefused(refusal: string | TaskFailure, more = ""): SheafError {
  const told =
    typeof refusal === "string"
      ? { message: `the job's expect gate refused the result: ${refusal}`, hint: null }
      : refusal;
  return new SheafError("EXPECT_FAILED", told.message, {
    hint: told.hint ?? `Nothing was written; earlier output is as it was.${more}`,
  });
}
