import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { crc32c } from "@node-rs/crc32";
import { uncompressSync } from "lz4-napi";
import { SheafError } from "../base/errors.ts";
import {
  BLOCK_CRC_OFFSET,
  BLOCK_HEADER_BYTES,
  BLOCK_MAGIC,
  CODEC_LZ4,
  END_MAGIC,
  FILE_HEADER_BYTES,
  FILE_MAGIC,
  INDEX_ENTRY_BYTES,
  TRAILER_BYTES,
} from "../shuffle/run-format.ts";
import type { Segment } from "../shuffle/run-format.ts";

/* Reads run files (docs/formats.md) without knowing whose they are, and goes on past damage to say where it is. */

export interface RunFileView {
  readonly version: number;
  readonly bytes: number;
  /** Fingerprint of the job id, hex. */
  readonly job: string;
  readonly task: number;
  readonly attempt: number;
  readonly segments: readonly Segment[];
}

export interface BlockView {
  readonly offset: number;
  readonly sequence: number;
  readonly codec: "stored" | "LZ4";
  readonly records: number;
  readonly rawBytes: number;
  readonly storedBytes: number;
  /** What is wrong with it; null when it is sound. */
  readonly damage: string | null;
}

export interface RawRecord {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** A run file, open for looking at. */
export interface OpenRunFile {
  readonly view: RunFileView;
  /** The blocks of a segment; stops at the first whose header makes no sense. */
  blocks(segment: Segment): Iterable<BlockView>;
  /** The first records of a segment. */
  records(segment: Segment, count: number): RawRecord[];
  close(): void;
}

/** Whether the file begins as a run file does. */
export function isRunFile(path: string): boolean {
  const fd = openSync(path, "r");
  try {
    const magic = Buffer.alloc(FILE_MAGIC.length);
    readSync(fd, magic, 0, magic.length, 0);
    return magic.toString("latin1") === FILE_MAGIC;
  } finally {
    closeSync(fd);
  }
}

/** @throws SheafError BLOCK_CORRUPT when its header, trailer or index is damaged */
export function openRunFile(path: string): OpenRunFile {
  const fd = openSync(path, "r");
  try {
    const view = readView(fd, path);
    return {
      view,
      blocks: (segment) => readBlocks(fd, path, segment),
      records: (segment, count) => readRecords(fd, path, segment, count),
      close: () => closeSync(fd),
    };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function readView(fd: number, path: string): RunFileView {
  const bytes = fstatSync(fd).size;
  if (bytes < FILE_HEADER_BYTES + TRAILER_BYTES)
    throw damaged(path, `${bytes} bytes are too few for a run file`);
  const version = readAt(fd, path, 0, FILE_HEADER_BYTES).readUInt32LE(8);
  const trailer = readAt(fd, path, bytes - TRAILER_BYTES, TRAILER_BYTES);
  if (trailer.toString("latin1", 32, 40) !== END_MAGIC)
    throw damaged(path, "has no end: it was not finished, or is cut");
  const indexOffset = Number(trailer.readBigUInt64LE(0));
  const entries = trailer.readUInt32LE(8);
  if (indexOffset + entries * INDEX_ENTRY_BYTES + TRAILER_BYTES !== bytes)
    throw damaged(path, "index and size disagree");
  const index = readAt(fd, path, indexOffset, entries * INDEX_ENTRY_BYTES);
  if (crc32c(index) !== trailer.readUInt32LE(12)) throw damaged(path, "the index fails its checksum");
  return {
    version,
    bytes,
    job: trailer.toString("hex", 16, 24),
    task: trailer.readUInt32LE(24),
    attempt: trailer.readUInt32LE(28),
    segments: Array.from({ length: entries }, (_, i) => segmentAt(index, i * INDEX_ENTRY_BYTES)),
  };
}

function segmentAt(index: Buffer, at: number): Segment {
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

function* readBlocks(fd: number, path: string, segment: Segment): Iterable<BlockView> {
  let offset = segment.offset;
  for (let i = 0; i < segment.blocks; i++) {
    const header = readAt(fd, path, offset, BLOCK_HEADER_BYTES);
    const storedBytes = header.readUInt32LE(44);
    const end = offset + BLOCK_HEADER_BYTES + storedBytes;
    const sensible = header.readUInt32LE(0) === BLOCK_MAGIC && end <= segment.offset + segment.length;
    const view = {
      offset,
      sequence: header.readUInt32LE(36),
      codec: header[6] === CODEC_LZ4 ? ("LZ4" as const) : ("stored" as const),
      records: header.readUInt32LE(48),
      rawBytes: header.readUInt32LE(40),
      storedBytes,
    };
    if (!sensible) {
      yield { ...view, damage: "no block begins here" };
      return;
    }
    const payload = readAt(fd, path, offset + BLOCK_HEADER_BYTES, storedBytes);
    yield { ...view, damage: checkBlock(header, payload) };
    offset = end;
  }
}

function checkBlock(header: Buffer, payload: Buffer): string | null {
  const want = header.readUInt32LE(BLOCK_CRC_OFFSET);
  const got = crc32c(payload, crc32c(header.subarray(0, BLOCK_CRC_OFFSET)));
  return want === got ? null : `checksum ${hex(got)}, header says ${hex(want)}`;
}

function readRecords(fd: number, path: string, segment: Segment, count: number): RawRecord[] {
  const records: RawRecord[] = [];
  for (const block of readBlocks(fd, path, segment)) {
    if (block.damage !== null || records.length >= count) break;
    const payload = readAt(fd, path, block.offset + BLOCK_HEADER_BYTES, block.storedBytes);
    const raw = block.codec === "LZ4" ? uncompressSync(payload) : payload;
    let at = 0;
    while (at < raw.length && records.length < count) {
      const keyLength = readVarint(raw, at);
      const valueLength = readVarint(raw, keyLength.next);
      const key = valueLength.next;
      const value = key + keyLength.value;
      at = value + valueLength.value;
      records.push({ key: raw.subarray(key, value), value: raw.subarray(value, at) });
    }
  }
  return records;
}

function readVarint(bytes: Buffer, at: number): { readonly value: number; readonly next: number } {
  let value = 0;
  let scale = 1;
  let next = at;
  for (;;) {
    const byte = bytes[next++] ?? 0;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return { value, next };
    scale *= 128;
  }
}

function readAt(fd: number, path: string, offset: number, length: number): Buffer {
  const target = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const read = readSync(fd, target, done, length - done, offset + done);
    if (read === 0)
      throw damaged(path, `is cut: ${length - done} bytes are missing at offset ${offset + done}`);
    done += read;
  }
  return target;
}

function hex(value: number): string {
  return value.toString(16).padStart(8, "0");
}

function damaged(path: string, problem: string): SheafError {
  return new SheafError("BLOCK_CORRUPT", `${path}: ${problem}`, {
    hint: "The task that wrote the file has to run again.",
  });
}
