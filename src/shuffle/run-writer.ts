import { closeSync, openSync, writeSync } from "node:fs";
import { crc32c } from "../base/crc32.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { lz4Compress } from "./lz4.ts";
import type { RunIdentity, Segment } from "./run-format.ts";
import {
  BLOCK_CRC_OFFSET,
  BLOCK_HEADER_BYTES,
  BLOCK_MAGIC,
  CODEC_LZ4,
  CODEC_STORED,
  encodeFileHeader,
  encodeIndex,
  jobFingerprint,
  RUN_FILE_VERSION,
} from "./run-format.ts";
import type { StoredBlock } from "./run-reader.ts";

/** Blocks smaller than this are not worth compressing. */
const COMPRESS_MIN_BYTES = 1024;
/** A block that does not shrink below this share of its size is stored as it is. */
const COMPRESS_WORTH = 0.85;
/**
 * After a block that did not shrink, this many are stored untried; doubled each time, up to the second
 * number.
 */
const SKIP_FIRST = 2;
const SKIP_MOST = 64;

const PENDING_BYTES = 512 * 1024;

interface OpenSegment {
  readonly collection: number;
  readonly partition: number;
  readonly run: number;
  readonly offset: number;
  blocks: number;
  records: number;
  rawBytes: number;
}

/**
 * Writes one run file, synchronously. Order of calls: for each run, for each partition in ascending order:
 * begin(), block()...; then finish(). Nothing counts before finish() has returned.
 */
export class RunWriter {
  readonly path: string;
  readonly #identity: RunIdentity;
  readonly #job: Buffer;
  /** -1 once closed: the number may be another file's by then. */
  #fd: number;
  readonly #segments: Segment[] = [];
  #open: OpenSegment | undefined;
  readonly #pending = Buffer.allocUnsafe(PENDING_BYTES);
  #pendingLength = 0;
  #written = 0;
  #skip = 0;
  #skipNext = SKIP_FIRST;

  constructor(path: string, identity: RunIdentity) {
    this.path = path;
    this.#identity = identity;
    this.#job = jobFingerprint(identity.jobId);
    try {
      this.#fd = openSync(path, "wx", 0o600);
    } catch (error) {
      throw asSheafError(error, { path, doing: "create" });
    }
    this.#write(encodeFileHeader());
  }

  /** Bytes of the file so far. */
  get length(): number {
    return this.#written + this.#pendingLength;
  }

  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /** Begins the segment of a partition of a run. */
  begin(collection: number, partition: number, run: number): void {
    this.#endSegment();
    this.#open = { collection, partition, run, offset: this.length, blocks: 0, records: 0, rawBytes: 0 };
  }

  /** Appends a block of whole records to the segment begun last. `raw` may be reused afterwards. */
  block(raw: Buffer, records: number): void {
    const stored = this.#compressed(raw);
    const codec = stored === raw ? CODEC_STORED : CODEC_LZ4;
    this.stored({ codec, rawLength: raw.length, records, stored });
  }

  /** Appends a block as it lay in another run file. */
  stored({ codec, rawLength, records, stored: payload }: Omit<StoredBlock, "offset">): void {
    const segment = this.#open!;
    const header = Buffer.allocUnsafe(BLOCK_HEADER_BYTES);
    header.writeUInt32LE(BLOCK_MAGIC, 0);
    header.writeUInt16LE(RUN_FILE_VERSION, 4);
    header[6] = codec;
    header[7] = 0;
    header.set(this.#job, 8);
    header.writeUInt32LE(this.#identity.task, 16);
    header.writeUInt32LE(this.#identity.attempt, 20);
    header.writeUInt32LE(segment.collection, 24);
    header.writeUInt32LE(segment.partition, 28);
    header.writeUInt32LE(segment.run, 32);
    header.writeUInt32LE(segment.blocks, 36);
    header.writeUInt32LE(rawLength, 40);
    header.writeUInt32LE(payload.length, 44);
    header.writeUInt32LE(records, 48);
    header.writeUInt32LE(crc32c(payload, crc32c(header.subarray(0, BLOCK_CRC_OFFSET))), BLOCK_CRC_OFFSET);
    this.#write(header);
    this.#write(payload);
    segment.blocks++;
    segment.records += records;
    segment.rawBytes += rawLength;
  }

  /** Writes index and trailer and closes the file. */
  finish(): void {
    this.#endSegment();
    const { task, attempt } = this.#identity;
    this.#write(encodeIndex(this.#segments, this.length, { job: this.#job, task, attempt }));
    this.#flush();
    try {
      this.#close();
    } catch (error) {
      // Network file systems report a full disk only now.
      throw asSheafError(error, { path: this.path, doing: "write" });
    }
  }

  /** Closes the file unfinished, if it is still open; whoever owns the directory removes it. */
  abandon(): void {
    this.#close();
  }

  #close(): void {
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) closeSync(fd);
  }

  #endSegment(): void {
    const open = this.#open;
    this.#open = undefined;
    if (open === undefined || open.blocks === 0) return;
    this.#segments.push({ ...open, length: this.length - open.offset });
  }

  #compressed(raw: Buffer): Buffer {
    if (raw.length < COMPRESS_MIN_BYTES) return raw;
    if (this.#skip > 0) {
      this.#skip--;
      return raw;
    }
    const packed = lz4Compress(raw);
    if (packed.length < raw.length * COMPRESS_WORTH) {
      this.#skipNext = SKIP_FIRST;
      return packed;
    }
    this.#skip = this.#skipNext;
    this.#skipNext = Math.min(this.#skipNext * 2, SKIP_MOST);
    return raw;
  }

  #write(bytes: Buffer): void {
    if (this.#pendingLength + bytes.length > PENDING_BYTES) this.#flush();
    if (bytes.length > PENDING_BYTES) {
      this.#writeAll(bytes);
      return;
    }
    bytes.copy(this.#pending, this.#pendingLength);
    this.#pendingLength += bytes.length;
  }

  #flush(): void {
    const length = this.#pendingLength;
    this.#pendingLength = 0;
    this.#writeAll(this.#pending.subarray(0, length));
  }

  #writeAll(bytes: Buffer): void {
    try {
      for (let at = 0; at < bytes.length;) at += writeSync(this.#fd, bytes, at);
    } catch (error) {
      throw asSheafError(error, { path: this.path, doing: "write" });
    }
    this.#written += bytes.length;
  }
}
