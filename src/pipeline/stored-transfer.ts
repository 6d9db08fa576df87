import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { lstat, mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { crc32c, crcText } from "../base/crc32.ts";
import { SheafError } from "../base/errors.ts";
import type { CommittedPart } from "../engine/events.ts";
import { agentPlace } from "../steps/script.ts";
import { syncPath } from "../storage/atomic-output.ts";
import { crc32cOfFile, inodeOf } from "../storage/content-check.ts";
import { asSheafError, quotePath } from "../storage/fs-error.ts";
import { openRange } from "../storage/read-range.ts";
import { isStored, storedOutput, storeOf } from "../storage/stores.ts";
import { uploadOutput } from "../storage/upload-output.ts";

/** A file of a transfer from a store, to a store, or both. */
export interface StoredCopy {
  readonly source: string;
  /** Of a source in a store: which version is copied. */
  readonly version?: string;
  /** Whether that says which bytes these are: see StoredFile. Default false. */
  readonly exact?: boolean;
  readonly mtimeMs: number;
  /** Below the directory of the transfer. */
  readonly below: string;
  /** Path, or address. */
  readonly target: string;
  readonly bytes: number;
}

type Count = (bytes: number) => void;

const chunkBytes = 1 << 20;

/**
 * Makes a path a copy of one version of a file in a store, by one rename. What an earlier try has copied of
 * that version is kept beside it, under a name that says which, and is gone on from; of a version that may be
 * that of other bytes, too, it is copied anew.
 * @returns the checksum of the copy
 * @throws SheafError INPUT_CHANGED, OUTPUT_UNWRITABLE, DISK_FULL; as the store
 */
export async function downloadFile(
  copy: StoredCopy,
  count: Count,
  signal: AbortSignal | undefined,
): Promise<string> {
  const { source, version, exact = false, bytes, mtimeMs, target } = copy;
  const which = createHash("sha256")
    .update(JSON.stringify([source, version, bytes]))
    .digest("hex");
  const part = join(dirname(target), `.${basename(target)}.sheaf-part-${which.slice(0, 16)}`);
  const there = await lstat(target).catch(() => null);
  if (there !== null && !there.isFile()) {
    throw new SheafError("OUTPUT_UNWRITABLE", `${target} is there, and is no file`, {
      hint: "Remove it, or transfer to another directory.",
    });
  }
  try {
    await mkdir(dirname(target), { recursive: true });
  } catch (error) {
    throw asSheafError(error, { path: target, doing: "create", code: "OUTPUT_UNWRITABLE" });
  }
  const begun = await lstat(part).catch(() => null);
  const goesOn = exact && begun?.isFile() === true && begun.size <= bytes;
  const output = await open(part, goesOn ? "r+" : "w").catch((error: unknown) => {
    throw asSheafError(error, { path: part, doing: "write" });
  });
  let crc = 0;
  try {
    const known = await crc32cOfFile(part);
    crc = known.crc32c;
    count(known.bytes);
    const file = { path: source, name: source, fileBytes: bytes, mtimeMs, version: version! };
    const range = await openRange({ ...file, start: known.bytes, end: bytes });
    try {
      const buffer = Buffer.allocUnsafe(chunkBytes);
      for (let at = known.bytes; at < bytes;) {
        signal?.throwIfAborted();
        const some = buffer.subarray(0, Math.min(chunkBytes, bytes - at));
        await range.read(some, at);
        crc = crc32c(some, crc);
        await output.write(some, 0, some.length, at).catch((error: unknown) => {
          throw asSheafError(error, { path: part, doing: "write" });
        });
        at += some.length;
        count(some.length);
      }
      await range.verify();
    } finally {
      await range.close();
    }
  } finally {
    await output.close();
  }
  await syncPath(part);
  const copied = await crc32cOfFile(part);
  if (copied.bytes !== bytes || copied.crc32c !== crc) {
    await rm(part, { force: true });
    throw new SheafError("BLOCK_CORRUPT", `the copy of ${quotePath(source)} is not what was received`, {
      hint: "Look at the disk, then go on: sheaf resume @.",
    });
  }
  await rename(part, target);
  await syncPath(dirname(target)).catch(() => undefined);
  return crcText(crc);
}

export interface Upload {
  /** Address; ends in "/". */
  readonly to: string;
  /** The same whenever the transfer is gone on with. */
  readonly job: string;
  /** For what comes from another store. */
  readonly temp: string;
  readonly manifest: (parts: readonly CommittedPart[]) => string;
  readonly count: Count;
  readonly signal: AbortSignal | undefined;
}

/**
 * Makes a directory of a store the output of a transfer, with a `_SUCCESS` that has the checksums: whole or
 * not at all. What an earlier transfer or job has written there is replaced, and nothing else.
 * @returns files by their names there
 */
export async function uploadCopies(
  copies: readonly StoredCopy[],
  { to, job, temp, manifest, count, signal }: Upload,
): Promise<CommittedPart[]> {
  const step = (): void => signal?.throwIfAborted();
  const keep = copies.map(({ source }) => source);
  await (await storedOutput(to, job)).check({ overwrite: true, keep, step });
  await mkdir(temp, { recursive: true });
  try {
    const inodes = copies.map(({ source, version }) => (version === undefined ? inodeOf(source) : null));
    const files: { source: string; name: string; bytes: number; crc32c: string }[] = [];
    for (const [index, copy] of copies.entries()) {
      step();
      const { source, version, below: name, bytes } = copy;
      const here = version === undefined ? source : join(temp, String(index));
      const crc =
        version === undefined
          ? crcText((await crc32cOfFile(source)).crc32c)
          : await downloadFile({ ...copy, target: here }, () => undefined, signal);
      files.push({ source: here, name, bytes, crc32c: crc });
      count(bytes);
    }
    const parts = files.map(({ name, bytes, crc32c: crc }, partition): CommittedPart => {
      return { file: name, collection: "", partition, bytes, records: 0, crc32c: crc };
    });
    const success = { source: Buffer.from(manifest(parts)), name: "_SUCCESS" };
    await uploadOutput([...files, success], { output: to, job, overwrite: true, step }, () => {
      for (const [index, { source, version }] of copies.entries()) {
        if (version !== undefined || inodeOf(source) === inodes[index]) continue;
        throw new SheafError("INPUT_CHANGED", `${source} changed while it was copied`, {
          hint: "Go on when nobody writes to it: sheaf resume @.",
        });
      }
    });
    return parts;
  } finally {
    await rm(temp, { recursive: true, force: true });
  }
}

/**
 * What an address' place below what was given is called on a disk.
 * @throws SheafError OUTPUT_UNWRITABLE for a name that leads elsewhere
 */
export function placeBelow(place: string, source: string): string {
  const below = place.split("\0")[0]!;
  if (below.split("/").every((name) => !["", ".", ".."].includes(name))) return below;
  throw new SheafError("OUTPUT_UNWRITABLE", `${quotePath(source)} has a name that no file can have here`, {
    hint: "Transfer other files, or rename it in its storage.",
  });
}

/** Copies in storages that are looked at at once: each answer takes its time to come. */
const looksAtOnce = 32;

/**
 * Whether all copies are there, of the size they had. A storage that does not answer has none; nobody looks
 * at agents, whose transfer finds out for itself.
 */
export async function areCopies(parts: readonly CommittedPart[]): Promise<boolean> {
  const isThere = async ({ file, bytes }: CommittedPart): Promise<boolean> => {
    if (agentPlace(file) !== null) return false;
    if (!isStored(file)) return statSync(file, { throwIfNoEntry: false })?.size === bytes;
    const found = await (await storeOf(file)).stat(file);
    return found !== null && found !== "directory" && found.bytes === bytes;
  };
  for (let at = 0; at < parts.length; at += looksAtOnce) {
    const some = parts.slice(at, at + looksAtOnce);
    const all = await Promise.all(some.map((part) => isThere(part).catch(() => false)));
    if (all.includes(false)) return false;
  }
  return true;
}
