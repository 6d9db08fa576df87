import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { crc32c } from "../base/crc32.ts";
import { SheafError } from "../base/errors.ts";
import { asSheafError } from "../storage/fs-error.ts";
import type { RunIdentity, RunOwner, Segment } from "./run-format.ts";
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
  /** Size of the run file: of the whole file, or of the window that it is. */
  readonly bytes: number;
  /** Fingerprint of the job id, task and attempt, as the trailer has them. */
  readonly job: Buffer;
  readonly task: number;
  readonly attempt: number;
  /** The segments asked for, in (collection, partition, run) order; offsets are those in the whole file. */
  readonly segments: readonly Segment[];
}

/** One partition of one collection. */
export interface PartitionPlace {
  readonly collection: number;
  readonly partition: number;
}

/** The stretch of a file in which a whole run file lies, header to trailer. */
export interface FileWindow {
  readonly offset: number;
  readonly bytes: number;
}

/** The error for a run file that is not what it should be. */
export function blockCorrupt(path: string, problem: string, offset?: number): SheafError {
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
    if (code === "ENOENT") throw blockCorrupt(path, "the run file is gone");
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
      throw asSheafError(error, { path, doing: "read", code: "BLOCK_CORRUPT", offset: offset + done });
    }
    if (read === 0)
      throw blockCorrupt(path, `cut short: ${target.length - done} bytes are missing`, offset + done);
    done += read;
  }
}

/** What of a run file is wanted, and what it must be. */
export interface IndexQuestion {
  /** Whose run file it has to be. Default: it may be anybody's. */
  readonly identity?: RunIdentity | RunOwner | undefined;
  /** Default: all segments. */
  readonly place?: PartitionPlace | undefined;
  /** Default: the whole file. */
  readonly window?: FileWindow | undefined;
}

/**
 * Reads and checks the index of a run file: all of it, or what it says of one partition.
 * @throws SheafError BLOCK_CORRUPT (retryable) when the file is missing, cut, damaged or another attempt's
 */
export function readRunIndex(path: string, question: IndexQuestion = {}): RunIndex {
  const fd = openRun(path);
  try {
    return readOpenRunIndex(fd, path, question);
  } finally {
    closeSync(fd);
  }
}

/** The same of a file that is open for reading. */
export function readOpenRunIndex(fd: number, path: string, question: IndexQuestion = {}): RunIndex {
  const { identity, place } = question;
  const window = question.window ?? { offset: 0, bytes: fstatSync(fd).size };
  const { entries, indexOffset, ...index } = readEnds(fd, path, window);
  if (identity !== undefined) checkIdentity(index, identity, window.offset);
  const file = { fd, path, start: window.offset, indexOffset };
  const read =
    place === undefined || entries <= ENTRIES_AT_ONCE
      ? entriesOf(file, 0, readEntryBytes(file, 0, entries))
      : (from: number, to: number) => entriesOf(file, from, readEntryBytes(file, from, to))(from, to);
  if (place === undefined) return { ...index, segments: read(0, entries) };
  const from = lowerBound(read, entries, place);
  const to = lowerBound(read, entries, { collection: place.collection, partition: place.partition + 1 });
  return { ...index, segments: read(from, to) };
}

/** Entries [from, to) of an index. */
type ReadEntries = (from: number, to: number) => Segment[];

interface IndexFile {
  readonly fd: number;
  readonly path: string;
  /** Where the run file begins in the file. */
  readonly start: number;
  readonly indexOffset: number;
}

type Ends = Omit<RunIndex, "segments"> & { readonly entries: number; readonly indexOffset: number };

/** Header and trailer. */
function readEnds(fd: number, path: string, { offset, bytes }: FileWindow): Ends {
  if (bytes < FILE_HEADER_BYTES + TRAILER_BYTES)
    throw blockCorrupt(path, `${bytes} bytes are too few for a run file`, offset);
  const header = Buffer.alloc(FILE_HEADER_BYTES);
  readFully(fd, path, header, offset);
  checkFileHeader(header, path, offset);
  const trailer = Buffer.alloc(TRAILER_BYTES);
  const trailerAt = offset + bytes - TRAILER_BYTES;
  readFully(fd, path, trailer, trailerAt);
  return { path, bytes, ...parseTrailer(trailer, bytes, path, trailerAt) };
}

/** @throws SheafError BLOCK_CORRUPT when these bytes do not begin a run file that can be read here */
export function checkFileHeader(header: Buffer, path: string, offset: number): void {
  if (header.toString("latin1", 0, 8) !== FILE_MAGIC)
    throw blockCorrupt(path, "not a run file (bad magic)", offset);
  const version = header.readUInt32LE(8);
  if (version !== RUN_FILE_VERSION) {
    throw blockCorrupt(
      path,
      `version ${version}, but this sheaf reads version ${RUN_FILE_VERSION}`,
      offset + 8,
    );
  }
  if (header.readUInt32LE(12) !== 0)
    throw blockCorrupt(path, "bytes that are always zero are not", offset + 12);
}

/** What a trailer says, which lies at `offset`; `bytes` is the size of the run file that it ends. */
export function parseTrailer(
  trailer: Buffer,
  bytes: number,
  path: string,
  offset: number,
): Omit<Ends, "path" | "bytes"> {
  if (trailer.toString("latin1", 32, 40) !== END_MAGIC) {
    throw blockCorrupt(path, "has no end: it was not finished or is cut", offset + 32);
  }
  if (trailerChecksum(trailer) !== trailer.readUInt32LE(12)) {
    throw blockCorrupt(path, "the trailer fails its checksum", offset);
  }
  const entries = trailer.readUInt32LE(8);
  const indexOffset = Number(trailer.readBigUInt64LE(0));
  if (indexOffset + entries * INDEX_ENTRY_BYTES + TRAILER_BYTES !== bytes)
    throw blockCorrupt(path, "index and size disagree", offset);
  const job = trailer.subarray(16, 24);
  return { job, task: trailer.readUInt32LE(24), attempt: trailer.readUInt32LE(28), entries, indexOffset };
}

function checkIdentity(
  index: Pick<RunIndex, "path" | "job" | "task" | "attempt">,
  identity: RunIdentity | RunOwner,
  offset: number,
): void {
  const job = "job" in identity ? identity.job : jobFingerprint(identity.jobId);
  const { task, attempt } = identity;
  if (index.job.equals(job) && index.task === task && index.attempt === attempt) return;
  throw blockCorrupt(
    index.path,
    `belongs to another job or attempt than task ${task}, attempt ${attempt}`,
    offset,
  );
}

function readEntryBytes(file: IndexFile, from: number, to: number): Buffer {
  const bytes = Buffer.alloc((to - from) * INDEX_ENTRY_BYTES);
  readFully(file.fd, file.path, bytes, file.start + file.indexOffset + from * INDEX_ENTRY_BYTES);
  return bytes;
}

/** Gives the entries out of bytes that begin with entry `first`; checks those that it gives. */
function entriesOf(file: IndexFile, first: number, bytes: Buffer): ReadEntries {
  const start = file.start + file.indexOffset;
  return (from, to) =>
    Array.from({ length: to - from }, (_, i) => {
      const at = (from + i - first) * INDEX_ENTRY_BYTES;
      const entry = bytes.subarray(at, at + INDEX_ENTRY_BYTES);
      const segment = parseEntry(entry, file.path, start + (from + i) * INDEX_ENTRY_BYTES);
      return file.start === 0 ? segment : { ...segment, offset: segment.offset + file.start };
    });
}

/** An index entry that lies at `offset`. @throws SheafError BLOCK_CORRUPT when its checksum is wrong */
export function parseEntry(entry: Buffer, path: string, offset: number): Segment {
  if (crc32c(entry.subarray(0, ENTRY_CRC_OFFSET)) !== entry.readUInt32LE(ENTRY_CRC_OFFSET))
    throw blockCorrupt(path, "an index entry fails its checksum", offset);
  return {
    collection: entry.readUInt32LE(0),
    partition: entry.readUInt32LE(4),
    run: entry.readUInt32LE(8),
    blocks: entry.readUInt32LE(12),
    offset: Number(entry.readBigUInt64LE(16)),
    length: Number(entry.readBigUInt64LE(24)),
    records: Number(entry.readBigUInt64LE(32)),
    rawBytes: Number(entry.readBigUInt64LE(40)),
  };
}

function compare(entry: PartitionPlace, place: PartitionPlace): number {
  return entry.collection - place.collection || entry.partition - place.partition;
}

/** First entry that is not below `place`. */
function lowerBound(read: ReadEntries, entries: number, place: PartitionPlace): number {
  let low = 0;
  let high = entries;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compare(read(middle, middle + 1)[0]!, place) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
