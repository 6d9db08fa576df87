// The run file: what a map attempt leaves for the reduces, and what a merge pass leaves for the next.
// docs/formats.md describes it with a worked example. All integers are little-endian. FROZEN within a
// version.
//
//   file    = header segment* index trailer
//   header  = "SHEAFRUN" version:u32 zero:u32                                                   16 bytes
//   segment = block*           the records of one sorted run of one partition of one collection, in order
//   block   = block-header payload
//     +0  magic "SHB1"          +4  version:u16   +6 codec:u8 (0 stored, 1 LZ4)   +7 zero:u8
//     +8  job:u64 (identity)    +16 task:u32      +20 attempt:u32
//     +24 collection:u32        +28 partition:u32 +32 run:u32   +36 sequence:u32 (number in its segment)
//     +40 rawLength:u32         +44 storedLength:u32            +48 records:u32
//     +52 crc32c:u32 of the 52 bytes above and the payload                                       56 bytes
//   payload = the records, as they are or as one LZ4 block with its raw length (u32) before it
//   record  = varint keyLength, varint valueLength, key, value
//   index   = entry*            sorted by (collection, partition, run)
//   entry   = collection:u32 partition:u32 run:u32 blocks:u32 offset:u64 length:u64 records:u64 rawBytes:u64
//             crc32c:u32 of the 48 bytes above                                                   52 bytes
//   trailer = indexOffset:u64 entries:u32 crc32c:u32 (of the trailer's other fields) job:u64 task:u32
//             attempt:u32 "SHEAFEND"                                                             40 bytes
//
// Each entry has its own checksum, so that a reduce can find its partition by bisection and need not read the
// rest: with M maps and R reduces, reading whole indexes would cost M x R x R entries.
//
// The identity fields make a block of another job, attempt or partition recognisable wherever it comes from.
import { createHash } from "node:crypto";
import { crc32c } from "../base/crc32.ts";

export const RUN_FILE_VERSION = 2;
export const FILE_MAGIC = "SHEAFRUN";
export const END_MAGIC = "SHEAFEND";
/** "SHB1" as a little-endian number. */
export const BLOCK_MAGIC = 0x31424853;
export const FILE_HEADER_BYTES = 16;
export const BLOCK_HEADER_BYTES = 56;
export const BLOCK_CRC_OFFSET = 52;
export const INDEX_ENTRY_BYTES = 52;
export const ENTRY_CRC_OFFSET = 48;
export const TRAILER_BYTES = 40;

export const CODEC_STORED = 0;
export const CODEC_LZ4 = 1;

/** Whose run file it is. */
export interface RunIdentity {
  readonly jobId: string;
  readonly task: number;
  readonly attempt: number;
}

/** The same as it stands in the file: the job as jobFingerprint() has it. */
export interface RunOwner {
  readonly job: Buffer;
  readonly task: number;
  readonly attempt: number;
}

/** A run of one partition of one collection in a run file. */
export interface Segment {
  readonly collection: number;
  readonly partition: number;
  readonly run: number;
  readonly blocks: number;
  readonly offset: number;
  readonly length: number;
  readonly records: number;
  readonly rawBytes: number;
}

/** The bytes a run file begins with. */
export function encodeFileHeader(): Buffer {
  const header = Buffer.alloc(FILE_HEADER_BYTES);
  header.write(FILE_MAGIC, 0, "latin1");
  header.writeUInt32LE(RUN_FILE_VERSION, 8);
  return header;
}

/** Index and trailer of a run file whose index begins at `indexOffset`. Sorts the segments. */
export function encodeIndex(segments: readonly Segment[], indexOffset: number, owner: RunOwner): Buffer {
  const sorted = [...segments].sort(
    (a, b) => a.collection - b.collection || a.partition - b.partition || a.run - b.run,
  );
  const bytes = Buffer.alloc(sorted.length * INDEX_ENTRY_BYTES + TRAILER_BYTES);
  for (const [i, segment] of sorted.entries()) {
    const at = i * INDEX_ENTRY_BYTES;
    bytes.writeUInt32LE(segment.collection, at);
    bytes.writeUInt32LE(segment.partition, at + 4);
    bytes.writeUInt32LE(segment.run, at + 8);
    bytes.writeUInt32LE(segment.blocks, at + 12);
    bytes.writeBigUInt64LE(BigInt(segment.offset), at + 16);
    bytes.writeBigUInt64LE(BigInt(segment.length), at + 24);
    bytes.writeBigUInt64LE(BigInt(segment.records), at + 32);
    bytes.writeBigUInt64LE(BigInt(segment.rawBytes), at + 40);
    bytes.writeUInt32LE(crc32c(bytes.subarray(at, at + ENTRY_CRC_OFFSET)), at + ENTRY_CRC_OFFSET);
  }
  const trailer = bytes.subarray(bytes.length - TRAILER_BYTES);
  trailer.writeBigUInt64LE(BigInt(indexOffset), 0);
  trailer.writeUInt32LE(sorted.length, 8);
  trailer.set(owner.job, 16);
  trailer.writeUInt32LE(owner.task, 24);
  trailer.writeUInt32LE(owner.attempt, 28);
  trailer.writeUInt32LE(trailerChecksum(trailer), 12);
  trailer.write(END_MAGIC, 32, "latin1");
  return bytes;
}

/** Checksum of a trailer: of all its fields but the checksum itself and the magic. */
export function trailerChecksum(trailer: Buffer): number {
  return crc32c(trailer.subarray(16, 32), crc32c(trailer.subarray(0, 12)));
}

/** First 8 bytes of the SHA-256 of the job id. */
export function jobFingerprint(jobId: string): Buffer {
  return createHash("sha256").update(jobId).digest().subarray(0, 8);
}
