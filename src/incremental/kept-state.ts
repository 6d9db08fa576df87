import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, sep } from "node:path";
import { describeThrown, isSheafError, SheafError } from "../base/errors.ts";
import { outputNameProblem } from "../base/output-name.ts";
import { DIGEST_KEY_BYTES } from "../storage/content-digest.ts";
import { errnoOf } from "../storage/fs-error.ts";
import type { StoreStep } from "../storage/store.ts";
import { copyPieces, storedAt } from "../storage/stored-files.ts";
import { readText } from "../storage/stored-output.ts";
import { isStored, storeOf } from "../storage/stores.ts";
import { manyAtOnce } from "../storage/upload-output.ts";
import type { KeptMap, OutputPart } from "../task/task-spec.ts";

/*
 * What an incremental run leaves in its output for the next one, docs/formats.md#_state. FROZEN within a
 * version.
 *   OUT/_state/state.json        two lines: {"sheafState", "bytes", "sha256"} of the second, which is a State
 *   OUT/_state/map-00000.run ... run files of map tasks, as they were written
 * Bad records and files of map-only collections lie in the output itself.
 */
const STATE_VERSION = 1;
export const STATE_DIRECTORY = "_state";
/** Name of the state's file below an output. */
export const stateFileName = join(STATE_DIRECTORY, "state.json");

/** What results of maps depend on besides the input: when any of it differs, all has to be mapped. */
export interface JobPrint {
  /** Content hash of the bundle. */
  readonly code: string;
  readonly sheaf: string;
  readonly node: string;
  readonly partBytes: number;
  /** Hashes, by name. */
  readonly params: Readonly<Record<string, string>>;
  /** SHA-256 of side data and of files of programs, by filesPrint's names (engine/aux-files.ts). */
  readonly aux: Readonly<Record<string, string>>;
  /**
   * Of each collection, mergePrint: by it what maps of other code have made may be taken over, where that was
   * asked for. Left out by earlier versions.
   */
  readonly merges?: readonly (string | null)[];
}

export interface StateFile {
  /** Index of the job's input. */
  readonly input: number;
  readonly name: string;
  readonly bytes: number;
  /** See content-digest.ts. */
  readonly digest: string;
}

export interface StatePiece {
  /** Index into State.files. */
  readonly file: number;
  readonly start: number;
  readonly end: number;
  readonly recordStart?: number;
}

/** What one map task has read, and what of it is kept. */
export interface StateUnit {
  readonly pieces: readonly StatePiece[];
  /** Paths are names below the output directory. */
  readonly map: Omit<KeptMap, "partitions" | "bounds"> | null;
  /** Why nothing is kept; null when it is. */
  readonly why: string | null;
}

export interface State {
  readonly job: JobPrint;
  /** Of content digests, hex. */
  readonly key: string;
  readonly partitions: KeptMap["partitions"];
  readonly bounds: KeptMap["bounds"];
  readonly files: readonly StateFile[];
  readonly units: readonly StateUnit[];
}

/** A state, or why there is none that can be used. */
export type FoundState =
  | { readonly kind: "state"; readonly state: State }
  | { readonly kind: "none"; readonly why: string };

/**
 * Reads the state in an output, at a path or an address; whatever is wrong with it, it is not believed.
 * @returns `mark` tells what the output keeps from what it kept before; "" where it keeps nothing
 */
export async function readState(output: string): Promise<FoundState & { readonly mark: string }> {
  let text: string | null;
  try {
    text = await textIn(output);
  } catch (error) {
    const why = `what is kept of an earlier run cannot be read (${errnoOf(error) ?? describeThrown(error)})`;
    return { ...none(why), mark: "" };
  }
  const found = text === null ? none("nothing is kept of an earlier run") : parseState(text);
  return { ...found, mark: markOf(text) };
}

function markOf(text: string | null): string {
  return text === null ? "" : text.slice(0, Math.max(0, text.indexOf("\n")));
}

/** null: there is none. */
async function textIn(output: string): Promise<string | null> {
  if (isStored(output)) return readText(await storeOf(output), output + stateFileName);
  try {
    return await readFile(join(output, stateFileName), "utf8");
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return null;
    throw error;
  }
}

/**
 * To be called before an output is replaced: of two runs that began with the same one, the later would undo
 * what the earlier has done.
 * @param mark as readState when the run began
 * @throws SheafError OUTPUT_EXISTS when another run has replaced it since
 */
export async function checkMark(output: string, mark: string): Promise<void> {
  if (markOf(await textIn(output).catch(() => null)) === mark) return;
  throw new SheafError("OUTPUT_EXISTS", `another run has made ${output} anew while this one worked`, {
    hint: "It is as that run has left it. Run this again: it goes on from there.",
    details: { path: output },
  });
}

export function parseState(text: string): FoundState {
  const found = unsealed(text);
  if (found.kind === "none") return found;
  const { value } = found;
  return isState(value)
    ? { kind: "state", state: value }
    : none("what is kept of an earlier run is no state");
}

/** What a sealed text says, or why it is not believed. */
type Unsealed = { readonly kind: "value"; readonly value: unknown } | Extract<FoundState, { kind: "none" }>;

/** Reads what `sealed` has made; whatever is wrong with it, it is not believed. */
export function unsealed(text: string): Unsealed {
  const end = text.indexOf("\n");
  const body = text.slice(end + 1);
  try {
    const head = JSON.parse(text.slice(0, Math.max(0, end))) as Record<string, unknown>;
    const version = head["sheafState"];
    if (version !== STATE_VERSION)
      return none(`what is kept has version ${String(version)}, this sheaf reads version ${STATE_VERSION}`);
    if (head["bytes"] !== Buffer.byteLength(body) || head["sha256"] !== sha256(body))
      return none("what is kept of an earlier run is damaged: its checksum is another one");
    return { kind: "value", value: JSON.parse(body) };
  } catch {
    return none("what is kept of an earlier run is damaged: it is no state");
  }
}

type Is = (value: unknown) => boolean;

const text: Is = (value) => typeof value === "string";
const number: Is = (value) => Number.isFinite(value);
const whole: Is = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const orNull =
  (is: Is): Is =>
  (value) =>
    value === null || is(value);
const orNothing =
  (is: Is): Is =>
  (value) =>
    value === undefined || is(value);
const listOf =
  (is: Is): Is =>
  (value) =>
    Array.isArray(value) && value.every(is);
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const valuesOf =
  (is: Is): Is =>
  (value) =>
    isObject(value) && Object.values(value).every(is);
function fields(shape: Readonly<Record<string, Is>>): Is {
  const checks = Object.entries(shape);
  return (value) => isObject(value) && checks.every(([name, is]) => is(value[name]));
}

/** Files that are taken over lie in the output, */
const pathBelow: Is = (value) =>
  typeof value === "string" && !isAbsolute(value) && !value.split(sep).includes("..");
/** and get names that end so. */
const extension: Is = (value) => typeof value === "string" && !value.includes(sep);

const isMap = fields({
  run: orNull(
    fields({
      path: text,
      owner: fields({ jobId: text, task: whole, attempt: whole }),
      bytes: whole,
      fingerprint: text,
    }),
  ),
  bad: orNull(fields({ path: text, bytes: whole, crc32c: whole })),
  parts: listOf(
    fields({
      kind: (value) => value === "output",
      collection: whole,
      partition: whole,
      roll: whole,
      path: pathBelow,
      name: orNothing((value) => outputNameProblem(value) === undefined),
      extension,
      bytes: whole,
      records: whole,
      crc32c: whole,
      headerBytes: orNothing(whole),
      layout: orNothing(text),
    }),
  ),
  counters: valuesOf(number),
  stats: fields({
    recordsIn: number,
    bytesIn: number,
    emitted: number,
    shuffleBytes: number,
    badRecords: number,
  }),
  partitionBytes: listOf(listOf(number)),
  pairs: listOf(number),
  hotKeys: listOf(fields({ collection: whole, key: text, values: number })),
  emptyFiles: orNull(fields({ files: whole, names: listOf(text) })),
  namesMatter: (value) => typeof value === "boolean",
});

const isKey = new RegExp(`^[0-9a-f]{${2 * DIGEST_KEY_BYTES}}$`);

const hasShape = fields({
  job: fields({
    code: text,
    sheaf: text,
    node: text,
    partBytes: number,
    params: valuesOf(text),
    aux: valuesOf(text),
  }),
  key: (value) => typeof value === "string" && isKey.test(value),
  partitions: listOf(whole),
  bounds: listOf(orNull(listOf(text))),
  files: listOf(fields({ input: whole, name: text, bytes: whole, digest: text })),
  units: listOf(
    fields({
      pieces: listOf(fields({ file: whole, start: whole, end: whole, recordStart: orNothing(whole) })),
      map: orNull(isMap),
      why: orNull(text),
    }),
  ),
});

/** Whoever can write to an output can write a checksum, too. */
function isState(value: unknown): value is State {
  if (!hasShape(value)) return false;
  const { files, units, partitions, bounds } = value as State;
  if (bounds.length !== partitions.length) return false;
  return units.every(
    ({ pieces, map }) =>
      pieces.every(
        ({ file, start, end }) => file < files.length && start <= end && end <= files[file]!.bytes,
      ) &&
      [...(map?.parts ?? []), ...(map?.hotKeys ?? [])].every(
        ({ collection }) => collection < partitions.length,
      ),
  );
}

/** The file's text. */
export function stateText(state: State): string {
  return sealed(state);
}

/** Plain data with its size and checksum, as two lines. */
export function sealed(value: object): string {
  const body = `${JSON.stringify(value)}\n`;
  const head = { sheafState: STATE_VERSION, bytes: Buffer.byteLength(body), sha256: sha256(body) };
  return `${JSON.stringify(head)}\n${body}`;
}

/** Name of the run file of a unit below an output. */
export function runFileName(unit: number): string {
  return join(STATE_DIRECTORY, `map-${String(unit).padStart(5, "0")}.run`);
}

/** What is kept of a unit, as a map task takes it over from the directory where it lies. */
export function keptMapIn(output: string, state: State, unit: number): KeptMap | undefined {
  const { map } = state.units[unit]!;
  if (map === null) return undefined;
  const { partitions, bounds } = state;
  const at = <T extends { readonly path: string }>(file: T): T => ({
    ...file,
    path: join(output, file.path),
  });
  const { run, bad, parts } = placedIn(map);
  return {
    ...map,
    partitions,
    bounds,
    run: run === null ? null : at(run),
    bad: bad === null ? null : at(bad),
    parts: parts.map((part): OutputPart => at(part)),
  };
}

/** Run files and bad records lie nowhere but there, whatever the state says. */
function placedIn({ run, bad, parts }: NonNullable<StateUnit["map"]>) {
  const inside = <T extends { readonly path: string }>(file: T, directory: string): T => ({
    ...file,
    path: join(directory, basename(file.path)),
  });
  return {
    run: run === null ? null : inside(run, STATE_DIRECTORY),
    bad: bad === null ? null : inside(bad, "_bad"),
    parts,
  };
}

/**
 * Copies what is kept of units out of an output in a storage, for keptMapIn. What is not there any more, or
 * not what it was, is left out, or cut off: then the map finds that out and runs.
 * @param output ends in "/"
 * @throws SheafError as the Store, DISK_FULL
 */
export async function fetchUnits(
  output: string,
  state: State,
  units: readonly number[],
  directory: string,
  step: StoreStep,
): Promise<void> {
  const names = units.flatMap((unit) => {
    const { map } = state.units[unit]!;
    if (map === null) return [];
    const { run, bad, parts } = placedIn(map);
    return [run, bad, ...parts].flatMap((file) => (file === null ? [] : [file.path]));
  });
  await manyAtOnce([...new Set(names)], step, async (name) => {
    const path = join(directory, name);
    try {
      const file = await storedAt(output + name);
      if (file === null) return;
      await mkdir(dirname(path), { recursive: true });
      await copyPieces(file, path, step);
    } catch (error) {
      if (!isSheafError(error) || !GONE.has(error.code)) throw error;
    }
  });
}

/** Somebody has replaced the output meanwhile, or is about to. */
const GONE: ReadonlySet<string> = new Set(["INPUT_CHANGED", "INPUT_MISSING", "INPUT_UNREADABLE"]);

function none(why: string): Extract<FoundState, { kind: "none" }> {
  return { kind: "none", why };
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
