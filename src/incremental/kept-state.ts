import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { errnoOf } from "../storage/fs-error.ts";
import type { KeptMap, OutputPart } from "../task/task-spec.ts";

/*
 * What an incremental run leaves in its output for the next one, docs/formats.md#_state. FROZEN within a
 * version.
 *   OUT/_state/state.json        two lines: {"sheafState", "bytes", "sha256"} of the second, which is a State
 *   OUT/_state/map-00000.run ... run files of map tasks, as they were written
 * Bad records and files of map-only collections lie in the output itself.
 */
export const STATE_VERSION = 1;
export const STATE_DIRECTORY = "_state";
const STATE_FILE = "state.json";

/** What results of maps depend on besides the input: when any of it differs, all has to be mapped. */
export interface JobPrint {
  /** Content hash of the bundle. */
  readonly code: string;
  readonly sheaf: string;
  readonly node: string;
  readonly partBytes: number;
  /** Hashes, by name. */
  readonly params: Readonly<Record<string, string>>;
  /** SHA-256 of side data, by the path the job names it with. */
  readonly aux: Readonly<Record<string, string>>;
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

/** Reads the state in an output directory; whatever is wrong with it, it is not believed. */
export async function readState(output: string): Promise<FoundState> {
  let text: string;
  try {
    text = await readFile(join(output, STATE_DIRECTORY, STATE_FILE), "utf8");
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return none("nothing is kept of an earlier run");
    return none(`what is kept of an earlier run cannot be read (${errno ?? String(error)})`);
  }
  return parseState(text);
}

export function parseState(text: string): FoundState {
  const end = text.indexOf("\n");
  const body = text.slice(end + 1);
  try {
    const head = JSON.parse(text.slice(0, Math.max(0, end))) as Record<string, unknown>;
    const version = head["sheafState"];
    if (version !== STATE_VERSION)
      return none(`what is kept has version ${String(version)}, this sheaf reads version ${STATE_VERSION}`);
    if (head["bytes"] !== Buffer.byteLength(body) || head["sha256"] !== sha256(body))
      return none("what is kept of an earlier run is damaged: its checksum is another one");
    return { kind: "state", state: JSON.parse(body) as State };
  } catch {
    return none("what is kept of an earlier run is damaged: it is no state");
  }
}

/** The file's text. */
export function stateText(state: State): string {
  const body = `${JSON.stringify(state)}\n`;
  const head = { sheafState: STATE_VERSION, bytes: Buffer.byteLength(body), sha256: sha256(body) };
  return `${JSON.stringify(head)}\n${body}`;
}

/** Name of the state's file below an output. */
export const stateFileName = join(STATE_DIRECTORY, STATE_FILE);

/** Name of the run file of a unit below an output. */
export function runFileName(unit: number): string {
  return join(STATE_DIRECTORY, `map-${String(unit).padStart(5, "0")}.run`);
}

/** What is kept of a unit, as a map task takes it over from the output directory where it lies. */
export function keptMapIn(output: string, state: State, unit: number): KeptMap | undefined {
  const { map } = state.units[unit]!;
  if (map === null) return undefined;
  const { partitions, bounds } = state;
  const inState = <T extends { readonly path: string }>(file: T, directory: string): T => ({
    ...file,
    path: join(output, directory, basename(file.path)),
  });
  return {
    ...map,
    partitions,
    bounds,
    run: map.run === null ? null : inState(map.run, STATE_DIRECTORY),
    bad: map.bad === null ? null : inState(map.bad, "_bad"),
    parts: map.parts.map((part): OutputPart => ({ ...part, path: join(output, part.path) })),
  };
}

function none(why: string): FoundState {
  return { kind: "none", why };
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
