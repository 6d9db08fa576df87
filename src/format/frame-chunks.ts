import { SheafError } from "../base/errors.ts";
import { limits, settings } from "../base/limits.ts";
import { Promise } from "../base/own-globals.ts";
import type { Framing } from "../job/reader.ts";
import { quotePath } from "../storage/fs-error.ts";
import type { ByteFeed, Chunk, ChunkOptions, ChunkReader, FilePiece } from "./chunk.ts";
import { type FrameCutter, frameCutter, markBytes } from "./frames.ts";
import { nextRecordSearch, type StartSearch } from "./record-start.ts";
import { recordTooLarge } from "./record-too-large.ts";
import { startQuietly, throwIfAborted } from "./stream-chunks.ts";

const EMPTY = Buffer.alloc(0);
/** Read at a time past the end of the piece, where only the rest of one record is wanted. */
const EXTENSION_BYTES = 64 * 1024;
/** Room in the buffers of small pieces for the end of the last record. */
const SLACK_BYTES = 4 * 1024;
const HEAD_BYTES = 1000;
/** Buffers in a chunk at most, when a look far ahead has made one buffer of many records. */
const CHUNK_BUFFERS_MAX = 4;

export interface FrameChunksSetup {
  /** Stands at `search.from`, or at the start of the piece when there is no search. */
  readonly feed: ByteFeed;
  readonly piece: FilePiece;
  readonly framing: Exclude<Framing, { kind: "stream" }>;
  readonly search: StartSearch | null;
  readonly options: ChunkOptions;
}

/**
 * Cuts the bytes of a piece into chunks of whole records.
 *
 * Two buffers take turns. The front one holds the begun record left over from the chunk before (`carry`),
 * then fresh bytes. Its whole records go to the caller; what is left is copied to the back one, which then
 * becomes the front and is filled while the caller works.
 */
export class FrameChunks implements ChunkReader {
  header: Uint8Array = EMPTY;
  readonly #feed: ByteFeed;
  readonly #piece: FilePiece;
  readonly #framing: Exclude<Framing, { kind: "stream" }>;
  readonly #cutter: FrameCutter;
  readonly #options: ChunkOptions;
  readonly #recordBytesMax: number;
  /** Bytes of a longest allowed record with its terminator. */
  readonly #recordSpan: number;
  /** Bytes that tell for sure where a record of such a length ends. */
  readonly #lookSpan: number;
  /** Usual size of a buffer; a longer record makes it grow. */
  readonly #bufferBytes: number;
  /** Where the piece ends; not known for compressed and encoded ones. */
  readonly #end: number;
  #search: StartSearch | null;
  #front: Buffer;
  #back: Buffer = EMPTY;
  #carry = 0;
  /** Offsets in the file: of front[0], and of the next byte to be read. */
  #base: number;
  #position: number;
  #pending: Promise<number> | null = null;
  #wanted = 0;
  /** All bytes up to the end of the piece have been read. */
  #exhausted = false;
  #done = false;
  #first: Chunk | null = null;

  constructor({ feed, piece, framing, search, options }: FrameChunksSetup) {
    this.#feed = feed;
    this.#piece = piece;
    this.#framing = framing;
    this.#options = options;
    this.#recordBytesMax = Math.max(
      options.recordBytesMax ?? settings.recordBytes.default,
      framing.kind === "fixed" ? framing.bytes : 1,
    );
    this.#cutter = frameCutter(framing, this.#recordBytesMax);
    this.#recordSpan = this.#recordBytesMax + this.#cutter.terminatorBytes;
    this.#lookSpan = this.#recordSpan + this.#cutter.lookBytes;
    const isPlain = piece.compression === "none" && options.encoding === undefined;
    const rest = isPlain ? piece.end - piece.start + SLACK_BYTES : Number.POSITIVE_INFINITY;
    const wanted = Math.min(options.chunkBytes ?? limits.readChunkBytes, rest);
    // A search keeps the last bytes of what it saw; there must be room for more behind them.
    const least = this.#cutter.terminatorBytes + 1;
    this.#bufferBytes = Math.max(wanted, least);
    this.#front = Buffer.allocUnsafeSlow(this.#bufferBytes);
    this.#search = search;
    this.#end = isPlain ? piece.end : Number.POSITIVE_INFINITY;
    this.#base = search?.from ?? piece.start;
    this.#position = this.#base;
  }

  get taken(): number {
    return this.#feed.taken;
  }

  /**
   * Sets `header` to the first record, which then is in no chunk. Only at the start of a file, before `next`.
   */
  async takeHeader(): Promise<void> {
    const chunk = await this.next();
    if (chunk === null) return;
    const found = this.#cutter.firstEnd(chunk.bytes, chunk.bytes.length, 0, chunk.offset, true);
    const end = found === -1 ? chunk.bytes.length : found;
    this.header = Buffer.from(withoutLineEnd(chunk.bytes.subarray(0, end), newlineOf(this.#framing)));
    if (end < chunk.bytes.length) {
      this.#first = { bytes: chunk.bytes.subarray(end), offset: chunk.offset + end, last: false };
    }
  }

  async next(): Promise<Chunk | null> {
    const first = this.#first;
    this.#first = null;
    if (first !== null) return first;
    try {
      const chunk = await this.#cut();
      if (chunk === null && !this.#done) {
        await this.#feed.verify();
        await this.close();
      }
      return chunk;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#done = true;
    await this.#pending?.catch(() => undefined);
    await this.#feed.close();
  }

  async #cut(): Promise<Chunk | null> {
    while (!this.#done) {
      throwIfAborted(this.#options.signal);
      const length = await this.#fill();
      if (this.#search !== null) {
        if (!this.#seek(this.#search, length)) return null;
        continue;
      }
      // Bytes behind the piece were wanted to tell where its records end.
      if (length > 0 && this.#base + length > this.#end) return this.#finish(length);
      const end = this.#cutter.lastEnd(this.#front, length, this.#base);
      const fits = this.#endOfFitting(end);
      if (fits > 0) {
        const chunk = this.#deliver(this.#portion(fits), length);
        if (chunk !== null) return chunk;
      } else if (end > 0 || (!this.#exhausted && length >= this.#lookSpan)) {
        if (!this.#skipTooLarge(length)) return null;
      } else if (this.#exhausted) {
        return length === 0 ? null : this.#finish(length);
      } else if (length === this.#front.length) this.#grow(length);
    }
    return null;
  }

  /** Bytes in the front buffer, once the read that is under way, or a new one, has filled it. */
  async #fill(): Promise<number> {
    if (this.#pending === null) this.#startFill();
    const got = await this.#pending!;
    this.#pending = null;
    this.#position += got;
    if (got < this.#wanted || this.#position >= this.#end) this.#exhausted = true;
    const length = this.#carry + got;
    this.#carry = length;
    return length;
  }

  #startFill(): void {
    this.#wanted = Math.max(0, Math.min(this.#front.length - this.#carry, this.#end - this.#position));
    const target = this.#front.subarray(this.#carry, this.#carry + this.#wanted);
    this.#pending = this.#wanted === 0 ? Promise.resolve(0) : startQuietly(this.#feed.fill(target));
  }

  /** Goes on to the record looked for; false when none begins in this piece. */
  #seek(search: StartSearch, length: number): boolean {
    const at = search.find(this.#front, length);
    if (at === -1 && this.#exhausted) return false;
    const from = at === -1 ? search.keep : at;
    this.#front.copyWithin(0, from, length);
    this.#carry = length - from;
    this.#base += from;
    if (at !== -1) this.#search = null;
    return at === -1 || this.#base < this.#end;
  }

  /** End of the records in front[0, end) that come before the first one over the limit. */
  #endOfFitting(end: number): number {
    const span = this.#recordSpan;
    let fits = 0;
    // From the start of a record to the last end within its greatest span: all records between are within it
    // too.
    while (end - fits > span) {
      const next =
        this.#cutter.lookBytes === 0
          ? this.#cutter.lastEnd(this.#front.subarray(fits, fits + span), span, this.#base + fits)
          : this.#endFrom(fits, end);
      if (next <= 0 || next > span) return fits;
      fits += next;
    }
    return end;
  }

  /** Length of the record that begins at front[start] and is whole in front[0, end). */
  #endFrom(start: number, end: number): number {
    return this.#cutter.firstEnd(this.#front.subarray(start, end), end - start, 0, this.#base + start, true);
  }

  /** `end`, or the end of a record before it where a chunk to there would be far too long. */
  #portion(end: number): number {
    if (this.#cutter.lookBytes === 0 || end <= CHUNK_BUFFERS_MAX * this.#bufferBytes) return end;
    let some = 0;
    while (some < this.#bufferBytes) some += this.#endFrom(some, end);
    return some;
  }

  #deliver(end: number, length: number): Chunk | null {
    const full = this.#front;
    const rest = length - end;
    const offset = this.#base;
    const wanted = rest > this.#bufferBytes / 2 ? rest + this.#bufferBytes : this.#bufferBytes;
    if (!this.#exhausted || rest > 0) {
      if (this.#back.length < wanted || this.#back.length > 4 * wanted)
        this.#back = Buffer.allocUnsafeSlow(wanted);
      full.copy(this.#back, 0, end, length);
      this.#front = this.#back;
      this.#back = full;
    }
    this.#carry = rest;
    this.#base += end;
    if (!this.#exhausted) this.#startFill();
    return this.#chunk(full.subarray(0, end), offset);
  }

  #chunk(bytes: Buffer, offset: number): Chunk | null {
    const mark = this.#framing.kind === "fixed" ? 0 : markBytes(bytes, bytes.length, offset);
    if (mark === 0) return { bytes, offset, last: false };
    return bytes.length === mark ? null : { bytes: bytes.subarray(mark), offset: mark, last: false };
  }

  #grow(length: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(length + 1, Math.min(length * 2, this.#lookSpan)));
    this.#front.copy(larger, 0, 0, length);
    this.#front = larger;
  }

  /**
   * The records that begin in the piece and do not surely end in it: reads on behind it until one does, or to
   * the end of the file.
   */
  async #finish(begun: number): Promise<Chunk | null> {
    let length = begun;
    for (let searched = 0, final = false; ;) {
      const { end, tooLarge } = this.#endOfBegun(length, searched, final);
      if (end > 0) {
        const chunk = this.#deliver(end, this.#base + end >= this.#end ? end : length);
        if (chunk !== null || this.#carry === 0) return chunk;
        return this.#finish(this.#carry);
      }
      if (tooLarge) {
        return this.#skipTooLarge(length) ? this.#finish(this.#carry) : this.#nothingLeft();
      }
      if (final) return this.#nothingLeft();
      searched = length;
      if (length === this.#front.length) this.#grow(length);
      const room = Math.min(this.#front.length - length, Math.max(EXTENSION_BYTES, length));
      const got = await this.#feed.fill(this.#front.subarray(length, length + room));
      length += got;
      final = got === 0;
      if (final && this.#framing.kind === "fixed") throw this.#shortRecord(length);
    }
  }

  /**
   * End in front[0, length) of the records that begin in the piece, up to the first that is not to be had.
   */
  #endOfBegun(length: number, searched: number, final: boolean): { end: number; tooLarge: boolean } {
    let end = 0;
    while (end < length && this.#base + end < this.#end) {
      const left = length - end;
      const bytes = end === 0 ? this.#front : this.#front.subarray(end);
      const found = this.#cutter.firstEnd(bytes, left, end === 0 ? searched : 0, this.#base + end, final);
      const tooLarge =
        found === -1
          ? left >= this.#lookSpan || (final && left > this.#recordBytesMax)
          : found > this.#recordSpan;
      if (tooLarge) return { end, tooLarge };
      if (found === -1 && !final) break;
      end += found === -1 ? left : found;
    }
    return { end, tooLarge: false };
  }

  #nothingLeft(): null {
    this.#carry = 0;
    return null;
  }

  #skipTooLarge(length: number): boolean {
    this.#reportTooLarge(length);
    this.#search = nextRecordSearch(this.#base, this.#framing, this.#recordBytesMax);
    return this.#seek(this.#search, length);
  }

  #reportTooLarge(length: number): void {
    const { name } = this.#piece;
    const offset = this.#base;
    const error = recordTooLarge(name, offset, this.#recordBytesMax);
    if (this.#options.onTooLarge === undefined) throw error;
    this.#options.onTooLarge(error, offset, this.#front.subarray(0, Math.min(length, HEAD_BYTES)));
  }

  #shortRecord(length: number): SheafError {
    const { name } = this.#piece;
    const size = this.#framing.kind === "fixed" ? this.#framing.bytes : 0;
    return new SheafError(
      "RECORD_INVALID",
      `${quotePath(name)}:${this.#base}: the last record has ${length} bytes, every record must have ${size}`,
      {
        hint: "Check the record length given to the reader, and that the file is complete.",
        details: { path: name, offset: this.#base },
      },
    );
  }
}

function newlineOf(framing: Framing): number {
  if (framing.kind === "quoted") return framing.newline ?? 10;
  return (framing.kind === "delimiter" ? framing.delimiter.at(-1) : undefined) ?? 10;
}

/** The line without the line end, "\r\n" for "\n" too, that it may have. */
function withoutLineEnd(line: Uint8Array, newline: number): Uint8Array {
  let end = line.length;
  if (line[end - 1] !== newline) return line;
  end--;
  return line.subarray(0, newline !== 13 && end > 0 && line[end - 1] === 13 ? end - 1 : end);
}
