import { closeSync } from "node:fs";
import { crc32c } from "../base/crc32.ts";
import { checkBlockHeader } from "./block-header.ts";
import { lz4Decompress } from "./lz4.ts";
import type { Segment } from "./run-format.ts";
import { BLOCK_CRC_OFFSET, BLOCK_HEADER_BYTES, CODEC_LZ4 } from "./run-format.ts";
import { blockCorrupt, openRun, readFully } from "./run-index.ts";
import type { RunIndex } from "./run-index.ts";
import type { RunSource } from "./run-source.ts";

export interface StoredBlock {
  readonly codec: number;
  readonly rawLength: number;
  readonly records: number;
  /** Borrowed: valid until the next call. */
  readonly stored: Buffer;
  /** Where it lies in the file. */
  readonly offset: number;
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
    const block = this.nextStored();
    if (block === null) return null;
    const raw = block.codec === CODEC_LZ4 ? lz4Decompress(block.stored) : block.stored;
    if (raw.length !== block.rawLength)
      throw blockCorrupt(this.#index.path, "a block has another size than it says", block.offset);
    return raw;
  }

  /** The next block as it lies in the file; its checksum is right. */
  nextStored(): StoredBlock | null {
    if (this.#block === this.#segment.blocks) {
      this.close();
      return null;
    }
    const { path } = this.#index;
    if (this.#fd < 0) this.#fd = openRun(path);
    const header = this.#header;
    readFully(this.#fd, path, header, this.#offset);
    const { job, task, attempt } = this.#index;
    const { collection, partition, run } = this.#segment;
    const wanted = { job, task, attempt, collection, partition, run, sequence: this.#block };
    checkBlockHeader(header, wanted, path, this.#offset);
    const length = header.readUInt32LE(44);
    if (this.#offset + BLOCK_HEADER_BYTES + length > this.#segment.offset + this.#segment.length) {
      throw blockCorrupt(path, `a block of ${length} bytes reaches beyond its segment`, this.#offset);
    }
    if (this.#stored.length < length) this.#stored = Buffer.allocUnsafe(length);
    const stored = this.#stored.subarray(0, length);
    readFully(this.#fd, path, stored, this.#offset + BLOCK_HEADER_BYTES);
    const want = header.readUInt32LE(BLOCK_CRC_OFFSET);
    const got = crc32c(stored, crc32c(header.subarray(0, BLOCK_CRC_OFFSET)));
    if (want !== got) {
      throw blockCorrupt(
        path,
        `a block has checksum ${got.toString(16)}, its header says ${want.toString(16)}`,
        this.#offset,
      );
    }
    const offset = this.#offset;
    this.#offset += BLOCK_HEADER_BYTES + length;
    this.#block++;
    const [rawLength, records] = [header.readUInt32LE(40), header.readUInt32LE(48)];
    return { codec: header[6]!, rawLength, records, stored, offset };
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }
}
