import { createHash } from "node:crypto";
import { lstat, mkdir, open, rename, stat, truncate } from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import { crc32c, crcText } from "../base/crc32.ts";
import { SheafError } from "../base/errors.ts";
import type { CommittedPart } from "../engine/events.ts";
import type { RunResult } from "../engine/options.ts";
import { resultOf } from "../engine/result.ts";
import type { TransferSpec } from "../steps/script.ts";
import { commitDirectory, createTempOutput, syncPath } from "../storage/atomic-output.ts";
import { crc32cOfFile, inodeOf } from "../storage/content-check.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { inputIn, patternBase } from "../storage/glob.ts";
import { type InputFile, listInput } from "../storage/list-input.ts";
import { isStored } from "../storage/stores.ts";
import { emptyStats } from "../task/task-spec.ts";
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
  progress(files: number, filesDone: number, bytes: number, bytesDone: number): void;
}

/** Files copied at one time. */
const copiesAtOnce = 4;
const chunkBytes = 1 << 20;

/** Copies the files, and notes what is there then. */
export async function runTransfer(transfer: TransferRun): Promise<RunResult> {
  const { name, spec, file, directory, signal, progress } = transfer;
  const startedMs = performance.now();
  const stats = { ...emptyStats };
  const known = { jobId: "", name, stats };
  try {
    const to = isStored(spec.to) ? `${spec.to.replace(/\/+$/, "")}/` : resolve(dirname(file), spec.to);
    const copies = await copiesOf(transfer.source ?? spec.from!, dirname(file), to);
    const total = copies.reduce((sum, { bytes }) => sum + bytes, 0);
    let [filesDone, bytesDone] = [0, 0];
    let parts: CommittedPart[] = [];
    if (isStored(to)) {
      const uploaded = await uploadCopies(copies, {
        to,
        job: createHash("sha256").update(directory).digest("hex").slice(0, 32),
        temp: join(directory, "copies"),
        manifest: (all) => manifestText({ name, counters: {}, badRecords: 0 }, all),
        count: (bytes) => progress(copies.length, ++filesDone, total, (bytesDone += bytes)),
        signal,
      });
      parts = uploaded.map((part) => ({ ...part, file: to + part.file }));
    }
    const next = isStored(to) ? [].values() : copies.entries();
    const work = async (): Promise<void> => {
      for (const [index, copy] of next) {
        const count = (bytes: number): void => {
          bytesDone += bytes;
          progress(copies.length, filesDone, total, bytesDone);
        };
        const stored = copy.version !== undefined;
        const crc = await (stored ? downloadFile(copy, count, signal) : copyFile(copy, count, signal));
        filesDone++;
        parts[index] = {
          file: copy.target,
          collection: "",
          partition: index,
          bytes: copy.bytes,
          records: 0,
          crc32c: crc,
        };
        progress(copies.length, filesDone, total, bytesDone);
      }
    };
    const all = await Promise.allSettled(Array.from({ length: copiesAtOnce }, work));
    for (const one of all) if (one.status === "rejected") throw one.reason;
    stats.bytesIn = total;
    stats.bytesOut = total;
    stats.elapsedMs = performance.now() - startedMs;
    await mkdir(directory, { recursive: true });
    const temp = await createTempOutput(join(directory, "files"));
    await writeManifest(temp, { name, counters: {}, badRecords: 0 }, parts);
    await commitDirectory(temp, join(directory, "files"));
    return resultOf({ ...known, status: "SUCCEEDED", parts });
  } catch (error) {
    stats.elapsedMs = performance.now() - startedMs;
    return resultOfThrown(error, known, {
      signal,
      code: "OUTPUT_UNWRITABLE",
      hint: "When that is mended: sheaf resume @.",
    });
  }
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
  const taken = new Map<string, string>();
  for (const { source, target } of copies) {
    const other = taken.get(target.toLowerCase());
    if (other !== undefined) {
      throw new SheafError("OUTPUT_UNWRITABLE", `${other} and ${source} would both be ${target}`, {
        hint: "Transfer them to directories of their own.",
      });
    }
    taken.set(target.toLowerCase(), source);
    if (!isLocal || resolve(target) !== resolve(source)) continue;
    throw new SheafError("OUTPUT_UNWRITABLE", `${source} would be copied onto itself`, {
      hint: "Give another directory as `to`.",
    });
  }
  return copies;
}

function localCopy({ path, bytes, mtimeMs }: InputFile, base: string, to: string): StoredCopy {
  const below = relative(base, path);
  const target = join(to, below.startsWith("..") ? basename(path) : below);
  return { source: path, target, bytes, mtimeMs, below };
}

function storedCopy({ path, bytes, mtimeMs, version, place = path }: InputFile, to: string): StoredCopy {
  const below = placeBelow(place, path);
  const target = isStored(to) ? to + below : join(to, below);
  return { source: path, target, bytes, mtimeMs, below, ...(version !== undefined && { version }) };
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
