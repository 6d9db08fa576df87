import { createHash } from "node:crypto";
import { lstat, mkdir, open, rename, stat, truncate } from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import { crc32c, crcText } from "../base/crc32.ts";
import { SheafError } from "../base/errors.ts";
import type { CommittedPart } from "../engine/events.ts";
import { resultOf } from "../engine/result.ts";
import type { RunResult } from "../engine/run-result.ts";
import { agentPlace, type TransferSpec } from "../steps/script.ts";
import { commitDirectory, createTempOutput, syncPath } from "../storage/atomic-output.ts";
import { crc32cOfFile, inodeOf } from "../storage/content-check.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { inputIn, patternBase } from "../storage/glob.ts";
import { type InputFile, listInput } from "../storage/list-input.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import { isStored } from "../storage/stores.ts";
import { emptyStats } from "../task/task-spec.ts";
import {
  FailedOnNodes,
  fetchFromAgents,
  listOnAgents,
  type RunOnNodes,
  sendToAgents,
} from "./agent-transfer.ts";
import { manifestText, resultOfThrown, writeManifest } from "./step-output.ts";
import { downloadFile, placeBelow, type StoredCopy, uploadCopies } from "./stored-transfer.ts";

export interface TransferRun {
  readonly name: string;
  readonly spec: TransferSpec;
  /** The pipeline's: paths lie beside it. */
  readonly file: string;
  readonly directory: string;
  /** What a step has written; null: the path of `spec`. */
  readonly source: string | null;
  readonly signal: AbortSignal | undefined;
  /** null: there is no cluster. */
  readonly onNodes: RunOnNodes | null;
  progress(files: number, filesDone: number, bytes: number, bytesDone: number): void;
}

/** Files copied at one time. */
const copiesAtOnce = 4;
const chunkBytes = 1 << 20;

/** Copies the files, and notes what is there then. */
export async function runTransfer(transfer: TransferRun): Promise<RunResult> {
  const { name, directory, signal } = transfer;
  const startedMs = performance.now();
  const stats = { ...emptyStats };
  const known = { jobId: "", name, stats };
  try {
    const parts = await transferred(transfer);
    const total = parts.reduce((sum, { bytes }) => sum + bytes, 0);
    stats.bytesIn = total;
    stats.bytesOut = total;
    stats.elapsedMs = performance.now() - startedMs;
    await mkdir(directory, { recursive: true });
    const temp = await createTempOutput(join(directory, "files"));
    await writeManifest(temp, { name, counters: {}, badRecords: 0 }, parts);
    await commitDirectory(temp, join(directory, "files"));
    return resultOf({ ...known, status: "SUCCEEDED", parts });
  } catch (error) {
    if (error instanceof FailedOnNodes) return error.result;
    stats.elapsedMs = performance.now() - startedMs;
    return resultOfThrown(error, known, {
      signal,
      code: "OUTPUT_UNWRITABLE",
      hint: "When that is mended: sheaf resume @.",
    });
  }
}

/** What is there, and still to come. */
class Tally {
  readonly #progress: TransferRun["progress"];
  #files = 0;
  #bytes = 0;
  #filesDone = 0;
  #bytesDone = 0;

  constructor(progress: TransferRun["progress"]) {
    this.#progress = progress;
  }

  /** More is to be copied. */
  expect(copies: readonly { readonly bytes: number }[]): void {
    this.#files += copies.length;
    this.#bytes += copies.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  readonly count = (bytes: number, files: number): void => {
    this.#bytesDone += bytes;
    this.#filesDone += files;
    this.#progress(this.#files, this.#filesDone, this.#bytes, this.#bytesDone);
  };
}

async function transferred(transfer: TransferRun): Promise<CommittedPart[]> {
  const { spec, file, directory, signal } = transfer;
  const from = transfer.source ?? spec.from!;
  const tally = new Tally(transfer.progress);
  const [isFromAgents, isToAgents] = [agentPlace(from) !== null, agentPlace(spec.to) !== null];
  const copying = { run: transfer.onNodes ?? noCluster, signal, count: tally.count };
  const to = isStored(spec.to) ? `${spec.to.replace(/\/+$/, "")}/` : resolve(dirname(file), spec.to);
  // What is between two places that do not know each other; whoever goes on finds it there.
  const between = join(dirname(directory), "between");
  const first = isToAgents || (isFromAgents && isStored(to)) ? between : to;
  let copies: StoredCopy[];
  let parts: CommittedPart[] | null = null;
  if (isFromAgents) {
    const listed = await listOnAgents(from, first, copying);
    checkApart(listed.map(({ path, agent, target }) => ({ source: `agent:${agent}:${path}`, target })));
    tally.expect(listed);
    const sums = await fetchFromAgents(listed, copying);
    copies = listed.map(({ target, bytes, mtimeMs }) => {
      const below = relative(first, target);
      return { source: target, target: isStored(to) ? to + below : target, bytes, mtimeMs, below };
    });
    if (first === to)
      parts = copies.map(({ target, bytes }, index) => partOf(target, bytes, index, sums[index]!));
  } else {
    const isIndirect = isToAgents && isStored(from);
    copies = await copiesOf(from, dirname(file), isToAgents ? between : to);
    tally.expect(copies);
    if (!isStored(to) && (!isToAgents || isIndirect)) parts = await copyHere(copies, tally, signal);
    if (isIndirect) copies = copies.map((copy) => ({ ...copy, source: copy.target }));
  }
  if (isToAgents) {
    if (isFromAgents || parts !== null) tally.expect(copies);
    parts = await sendToAgents(copies, spec.to, copying);
  } else if (isStored(to)) {
    if (isFromAgents) tally.expect(copies);
    const uploaded = await uploadCopies(copies, {
      to,
      job: createHash("sha256").update(directory).digest("hex").slice(0, 32),
      temp: join(directory, "copies"),
      manifest: (all) => manifestText({ name: transfer.name, counters: {}, badRecords: 0 }, all),
      count: (bytes) => tally.count(bytes, 1),
      signal,
    });
    parts = uploaded.map((part) => ({ ...part, file: to + part.file }));
  }
  if (first === between) await removeDirectory(between);
  return parts!;
}

function noCluster(): Promise<never> {
  throw new SheafError("USAGE", "agent: names places on the agents of a cluster, and there is none", {
    hint: "Say which: --on URL. For files of this machine leave agent: out.",
  });
}

function partOf(file: string, bytes: number, partition: number, crc32c: string): CommittedPart {
  return { file, collection: "", partition, bytes, records: 0, crc32c };
}

/** Several at a time. @returns what is there, in order */
async function copyHere(
  copies: readonly StoredCopy[],
  tally: Tally,
  signal: AbortSignal | undefined,
): Promise<CommittedPart[]> {
  const parts: CommittedPart[] = [];
  const next = copies.entries();
  const count = (bytes: number): void => tally.count(bytes, 0);
  const work = async (): Promise<void> => {
    for (const [index, copy] of next) {
      const stored = copy.version !== undefined;
      const crc = await (stored ? downloadFile(copy, count, signal) : copyFile(copy, count, signal));
      parts[index] = partOf(copy.target, copy.bytes, index, crc);
      tally.count(0, 1);
    }
  };
  const all = await Promise.allSettled(Array.from({ length: copiesAtOnce }, work));
  for (const one of all) if (one.status === "rejected") throw one.reason;
  return parts;
}

/**
 * Every file with its place below `to`: as below the directory, or the fixed part of the pattern, given.
 * @param directory what `from` is relative to
 */
async function copiesOf(from: string, directory: string, to: string): Promise<StoredCopy[]> {
  const files = await listInput([inputIn(directory, from)]);
  const literal = resolve(directory, from);
  const status = await stat(literal).catch(() => null);
  const base =
    status === null ? resolve(directory, patternBase(from)) : status.isFile() ? dirname(literal) : literal;
  const isLocal = !isStored(from) && !isStored(to);
  const copies = files.map((file) => (isLocal ? localCopy(file, base, to) : storedCopy(file, to)));
  checkApart(copies);
  for (const { source, target } of copies) {
    if (!isLocal || resolve(target) !== resolve(source)) continue;
    throw new SheafError("OUTPUT_UNWRITABLE", `${source} would be copied onto itself`, {
      hint: "Give another directory as `to`.",
    });
  }
  return copies;
}

/** @throws SheafError OUTPUT_UNWRITABLE for two files that would be one where names differ in case only */
function checkApart(copies: readonly Pick<StoredCopy, "source" | "target">[]): void {
  const taken = new Map<string, string>();
  for (const { source, target } of copies) {
    const other = taken.get(target.toLowerCase());
    if (other !== undefined) {
      throw new SheafError("OUTPUT_UNWRITABLE", `${other} and ${source} would both be ${target}`, {
        hint: "Transfer them to directories of their own.",
      });
    }
    taken.set(target.toLowerCase(), source);
  }
}

function localCopy({ path, bytes, mtimeMs }: InputFile, base: string, to: string): StoredCopy {
  const below = relative(base, path);
  const target = join(to, below.startsWith("..") ? basename(path) : below);
  return { source: path, target, bytes, mtimeMs, below };
}

function storedCopy(file: InputFile, to: string): StoredCopy {
  const { path, bytes, mtimeMs, version, exact, place = path } = file;
  const below = placeBelow(place, path);
  const target = isStored(to) ? to + below : join(to, below);
  const told = { ...(version !== undefined && { version }), ...(exact !== undefined && { exact }) };
  return { source: path, target, bytes, mtimeMs, below, ...told };
}

/**
 * Makes `target` a copy of `source`, by one rename. What an earlier try has copied is used when it is what
 * the source begins with.
 * @returns the checksum, which target and source have
 */
async function copyFile(
  { source, target, bytes }: StoredCopy,
  count: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<string> {
  const before = inodeOf(source);
  const there = await lstat(target).catch(() => null);
  if (there !== null && !there.isFile()) {
    throw new SheafError("OUTPUT_UNWRITABLE", `${target} is there, and is no file`, {
      hint: "Remove it, or transfer to another directory.",
    });
  }
  const isSame = there?.size === bytes ? await sameBeginning(target, source, bytes) : null;
  if (isSame?.bytes === bytes && inodeOf(source) === before) {
    count(bytes);
    return crcText(isSame.crc32c);
  }
  const part = join(dirname(target), `.${basename(target)}.sheaf-part`);
  let crc: number;
  try {
    await mkdir(dirname(target), { recursive: true });
    const begun = await sameBeginning(part, source, bytes);
    count(begun.bytes);
    crc = await appendRest(part, { source, bytes, begun, count, signal });
    await syncPath(part);
  } catch (error) {
    if (signal?.aborted === true) throw error;
    throw asSheafError(error, { path: target, doing: "write" });
  }
  const copied = await crc32cOfFile(part);
  if (inodeOf(source) !== before || copied.bytes !== bytes || copied.crc32c !== crc) {
    throw new SheafError("INPUT_CHANGED", `${source} changed while it was copied`, {
      hint: "Go on when nobody writes to it: sheaf resume @.",
    });
  }
  await rename(part, target);
  await syncPath(dirname(target)).catch(() => undefined);
  return crcText(crc);
}

/** @returns the checksum of all that is read of the source, what the part begins with among it */
async function appendRest(part: string, { source, bytes, begun, count, signal }: Rest): Promise<number> {
  let { bytes: done, crc32c: crc } = begun;
  await truncate(part, done).catch(() => undefined);
  const [input, output] = [await open(source, "r"), await open(part, done === 0 ? "w" : "r+")];
  try {
    const buffer = Buffer.allocUnsafe(chunkBytes);
    while (done < bytes) {
      signal?.throwIfAborted();
      const { bytesRead } = await input.read(buffer, 0, Math.min(chunkBytes, bytes - done), done);
      if (bytesRead === 0) break;
      crc = crc32c(buffer.subarray(0, bytesRead), crc);
      await output.write(buffer, 0, bytesRead, done);
      done += bytesRead;
      count(bytesRead);
    }
  } finally {
    await input.close();
    await output.close();
  }
  return crc;
}

interface Rest {
  readonly source: string;
  /** Of the source. */
  readonly bytes: number;
  readonly begun: Awaited<ReturnType<typeof sameBeginning>>;
  readonly count: (bytes: number) => void;
  readonly signal: AbortSignal | undefined;
}

/** How many bytes of the copy are those that the source begins with; 0 when it is something else. */
async function sameBeginning(
  copy: string,
  source: string,
  bytes: number,
): Promise<{ readonly bytes: number; readonly crc32c: number }> {
  const none = { bytes: 0, crc32c: 0 };
  const there = await lstat(copy).catch(() => null);
  if (there === null || !there.isFile() || there.size > bytes) return none;
  const [own, wanted] = [await crc32cOfFile(copy), await crc32cOfFile(source, there.size)];
  return own.bytes === wanted.bytes && own.crc32c === wanted.crc32c ? own : none;
}
