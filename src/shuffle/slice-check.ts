import { crc32c } from "../base/crc32.ts";
import { checkBlockHeader } from "./block-header.ts";
import type { RunOwner, Segment } from "./run-format.ts";
import {
  BLOCK_CRC_OFFSET,
  BLOCK_HEADER_BYTES,
  FILE_HEADER_BYTES,
  INDEX_ENTRY_BYTES,
  TRAILER_BYTES,
} from "./run-format.ts";
import type { PartitionPlace } from "./run-index.ts";
import { checkFileHeader, blockCorrupt, parseEntry, parseTrailer } from "./run-index.ts";

export interface ExpectedSlice {
  /** Whose it has to be. */
  readonly owner: RunOwner;
  readonly place: PartitionPlace;
  /** Size of the whole slice. */
  readonly bytes: number;
  /** What it is called in errors. */
  readonly name: string;
}

type Part = "file header" | "block header" | "payload" | "index entry" | "trailer" | "nothing";

/**
 * Checks the bytes of one slice (partition-slice.ts) as they arrive, in chunks of any size: that it is a
 * run file of that attempt which holds that partition and nothing else, every block by its checksum, and that
 * index and trailer say what was there. Keeps 56 bytes and an entry per run.
 */
export class SliceCheck {
  readonly #expected: ExpectedSlice;
  readonly #segments: OpenSegment[] = [];
  #part: Part = "file header";
  readonly #head = Buffer.alloc(BLOCK_HEADER_BYTES);
  #headLength = 0;
  #payloadLeft = 0;
  #checksum = 0;
  #wantedChecksum = 0;
  #entries = 0;
  #indexOffset = 0;
  #offset = 0;

  constructor(expected: ExpectedSlice) {
    this.#expected = expected;
    const least = FILE_HEADER_BYTES + TRAILER_BYTES;
    if (expected.bytes < least)
      throw blockCorrupt(expected.name, `${expected.bytes} bytes are too few for a run file`);
  }

  /** Bytes seen so far. */
  get offset(): number {
    return this.#offset;
  }

  /** All of it was there, and right. */
  get done(): boolean {
    return this.#part === "nothing";
  }

  /** It holds no records. */
  get empty(): boolean {
    return this.#segments.length === 0;
  }

  /** The next bytes; they are not kept. @throws SheafError BLOCK_CORRUPT at the first that is wrong */
  feed(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      if (this.#part === "nothing")
        throw blockCorrupt(this.#expected.name, "bytes behind its end", this.#offset);
      at += this.#part === "payload" ? this.#feedPayload(bytes, at) : this.#feedHead(bytes, at);
    }
  }

  #feedPayload(bytes: Buffer, at: number): number {
    const part = bytes.subarray(at, at + this.#payloadLeft);
    this.#checksum = crc32c(part, this.#checksum);
    this.#payloadLeft -= part.length;
    this.#offset += part.length;
    if (this.#payloadLeft === 0) this.#endBlock();
    return part.length;
  }

  #feedHead(bytes: Buffer, at: number): number {
    const wanted = this.#headBytes();
    const taken = bytes.copy(this.#head, this.#headLength, at, at + wanted - this.#headLength);
    this.#headLength += taken;
    this.#offset += taken;
    if (this.#headLength === wanted) {
      this.#headLength = 0;
      this.#takeHead(this.#head.subarray(0, wanted), this.#offset - wanted);
    }
    return taken;
  }

  #headBytes(): number {
    if (this.#part === "file header") return FILE_HEADER_BYTES;
    if (this.#part === "block header") return BLOCK_HEADER_BYTES;
    return this.#part === "index entry" ? INDEX_ENTRY_BYTES : TRAILER_BYTES;
  }

  #takeHead(head: Buffer, offset: number): void {
    const { name } = this.#expected;
    if (this.#part === "file header") {
      checkFileHeader(head, name, offset);
      this.#beginNext();
    } else if (this.#part === "block header") this.#beginBlock(head, offset);
    else if (this.#part === "index entry") this.#checkEntry(head, offset);
    else this.#checkTrailer(head, offset);
  }

  /** What comes after the file header or a block follows from how much is left. */
  #beginNext(): void {
    const { bytes, name } = this.#expected;
    const left = bytes - this.#offset;
    const end = this.#segments.length * INDEX_ENTRY_BYTES + TRAILER_BYTES;
    if (left < end) throw blockCorrupt(name, "a block reaches into the index", this.#offset);
    if (left > end) this.#part = "block header";
    else {
      this.#indexOffset = this.#offset;
      this.#part = this.#segments.length > 0 ? "index entry" : "trailer";
    }
  }

  #beginBlock(header: Buffer, offset: number): void {
    const { name, owner, place, bytes } = this.#expected;
    const sequence = header.readUInt32LE(36);
    const run = header.readUInt32LE(32);
    const last = this.#segments.at(-1);
    const begins = sequence === 0 && (last === undefined || run > last.run);
    const wanted = begins ? { run, sequence } : { run: last?.run ?? run, sequence: last?.blocks ?? 0 };
    checkBlockHeader(header, { ...owner, ...place, ...wanted }, name, offset);
    if (begins) this.#segments.push({ ...place, run, blocks: 0, offset, length: 0, records: 0, rawBytes: 0 });
    const segment = this.#segments.at(-1)!;
    const stored = header.readUInt32LE(44);
    if (stored > bytes - this.#offset)
      throw blockCorrupt(name, "a block is longer than all that follows", offset);
    segment.blocks++;
    segment.length += BLOCK_HEADER_BYTES + stored;
    segment.rawBytes += header.readUInt32LE(40);
    segment.records += header.readUInt32LE(48);
    this.#checksum = crc32c(header.subarray(0, BLOCK_CRC_OFFSET));
    this.#wantedChecksum = header.readUInt32LE(BLOCK_CRC_OFFSET);
    this.#payloadLeft = stored;
    this.#part = "payload";
    if (stored === 0) this.#endBlock();
  }

  #endBlock(): void {
    if (this.#checksum !== this.#wantedChecksum) {
      const [got, want] = [this.#checksum.toString(16), this.#wantedChecksum.toString(16)];
      throw blockCorrupt(
        this.#expected.name,
        `a block has checksum ${got}, its header says ${want}`,
        this.#offset - 1,
      );
    }
    this.#beginNext();
  }

  #checkEntry(bytes: Buffer, offset: number): void {
    const { name } = this.#expected;
    const says = parseEntry(bytes, name, offset);
    const was = this.#segments[this.#entries++]!;
    const same = (Object.keys(was) as (keyof Segment)[]).every((field) => says[field] === was[field]);
    if (!same) throw blockCorrupt(name, "the index says something else than was there", offset);
    if (this.#entries === this.#segments.length) this.#part = "trailer";
  }

  #checkTrailer(bytes: Buffer, offset: number): void {
    const { name, owner, bytes: size } = this.#expected;
    const trailer = parseTrailer(bytes, size, name, offset);
    const { job, task, attempt } = trailer;
    if (!job.equals(owner.job) || task !== owner.task || attempt !== owner.attempt)
      throw blockCorrupt(name, "the trailer is that of another job or attempt", offset);
    if (trailer.entries !== this.#segments.length || trailer.indexOffset !== this.#indexOffset)
      throw blockCorrupt(name, "the trailer says something else than was there", offset);
    this.#part = "nothing";
  }
}

type OpenSegment = { -readonly [Field in keyof Segment]: Segment[Field] };
