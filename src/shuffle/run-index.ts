import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { crc32c } from "@node-rs/crc32";
import { SheafError } from "../base/errors.ts";
import { asSheafError } from "../storage/fs-error.ts";
import type { RunIdentity, Segment } from "./run-format.ts";
import {
  END_MAGIC,
  ENTRY_CRC_OFFSET,
  FILE_HEADER_BYTES,
  FILE_MAGIC,
  INDEX_ENTRY_BYTES,
  jobFingerprint,
  RUN_FILE_VERSION,
  TRAILER_BYTES,
  trailerChecksum,
} from "./run-format.ts";

/** Index entries read at once; a larger index is searched by bisection when one partition is wanted. */
const ENTRIES_AT_ONCE = 1024;

/** What stands in a run file, checked against its checksums and, where one was given, an identity. */
export interface RunIndex {
  readonly path: string;
  /** Size of the file. */
  readonly bytes: number;
  /** Fingerprint of the job id, task and attempt, as the trailer has them. */
  readonly job: Buffer;
  readonly task: number;
  readonly attempt: number;
  /** The segments asked for, in (collection, partition, run) order. */
  readonly segments: readonly Segment[];
}

/** One partition of one collection. */
export interface PartitionPlace {
  readonly collection: number;
  readonly partition: number;
}

/** The error for a run file that is not what it should be. */
export function corrupt(path: string, problem: string, offset?: number): SheafError {
  const where = offset === undefined ? path : `${path} at offset ${offset}`;
  return new SheafError("BLOCK_CORRUPT", `${where}: ${problem}`, {
    hint: "The disk or the copy is damaged. The map task that wrote the file has to run again.",
    retryable: true,
    details: { path, ...(offset === undefined ? {} : { offset }) },
  });
}

/** Opens a run file for reading. @throws SheafError BLOCK_CORRUPT when it is gone */
export function openRun(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw corrupt(path, "the run file is gone");
    // Nothing is wrong with the file: the map that wrote it need not run again.
    if (code === "EMFILE" || code === "ENFILE") throw asSheafError(error, { path, doing: "open" });
    throw asSheafError(error, { path, doing: "open", code: "BLOCK_CORRUPT" });
  }
}

/** Fills `target` from `offset` on. @throws SheafError BLOCK_CORRUPT when the file ends before */
export function readFully(fd: number, path: string, target: Buffer, offset: number): void {
  let done = 0;
  while (done < target.length) {
    let read: number;
    try {
      read = readSync(fd, target, done, target.length - done, offset + done);
    } catch (error) {
      throw asSheafError(error, { path, doing: "read", code: "BLOCK_CORRUPT" });
    }
    if (read === 0)
      throw corrupt(path, `cut short: ${target.length - done} bytes are missing`, offset + done);
    done += read;
  }
}

/**
 * Reads and checks the index of a run file: all of it, or what it says of one partition. Without `identity`
 * it may be anybody's.
 * @throws SheafError BLOCK_CORRUPT (retryable) when the file is missing, cut, damaged or another attempt's
 */
export function readRunIndex(path: string, identity?: RunIdentity, place?: PartitionPlace): RunIndex {
  const fd = openRun(path);
  try {
    const { entries, indexOffset, ...index } = readEnds(fd, path);
    if (identity !== undefined) checkIdentity(index, identity);
    const file = { fd, path, indexOffset };
    if (place === undefined) return { ...index, segments: readEntries(file, 0, entries) };
    if (entries <= ENTRIES_AT_ONCE) {
      return {
        ...index,
        segments: readEntries(file, 0, entries).filter((entry) => compare(entry, place) === 0),
      };
    }
    const from = lowerBound(file, entries, place);
    const after = { collection: place.collection, partition: place.partition + 1 };
    const to = lowerBound(file, entries, after);
    return { ...index, segments: readEntries(file, from, to) };
  } finally {
    closeSync(fd);
  }
}

interface IndexFile {
  readonly fd: number;
  readonly path: string;
  readonly indexOffset: number;
}

type Ends = Omit<RunIndex, "segments"> & { readonly entries: number; readonly indexOffset: number };

/** Header and trailer. */
function readEnds(fd: number, path: string): Ends {
  const bytes = fstatSync(fd).size;
  if (bytes < FILE_HEADER_BYTES + TRAILER_BYTES)
    throw corrupt(path, `${bytes} bytes are too few for a run file`);
  const header = Buffer.alloc(FILE_HEADER_BYTES);
  readFully(fd, path, header, 0);
  if (header.toString("latin1", 0, 8) !== FILE_MAGIC) throw corrupt(path, "not a run file (bad magic)", 0);
  const version = header.readUInt32LE(8);
  if (version !== RUN_FILE_VERSION) {
    throw corrupt(path, `version ${version}, but this sheaf reads version ${RUN_FILE_VERSION}`, 8);
  }
  if (header.readUInt32LE(12) !== 0) throw corrupt(path, "bytes that are always zero are not", 12);
  const trailer = Buffer.alloc(TRAILER_BYTES);
  readFully(fd, path, trailer, bytes - TRAILER_BYTES);
  if (trailer.toString("latin1", 32, 40) !== END_MAGIC) {
    throw corrupt(path, "has no end: it was not finished or is cut", bytes - 8);
  }
  if (trailerChecksum(trailer) !== trailer.readUInt32LE(12)) {
    throw corrupt(path, "the trailer fails its checksum", bytes - TRAILER_BYTES);
  }
  const entries = trailer.readUInt32LE(8);
  const indexOffset = Number(trailer.readBigUInt64LE(0));
  if (indexOffset + entries * INDEX_ENTRY_BYTES + TRAILER_BYTES !== bytes)
    throw corrupt(path, "index and size disagree");
  const job = trailer.subarray(16, 24);
  return {
    path,
    bytes,
    job,
    task: trailer.readUInt32LE(24),
    attempt: trailer.readUInt32LE(28),
    entries,
    indexOffset,
  };
}

function checkIdentity(index: Omit<RunIndex, "segments">, { jobId, task, attempt }: RunIdentity): void {
  if (index.job.equals(jobFingerprint(jobId)) && index.task === task && index.attempt === attempt) return;
  throw corrupt(index.path, `belongs to another job or attempt than task ${task}, attempt ${attempt}`);
}

function readEntries(file: IndexFile, from: number, to: number): Segment[] {
  const bytes = Buffer.alloc((to - from) * INDEX_ENTRY_BYTES);
  const start = file.indexOffset + from * INDEX_ENTRY_BYTES;
  readFully(file.fd, file.path, bytes, start);
  return Array.from({ length: to - from }, (_, i) => {
    const at = i * INDEX_ENTRY_BYTES;
    const want = bytes.readUInt32LE(at + ENTRY_CRC_OFFSET);
    if (crc32c(bytes.subarray(at, at + ENTRY_CRC_OFFSET)) !== want) {
      throw corrupt(file.path, "an index entry fails its checksum", start + at);
    }
    return {
      collection: bytes.readUInt32LE(at),
      partition: bytes.readUInt32LE(at + 4),
      run: bytes.readUInt32LE(at + 8),
      blocks: bytes.readUInt32LE(at + 12),
      offset: Number(bytes.readBigUInt64LE(at + 16)),
      length: Number(bytes.readBigUInt64LE(at + 24)),
      records: Number(bytes.readBigUInt64LE(at + 32)),
      rawBytes: Number(bytes.readBigUInt64LE(at + 40)),
    };
  });
}

function compare(entry: PartitionPlace, place: PartitionPlace): number {
  return entry.collection - place.collection || entry.partition - place.partition;
}

/** First entry that is not below `place`. */
function lowerBound(file: IndexFile, entries: number, place: PartitionPlace): number {
  let low = 0;
  let high = entries;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compare(readEntries(file, middle, middle + 1)[0]!, place) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
