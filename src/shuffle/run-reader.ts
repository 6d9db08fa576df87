import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { crc32c } from "@node-rs/crc32";
import { uncompressSync } from "lz4-napi";
import { SheafError } from "../base/errors.ts";
import { asSheafError } from "../storage/fs-error.ts";
import type { RunIdentity, Segment } from "./run-format.ts";
import type { RunSource } from "./run-source.ts";
import {
  BLOCK_CRC_OFFSET,
  BLOCK_HEADER_BYTES,
  BLOCK_MAGIC,
  CODEC_LZ4,
  CODEC_STORED,
  END_MAGIC,
  FILE_HEADER_BYTES,
  FILE_MAGIC,
  INDEX_ENTRY_BYTES,
  jobFingerprint,
  RUN_FILE_VERSION,
  TRAILER_BYTES,
} from "./run-format.ts";

/** What stands in a run file: its segments, checked against the file's checksum and identity. */
export interface RunIndex {
  readonly path: string;
  /** Fingerprint of the job id, task and attempt, as the trailer has them. */
  readonly job: Buffer;
  readonly task: number;
  readonly attempt: number;
  readonly segments: readonly Segment[];
}

function corrupt(path: string, problem: string, offset?: number): SheafError {
  const where = offset === undefined ? path : `${path} at offset ${offset}`;
  return new SheafError("BLOCK_CORRUPT", `${where}: ${problem}`, {
    hint: "The disk or the copy is damaged. The map task that wrote the file has to run again.",
    retryable: true,
    details: { path, ...(offset === undefined ? {} : { offset }) },
  });
}

function open(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw corrupt(path, "the run file is gone");
    throw asSheafError(error, { path, doing: "open", code: "BLOCK_CORRUPT" });
  }
}

function readFully(fd: number, path: string, target: Buffer, offset: number): void {
  let done = 0;
  while (done < target.length) {
    let read: number;
    try {
      read = readSync(fd, target, done, target.length - done, offset + done);
    } catch (error) {
      throw asSheafError(error, { path, doing: "read", code: "BLOCK_CORRUPT" });
    }
    if (read === 0) throw corrupt(path, `cut short: ${target.length - done} bytes are missing`, offset + done);
    done += read;
  }
}

/**
 * Reads and checks the index of a run file; without `identity` anybody's.
 * @throws SheafError BLOCK_CORRUPT (retryable) when the file is missing, cut, damaged or another attempt's
 */
export function readRunIndex(path: string, identity?: RunIdentity): RunIndex {
  const fd = open(path);
  try {
    return readIndex(fd, path, identity);
  } finally {
    closeSync(fd);
  }
}

function readIndex(fd: number, path: string, identity: RunIdentity | undefined): RunIndex {
  const size = fstatSync(fd).size;
  if (size < FILE_HEADER_BYTES + TRAILER_BYTES) throw corrupt(path, `${size} bytes are too few for a run file`);
  const header = Buffer.alloc(FILE_HEADER_BYTES);
  readFully(fd, path, header, 0);
  if (header.toString("latin1", 0, 8) !== FILE_MAGIC) throw corrupt(path, "not a run file (bad magic)", 0);
  const version = header.readUInt32LE(8);
  if (version !== RUN_FILE_VERSION) {
    throw corrupt(path, `version ${version}, but this sheaf reads version ${RUN_FILE_VERSION}`, 8);
  }
  if (header.readUInt32LE(12) !== 0) throw corrupt(path, "bytes that are always zero are not", 12);
  const trailer = Buffer.alloc(TRAILER_BYTES);
  readFully(fd, path, trailer, size - TRAILER_BYTES);
  if (trailer.toString("latin1", 32, 40) !== END_MAGIC) {
    throw corrupt(path, "has no end: it was not finished or is cut", size - 8);
  }
  const job = trailer.subarray(16, 24);
  const task = trailer.readUInt32LE(24);
  const attempt = trailer.readUInt32LE(28);
  if (
    identity !== undefined &&
    (!job.equals(jobFingerprint(identity.jobId)) || task !== identity.task || attempt !== identity.attempt)
  ) {
    throw corrupt(path, `belongs to another job or attempt than task ${identity.task}, attempt ${identity.attempt}`);
  }
  const entries = trailer.readUInt32LE(8);
  const indexOffset = Number(trailer.readBigUInt64LE(0));
  if (indexOffset + entries * INDEX_ENTRY_BYTES + TRAILER_BYTES !== size) throw corrupt(path, "index and size disagree");
  const index = Buffer.alloc(entries * INDEX_ENTRY_BYTES);
  readFully(fd, path, index, indexOffset);
  if (crc32c(index) !== trailer.readUInt32LE(12)) throw corrupt(path, "the index fails its checksum", indexOffset);
  const segments = Array.from({ length: entries }, (_, i) => readEntry(index, i * INDEX_ENTRY_BYTES));
  return { path, job, task, attempt, segments };
}

function readEntry(index: Buffer, at: number): Segment {
  return {
    collection: index.readUInt32LE(at),
    partition: index.readUInt32LE(at + 4),
    run: index.readUInt32LE(at + 8),
    blocks: index.readUInt32LE(at + 12),
    offset: Number(index.readBigUInt64LE(at + 16)),
    length: Number(index.readBigUInt64LE(at + 24)),
    records: Number(index.readBigUInt64LE(at + 32)),
    rawBytes: Number(index.readBigUInt64LE(at + 40)),
  };
}

/** Reads the blocks of one segment in order; opens the file at the first and closes it after the last. */
export class SegmentSource implements RunSource {
  readonly #index: RunIndex;
  readonly #segment: Segment;
  #fd = -1;
  #block = 0;
  #offset: number;
  readonly #header = Buffer.allocUnsafe(BLOCK_HEADER_BYTES);
  #stored = Buffer.alloc(0);

  constructor(index: RunIndex, segment: Segment) {
    this.#index = index;
    this.#segment = segment;
    this.#offset = segment.offset;
  }

  next(): Buffer | null {
    if (this.#block === this.#segment.blocks) {
      this.close();
      return null;
    }
    const { path } = this.#index;
    if (this.#fd < 0) this.#fd = open(path);
    const header = this.#header;
    readFully(this.#fd, path, header, this.#offset);
    this.#checkHeader(header);
    const length = header.readUInt32LE(44);
    if (this.#offset + BLOCK_HEADER_BYTES + length > this.#segment.offset + this.#segment.length) {
      throw corrupt(path, `a block of ${length} bytes reaches beyond its segment`, this.#offset);
    }
    if (this.#stored.length < length) this.#stored = Buffer.allocUnsafe(length);
    const stored = this.#stored.subarray(0, length);
    readFully(this.#fd, path, stored, this.#offset + BLOCK_HEADER_BYTES);
    const want = header.readUInt32LE(BLOCK_CRC_OFFSET);
    const got = crc32c(stored, crc32c(header.subarray(0, BLOCK_CRC_OFFSET)));
    if (want !== got) {
      throw corrupt(path, `a block has checksum ${got.toString(16)}, its header says ${want.toString(16)}`, this.#offset);
    }
    const raw = header[6] === CODEC_LZ4 ? uncompressSync(stored) : stored;
    if (raw.length !== header.readUInt32LE(40)) throw corrupt(path, "a block has another size than it says", this.#offset);
    this.#offset += BLOCK_HEADER_BYTES + length;
    this.#block++;
    return raw;
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  #checkHeader(header: Buffer): void {
    const { job, task, attempt, path } = this.#index;
    const segment = this.#segment;
    if (header.readUInt32LE(0) !== BLOCK_MAGIC || header.readUInt16LE(4) !== RUN_FILE_VERSION) {
      throw corrupt(path, "no block begins here", this.#offset);
    }
    if (
      !header.subarray(8, 16).equals(job) ||
      header.readUInt32LE(16) !== task ||
      header.readUInt32LE(20) !== attempt ||
      header.readUInt32LE(24) !== segment.collection ||
      header.readUInt32LE(28) !== segment.partition ||
      header.readUInt32LE(32) !== segment.run ||
      header.readUInt32LE(36) !== this.#block
    ) {
      throw corrupt(path, "a block of another job, attempt, partition or place", this.#offset);
    }
    if (header[6] !== CODEC_STORED && header[6] !== CODEC_LZ4) {
      throw corrupt(path, `unknown codec ${header[6]}`, this.#offset);
    }
  }
}
