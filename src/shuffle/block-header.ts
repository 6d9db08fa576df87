import type { RunOwner } from "./run-format.ts";
import { BLOCK_MAGIC, CODEC_LZ4, CODEC_STORED, RUN_FILE_VERSION } from "./run-format.ts";
import { blockCorrupt } from "./run-index.ts";

/** Whose block is expected at a place. */
export interface BlockOwner extends RunOwner {
  readonly collection: number;
  readonly partition: number;
  readonly run: number;
  /** Number of the block in its segment. */
  readonly sequence: number;
}

/** All of a block's header but lengths and checksum. @throws SheafError BLOCK_CORRUPT */
export function checkBlockHeader(header: Buffer, wanted: BlockOwner, path: string, offset: number): void {
  if (header.readUInt32LE(0) !== BLOCK_MAGIC || header.readUInt16LE(4) !== RUN_FILE_VERSION) {
    throw blockCorrupt(path, "no block begins here", offset);
  }
  if (
    !header.subarray(8, 16).equals(wanted.job) ||
    header.readUInt32LE(16) !== wanted.task ||
    header.readUInt32LE(20) !== wanted.attempt ||
    header.readUInt32LE(24) !== wanted.collection ||
    header.readUInt32LE(28) !== wanted.partition ||
    header.readUInt32LE(32) !== wanted.run ||
    header.readUInt32LE(36) !== wanted.sequence
  ) {
    throw blockCorrupt(path, "a block of another job, attempt, partition or place", offset);
  }
  if (header[6] !== CODEC_STORED && header[6] !== CODEC_LZ4) {
    throw blockCorrupt(path, `unknown codec ${header[6]}`, offset);
  }
}
