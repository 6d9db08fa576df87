import { createHash } from "node:crypto";
import { accessSync, constants, createReadStream, existsSync, realpathSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { SheafError, describeThrown, isSheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { sha256OfFile } from "../storage/content-check.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { type InputFile, listInput, refuseAddress } from "../storage/list-input.ts";
import { piecesOf } from "../storage/stored-files.ts";
import { isStored, storeOf } from "../storage/stores.ts";
import { type AuxCopies, type AuxCopy, type AuxSourcePath, tooLarge } from "../task/aux.ts";

/** A file of side data as it was found. */
interface FoundFile {
  /** The entry of `aux`. */
  readonly entry: string;
  /** As in AuxCopy. */
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
  /** Given: it lies in a store, `path` being its address. */
  readonly stored?: InputFile;
}

/**
 * The files of a job's side data by the paths and patterns that its code has, which are relative to the job
 * file; for a Job object that no file is known of, to the current directory.
 * @throws SheafError INPUT_MISSING, INPUT_UNREADABLE naming the entry; USAGE for an address that no store
 * knows; as a Store's
 */
export async function findAux(
  aux: readonly AuxSourcePath[],
  jobFile: string | null,
): Promise<Map<string, readonly FoundFile[]>> {
  const base = jobFile === null ? process.cwd() : dirname(realpathSync(jobFile));
  const found = new Map<string, readonly FoundFile[]>();
  for (const { name, file, many } of aux) {
    const known = found.get(file);
    if (isStored(file)) found.set(file, await storedFiles(name, file, many === true));
    else if (many !== true) found.set(file, [oneFile(name, file, base)]);
    else if (known === undefined) found.set(file, await severalFiles(name, file, base));
  }
  return found;
}

function oneFile(entry: string, file: string, base: string): FoundFile {
  const path = file.startsWith("file://") ? fileURLToPath(file) : resolve(base, file);
  try {
    if (!file.startsWith("file://")) refuseAddress(file);
    const found = statSync(path);
    if (!found.isFile()) throw new Error(found.isDirectory() ? "it is a directory" : "it is no file");
    accessSync(path, constants.R_OK);
    return { entry, name: file, path, bytes: found.size };
  } catch (cause) {
    if (isSheafError(cause)) throw notFound(entry, file, base, cause);
    throw new SheafError("INPUT_MISSING", `aux.${entry}: cannot read ${path}: ${describeThrown(cause)}`, {
      hint: placeHint(file, path, base),
      details: { path },
      cause,
    });
  }
}

async function severalFiles(entry: string, file: string, base: string): Promise<FoundFile[]> {
  try {
    const listed = await listInput([file.startsWith("file://") ? fileURLToPath(file) : file], { cwd: base });
    for (const { path } of listed) accessSync(path, constants.R_OK);
    return listed.map(({ name, path, bytes }) => ({ entry, name, path, bytes }));
  } catch (cause) {
    throw notFound(entry, file, base, cause);
  }
}

async function storedFiles(entry: string, address: string, many: boolean): Promise<FoundFile[]> {
  try {
    if (!many && (await (await storeOf(address)).stat(address)) === "directory") {
      const hint = `Of several files say so: { files: "${address}" }.`;
      throw new SheafError("INPUT_MISSING", `cannot read ${address}: it is a directory`, { hint });
    }
    const listed = await listInput([address], { streams: true });
    return listed.map((stored) => {
      const { name, path, bytes } = stored;
      return { entry, name: many ? name : address, path, bytes, stored };
    });
  } catch (cause) {
    const { code, message, hint, retryable } = asSheafError(cause, { path: address, doing: "list" });
    throw new SheafError(code, `aux.${entry}: ${message}`, {
      hint: hint ?? "Look whether the storage answers, and run the job again.",
      retryable,
      cause,
      details: { path: address },
    });
  }
}

function notFound(entry: string, file: string, base: string, cause: unknown): SheafError {
  const code = isSheafError(cause) ? cause.code : "INPUT_MISSING";
  return new SheafError(code, `aux.${entry}: ${describeThrown(cause)}`, {
    hint:
      code === "USAGE"
        ? "Fetch it to a file beside the job file first, and give its path."
        : placeHint(file, resolve(base, file), base),
    details: { path: file },
    cause,
  });
}

function placeHint(file: string, path: string, base: string): string {
  const isRelative = !isAbsolute(file) && !file.startsWith("file://");
  const here = resolve(file);
  const near = isRelative && here !== path && existsSync(here) ? `There is ${here}, but side` : "Side";
  return `${near} data files are found relative to the job file (in ${base}), or by an absolute path.`;
}

export interface AuxPlace {
  readonly bytesMax: number;
  readonly share: boolean;
  readonly directory: () => Promise<string>;
}

/** What a run knows of its side data before it begins. */
export interface PlannedAux {
  readonly copies: AuxCopies;
  /** Content that workers share, by SHA-256. */
  readonly shared: Readonly<Record<string, SharedArrayBuffer>>;
}

/**
 * Finds the files of a job's side data and reads each once: a run works with what they hold now. Those of
 * stores are fetched.
 * @param bytesMax of all files together
 * @param share whether workers are threads of this process: what is wanted as bytes is kept for all of them
 * @param directory where what is fetched may be put; asked for when there is something
 * @throws SheafError as findAux; LIMIT_EXCEEDED naming the limit and its flag
 */
export async function planAux(
  aux: readonly AuxSourcePath[],
  jobFile: string | null,
  { bytesMax, share, directory }: AuxPlace,
): Promise<PlannedAux> {
  if (aux.length === 0) return { copies: {}, shared: {} };
  const found = await findAux(aux, jobFile);
  const all = [...found.values()].flat();
  checkSize(all, bytesMax);
  const fetched = await fetchAll(all, bytesMax, directory);
  const asBytes = new Set(aux.filter(({ bytes }) => share && bytes === true).map(({ file }) => file));
  const shared: Record<string, SharedArrayBuffer> = {};
  const known = new Map<
    string,
    { readonly sha256: string; readonly bytes: number; readonly place: number }
  >();
  const copies: [string, readonly AuxCopy[]][] = [];
  for (const [source, files] of found) {
    const these: AuxCopy[] = [];
    for (const { entry, name, path: original } of files) {
      const copy = fetched.get(original);
      const path = copy ?? original;
      const content = known.get(path) ?? { ...(await contentOf(entry, path)), place: known.size };
      known.set(path, content);
      if (asBytes.has(source)) shared[content.sha256] ??= await sharedContent(entry, path, content);
      these.push({ name, path, ...content, ...(copy !== undefined && { fetched: true as const }) });
    }
    copies.push([source, these]);
  }
  return { copies: Object.fromEntries(copies), shared };
}

function checkSize(files: readonly FoundFile[], bytesMax: number): void {
  const each = new Map(files.map((file) => [file.path, file]));
  let bytes = 0;
  for (const file of each.values()) {
    bytes += file.bytes;
    if (bytes > bytesMax) throw tooLarge(file.entry, bytesMax, "files");
  }
  if (each.size <= limits.auxFilesMax) return;
  throw new SheafError(
    "LIMIT_EXCEEDED",
    `aux: there are ${each.size} files, more than ${limits.auxFilesMax}`,
    {
      hint: "Name fewer, put their content into one file, or read them as an input of the job.",
    },
  );
}

/** Copies of the files that lie in stores, by address. */
async function fetchAll(
  files: readonly FoundFile[],
  bytesMax: number,
  directory: AuxPlace["directory"],
): Promise<Map<string, string>> {
  const copies = new Map<string, string>();
  let left = bytesMax;
  for (const { entry, path, stored } of files) {
    if (stored === undefined || copies.has(path)) continue;
    const copy = join(await directory(), `aux-${copies.size}`);
    try {
      left -= await fetchStored(stored, copy, left);
    } catch (cause) {
      const { code, message, hint, retryable } = asSheafError(cause, { path: copy, doing: "write" });
      const known = hint ?? "Look whether the storage answers, and run the job again.";
      throw new SheafError(code, `aux.${entry}: ${message}`, { hint: known, retryable, cause });
    }
    if (left < 0) throw tooLarge(entry, bytesMax, "files");
    copies.set(path, copy);
  }
  return copies;
}

/** @returns its bytes; when they are more than `bytesMax`, not all have been copied */
async function fetchStored(file: InputFile, copy: string, bytesMax: number): Promise<number> {
  const to = await open(copy, "wx", 0o600);
  let bytes = 0;
  try {
    for await (const chunk of bytesOf(file)) {
      bytes += chunk.length;
      if (bytes > bytesMax) break;
      await to.writeFile(chunk);
    }
    return bytes;
  } finally {
    await to.close();
  }
}

async function* bytesOf(file: InputFile): AsyncGenerator<Uint8Array> {
  if (file.isStream === true) {
    const store = await storeOf(file.path);
    yield* store.copy!(file.path, undefined);
    return;
  }
  yield* piecesOf({ ...file, fileBytes: file.bytes });
}

async function contentOf(entry: string, path: string): Promise<{ sha256: string; bytes: number }> {
  try {
    return await sha256OfFile(path);
  } catch (cause) {
    throw unreadable(entry, path, cause);
  }
}

/** @throws SheafError INPUT_CHANGED when it is not what was read a moment ago */
async function sharedContent(
  entry: string,
  path: string,
  { bytes, sha256 }: { readonly bytes: number; readonly sha256: string },
): Promise<SharedArrayBuffer> {
  const content = new Uint8Array(new SharedArrayBuffer(bytes));
  const digest = createHash("sha256");
  let end = 0;
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      if (end + chunk.length <= bytes) content.set(chunk, end);
      end += chunk.length;
      digest.update(chunk);
    }
  } catch (cause) {
    throw unreadable(entry, path, cause);
  }
  if (end === bytes && digest.digest("hex") === sha256) return content.buffer;
  throw new SheafError("INPUT_CHANGED", `aux.${entry}: ${path} changes while it is read`, {
    hint: "Leave it as it is until the job is over.",
    details: { path },
  });
}

function unreadable(entry: string, path: string, cause: unknown): SheafError {
  return new SheafError("INPUT_MISSING", `aux.${entry}: cannot read ${path}: ${describeThrown(cause)}`, {
    cause,
    hint: "Make it readable, and leave it as it is until the job is over.",
    details: { path },
  });
}

/** Each file of side data, for filesPrint. */
export function auxContents(copies: AuxCopies): [source: string, name: string, sha256: string][] {
  return Object.entries(copies).flatMap(([source, some]) =>
    some.map(({ name, sha256 }): [string, string, string] => [source, name, sha256]),
  );
}

/**
 * What results depend on besides code, params and input, by names that no two of these share. Wherever a job
 * runs they are the same.
 * @param aux files of side data, by the path or pattern that the code has and what the job knows them as
 * @param files those that programs of the job find
 * @param programs those outside of the job that its programs are given, by path
 */
export function filesPrint(
  aux: readonly (readonly [source: string, name: string, sha256: string])[],
  files: readonly { readonly name: string; readonly sha256: string }[],
  programs: readonly (readonly [path: string, sha256: string])[],
): [name: string, sha256: string][] {
  const all = [
    ...aux.map(([source, name, hash]): [string, string] => [JSON.stringify(["aux", source, name]), hash]),
    ...files.map(({ name, sha256 }): [string, string] => [JSON.stringify(["file", name]), sha256]),
    ...programs.map(([path, hash]): [string, string] => [JSON.stringify(["program", path]), hash]),
  ];
  return all.sort(([a], [b]) => (a < b ? -1 : 1));
}

/** A file of side data as it is told to other machines: see the schema of submissions. */
export interface SentAux {
  readonly path: string;
  readonly file?: string;
  readonly blob: string;
  readonly bytes: number;
  readonly place?: number;
}

/** Files of side data that are fetched at once. */
const FETCHED_AT_ONCE = 16;

/**
 * Side data on a machine that was sent it.
 * @param sources the paths and patterns that the job's code has: no file may be there of one
 * @param fetch gives the path of the content with that SHA-256
 */
export async function auxCopies(
  sources: readonly string[],
  sent: readonly SentAux[],
  fetch: (sha256: string) => Promise<string>,
): Promise<AuxCopies> {
  const fetched = new Map<string, string>();
  const blobs = [...new Set(sent.map(({ blob }) => blob))];
  for (let at = 0; at < blobs.length; at += FETCHED_AT_ONCE) {
    const some = blobs.slice(at, at + FETCHED_AT_ONCE);
    await Promise.all(some.map(async (blob) => fetched.set(blob, await fetch(blob))));
  }
  const copies = new Map<string, AuxCopy[]>(sources.map((source) => [source, []]));
  for (const [index, { path, file = path, blob, bytes, place = index }] of sent.entries()) {
    const copy = { name: file, path: fetched.get(blob)!, place, bytes, sha256: blob };
    const known = copies.get(path);
    if (known === undefined) copies.set(path, [copy]);
    else known.push(copy);
  }
  return Object.fromEntries(copies);
}
