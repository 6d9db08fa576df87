import { createHash } from "node:crypto";
import { closeSync } from "node:fs";
import { crc32c } from "../base/crc32.ts";
import { checkBlockHeader } from "./block-header.ts";
import { tailChecksum } from "./crc-shift.ts";
import { BLOCK_CRC_OFFSET, BLOCK_HEADER_BYTES } from "./run-format.ts";
import { openRun, readFully, readOpenRunIndex } from "./run-index.ts";

/** The fields of a block's header that say what is in it, not whose it is. */
const CONTENT_FIELDS: readonly (readonly [from: number, to: number])[] = [
  [6, 7],
  [24, BLOCK_CRC_OFFSET],
];

export interface RunDigest {
  /** Size of the file. */
  readonly bytes: number;
  /**
   * Says in 64 hex digits what the file holds, whichever job, task and attempt wrote it: two attempts of a
   * map that is deterministic have the same.
   */
  readonly fingerprint: string;
}

/**
 * What a run file holds, in short. Reads the index and the blocks' headers only: what a payload's
 * checksum is follows from the block's. Takes 5 us a block.
 * @throws SheafError BLOCK_CORRUPT when an index or a header is damaged; payloads are not looked at
 */
export function runDigest(path: string): RunDigest {
  const hash = createHash("sha256");
  const fd = openRun(path);
  try {
    const { bytes, job, task, attempt, segments } = readOpenRunIndex(fd, path);
    const header = Buffer.alloc(BLOCK_HEADER_BYTES);
    const checksum = Buffer.alloc(4);
    for (const { collection, partition, run, offset, blocks } of segments) {
      let at = offset;
      for (let sequence = 0; sequence < blocks; sequence++) {
        readFully(fd, path, header, at);
        checkBlockHeader(header, { job, task, attempt, collection, partition, run, sequence }, path, at);
        const storedLength = header.readUInt32LE(44);
        const head = crc32c(header.subarray(0, BLOCK_CRC_OFFSET));
        checksum.writeUInt32LE(tailChecksum(header.readUInt32LE(BLOCK_CRC_OFFSET), head, storedLength));
        for (const [from, to] of CONTENT_FIELDS) hash.update(header.subarray(from, to));
        hash.update(checksum);
        at += BLOCK_HEADER_BYTES + storedLength;
      }
    }
    return { bytes, fingerprint: hash.digest("hex") };
  } finally {
    closeSync(fd);
  }
}
