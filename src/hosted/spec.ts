import { readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { SheafError, describeThrown } from "../base/errors.ts";
import {
  type Check,
  anything,
  fields,
  finite,
  flag,
  list,
  oneOf,
  optional,
  orNull,
  plainObject,
  textUpTo,
  whole,
  WrongField,
} from "../base/field-checks.ts";
import { limits } from "../base/limits.ts";
import { process } from "../base/own-globals.ts";
import { fromWireValue } from "../base/wire-json.ts";
import type { TaskTable } from "../engine/plan-job.ts";
import type { AuxCopies } from "../task/aux.ts";
import type { Split } from "../task/split.ts";
import type { JobSettings } from "../task/task-spec.ts";
import { partitionsMax } from "./blocks.ts";

/* What a task program finds in its job's directory: what stage.ts has put there. */

/** Of all that the submitting sheaf and its task programs say to each other, blocks included. */
export const HOSTED_VERSION = 1;
export const specFile = "spec.json";
/** Copies of Hadoop's configuration files, in the job's directory, where there are some. */
export const hadoopConfDirectory = "hadoop-conf";

const pathCharsMax = 32_768;
const path = textUpTo(pathCharsMax);

const specFields = fields({
  version: whole,
  settings: plainObject,
  bundle: path,
  maps: whole,
  reduces: list(fields({ collection: whole, partition: whole }), partitionsMax),
  input: oneOf("record", "lines"),
  heapBytes: orNull(whole),
  noProgressMs: whole,
  noProgressSetting: textUpTo(200),
  machine: fields({ platform: textUpTo(100), arch: textUpTo(100), isGlibc: flag }),
  origin: fields({ built: path, bundle: path }),
});

/** As it is written. */
export interface WrittenSpec {
  readonly version: typeof HOSTED_VERSION;
  /** Paths of side data and files are relative to the job's directory. Wire JSON: params may be bigints. */
  readonly settings: JobSettings;
  /** The portable bundle, relative to the job's directory. */
  readonly bundle: string;
  readonly maps: number;
  /** Reduce tasks by index. None: maps write the output. */
  readonly reduces: TaskTable["reduce"];
  /** How a map's task comes: as the value itself, or as a line of NLineInputFormat. */
  readonly input: "record" | "lines";
  readonly heapBytes: number | null;
  readonly noProgressMs: number;
  /** What raises that, to be told. */
  readonly noProgressSetting: string;
  /** What the native packages that travel are made for. */
  readonly machine: { readonly platform: string; readonly arch: string; readonly isGlibc: boolean };
  /** URLs on the machine that submits of what stacks have frames of: the package, the loaded bundle. */
  readonly origin: { readonly built: string; readonly bundle: string };
}

/** As a task program has it: all paths are absolute, and those of its machine. */
export type HostedSpec = Omit<WrittenSpec, "version">;

/** The version of a spec is of the other sheaf, whatever else is in it. */
export function wrongVersion(version: unknown): SheafError {
  return new SheafError(
    "VERSION_MISMATCH",
    `the job was staged by another version of sheaf: its spec says ${JSON.stringify(version) ?? "nothing"}, ` +
      `this one reads ${HOSTED_VERSION}`,
    {
      hint:
        "The package on the nodes is not the one that submitted the job: submit it again, and clear the cache of " +
        "archives (.sheaf-cache in the engine's temporary directory) if that does not help.",
    },
  );
}

/**
 * Reads job/spec.json.
 * @throws SheafError VERSION_MISMATCH; MESSAGE_INVALID naming the field; INPUT_MISSING when it is not there
 */
export function readSpec(directory: string): HostedSpec {
  const path = join(directory, specFile);
  const written = parsed(readJob(path), path);
  const { version } = (written ?? {}) as { readonly version?: unknown };
  if (version !== HOSTED_VERSION) throw wrongVersion(version);
  checked(specFields, written, path);
  const spec = fromWireValue(written) as WrittenSpec;
  return { ...spec, settings: here(spec.settings, directory), bundle: resolve(directory, spec.bundle) };
}

function checked(check: Check, value: unknown, name: string): void {
  try {
    check(value, name);
  } catch (error) {
    throw error instanceof WrongField ? noSense(error.message) : error;
  }
}

function parsed(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw noSense(`${name}: ${describeThrown(error)}`);
  }
}

function noSense(problem: string): SheafError {
  return new SheafError("MESSAGE_INVALID", problem, {
    hint: "It was cut or changed on its way, or is of another version of sheaf: submit the job again.",
  });
}

/** A file of the job's directory. */
function readJob(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new SheafError("INPUT_MISSING", `cannot read ${path}: ${describeThrown(cause)}`, {
      hint: "The job's archive did not come whole to this machine, or was removed: submit the job again.",
      details: { path },
      cause,
    });
  }
}

/** The settings with paths of this machine. Times of files are those of the copies: content is checked. */
function here(settings: JobSettings, directory: string): JobSettings {
  const { auxFiles = {}, files = [] } = settings;
  const at = (path: string): string => resolve(directory, path);
  const aux = Object.entries(auxFiles).map(([source, copies]): [string, AuxCopies[string]] => [
    source,
    copies.map((copy) => ({ ...copy, path: at(copy.path) })),
  ]);
  return {
    ...settings,
    auxFiles: Object.fromEntries(aux),
    ...(files.length > 0 && { files: files.map((file) => movedFile(file, at(file.path))) }),
  };
}

function movedFile<F extends { readonly mtimeMs: number }>(file: F, path: string): F & { path: string } {
  const mtimeMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? file.mtimeMs;
  return { ...file, path, mtimeMs };
}

/** What native packages are made for, of the machine that this process runs on. */
export function ownMachine(): HostedSpec["machine"] & { readonly glibc: string | null } {
  // Of other systems, and of musl, there is nothing in it.
  const { header } = process.report.getReport() as {
    readonly header?: { readonly glibcVersionCompiler?: string };
  };
  const glibc = header?.glibcVersionCompiler ?? null;
  return { platform: process.platform, arch: process.arch, isGlibc: glibc !== null, glibc };
}

/** What a map task is told. Without a split it only says hello: the job has no map tasks. */
export type MapRecord =
  | { readonly index: number; readonly split: Split }
  | { readonly index: -1; readonly split: null };

/** Bytes of what a map task is told: the names of many small files may be in it. */
export const recordBytesMax = 8 * limits.submissionBytesMax;

const filePiece = fields({
  kind: anything,
  path,
  name: path,
  start: whole,
  end: whole,
  fileBytes: whole,
  mtimeMs: finite,
  version: optional(textUpTo(limits.storageVersionCharsMax)),
  exact: optional(flag),
  place: optional(whole),
  growing: optional(whole),
  compression: oneOf("none", "gzip", "zstd", "bzip2"),
  recordStart: optional(whole),
});
const madePiece = fields({ kind: oneOf("generate"), index: whole, tasks: whole, records: optional(whole) });
const splitFields = fields({
  index: whole,
  pieces: list((value, field) => {
    plainObject(value, field);
    ((value as { kind?: unknown }).kind === "file" ? filePiece : madePiece)(value, field);
  }),
  input: optional(whole),
  bytes: whole,
  hosts: optional(list(textUpTo(1_000))),
});
const recordFields: Check = (value, field) => {
  plainObject(value, field);
  const { index } = value as { readonly index?: unknown };
  (index === -1 ? fields({ index: anything }) : fields({ index: whole, split: splitFields }))(value, field);
};

/**
 * A line of the engine's list of tasks: hosts that have its input near, a tab, its record as JSON.
 * JSON has no tabs and no line breaks of its own.
 */
export function splitLine(record: MapRecord): string {
  const hosts = (record.split?.hosts ?? []).filter((host) => !/[\s,]/.test(host));
  const told = record.split === null ? { index: record.index } : record;
  return `${hosts.join(",")}\t${JSON.stringify(told)}\n`;
}

/** @throws SheafError MESSAGE_INVALID for what is no task of this job */
export function readMapRecord(value: Buffer, { input, maps }: Pick<HostedSpec, "input" | "maps">): MapRecord {
  const line = input === "record" ? value.toString("utf8") : lineOf(value).toString("utf8");
  const name = "the record that the engine gave to the map task";
  const record = parsed(line.slice(line.indexOf("\t") + 1), name);
  checked(recordFields, record, name);
  const { index, split } = record as { readonly index: number; readonly split?: Split };
  if (split === undefined) return { index: -1, split: null };
  if (index >= maps) throw noSense(`${name}: there are ${maps} map tasks, and no index ${index}`);
  if (split.index !== index) throw noSense(`${name}: its split is that of another task`);
  return { index, split };
}

/** The bytes of a Hadoop Text: their number as a Hadoop VInt before them. */
function lineOf(value: Buffer): Buffer {
  const first = value.length === 0 ? 0 : value.readInt8(0);
  // From -113 to -120 they are the number of bytes that follow, big-endian.
  const extra = first >= -112 ? 0 : -112 - first;
  let length = extra === 0 ? first : 0;
  for (let at = 1; at <= extra; at++) length = length * 256 + (value[at] ?? 0);
  if (value.length === 0 || extra > 6 || length < 0 || 1 + extra + length !== value.length)
    throw noSense("the line that the engine gave to the map task: its length is wrong");
  return value.subarray(1 + extra);
}
