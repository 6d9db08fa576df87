import { closeSync, openSync, readSync } from "node:fs";
import { crc32c, crcText } from "../../../base/crc32.ts";
import { lz4Decompress } from "../../../shuffle/lz4.ts";
import {
  BLOCK_CRC_OFFSET,
  BLOCK_HEADER_BYTES,
  BLOCK_MAGIC,
  CODEC_LZ4,
  FILE_MAGIC,
  type Segment,
} from "../../../shuffle/run-format.ts";
import { type RunIndex, openRun, readFully, readRunIndex } from "../../../shuffle/run-index.ts";
import { readVarint } from "../../../shuffle/varint.ts";

/*
 * Reads run files (docs/formats.md) without knowing whose they are, and goes on past damage to say where it
 * is.
 */

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
  readonly view: RunIndex;
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
  const view = readRunIndex(path);
  const fd = openRun(path);
  return {
    view,
    blocks: (segment) => readBlocks(fd, path, segment),
    records: (segment, count) => readRecords(fd, path, segment, count),
    close: () => closeSync(fd),
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
    const raw = block.codec === "LZ4" ? lz4Decompress(payload) : payload;
    let at = 0;
    while (at < raw.length && records.length < count) {
      const [keyLength, afterKey] = readVarint(raw, at);
      const [valueLength, key] = readVarint(raw, afterKey);
      const value = key + keyLength;
      at = value + valueLength;
      records.push({ key: raw.subarray(key, value), value: raw.subarray(value, at) });
    }
  }
  return records;
}

function readAt(fd: number, path: string, offset: number, length: number): Buffer {
  const target = Buffer.alloc(length);
  readFully(fd, path, target, offset);
  return target;
}

function hex(value: number): string {
  return crcText(value);
}
