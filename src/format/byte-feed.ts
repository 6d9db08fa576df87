import { SheafError, isSheafError } from "../base/errors.ts";
import { quotePath } from "../storage/fs-error.ts";
import { openRange } from "../storage/read-range.ts";
import type { RangeReader } from "../storage/store.ts";
import type { ByteFeed, TextRules } from "./chunk.ts";
import type { FilePiece } from "./chunk.ts";
import { decompress } from "./decompress.ts";
import { checkText, CONTENT_HEAD_BYTES } from "./foreign-content.ts";
import { EncodedFeed, type TextEncoding } from "./text-encoding.ts";
import { checkLineEnds, checkNarrow, LINE_END_BYTES } from "./text-form.ts";
import { FrameNeeds, unreadableFrame } from "./zstd-frames.ts";

/**
 * Opens a piece at byte `from` (0 for compressed files) of its file.
 * @param rules for what is compressed; plain files were looked at when the job was planned
 */
export async function openFeed(piece: FilePiece, from: number, rules: TextRules = {}): Promise<ByteFeed> {
  const { content, encoding } = rules;
  const range = await openRange(piece);
  const feed =
    piece.compression === "none"
      ? new PlainFeed(piece, range, from)
      : new CompressedFeed(piece, range, content);
  if (encoding === undefined) return feed;
  return new EncodedFeed(feed, piece.name, encoding.name as TextEncoding, encoding.strict);
}

class PlainFeed implements ByteFeed {
  readonly #fileBytes: number;
  readonly #range: RangeReader;
  #at: number;

  constructor(piece: FilePiece, range: RangeReader, from: number) {
    this.#fileBytes = piece.fileBytes;
    this.#range = range;
    this.#at = from;
  }

  get taken(): number {
    return this.#at;
  }

  async fill(target: Uint8Array): Promise<number> {
    const wanted = Math.min(target.length, this.#fileBytes - this.#at);
    if (wanted <= 0) return 0;
    await this.#range.read(wanted === target.length ? target : target.subarray(0, wanted), this.#at);
    this.#at += wanted;
    return wanted;
  }

  verify(): Promise<void> {
    return this.#range.verify();
  }

  close(): Promise<void> {
    return this.#range.close();
  }
}

const NOTHING = new Uint8Array(0);
const COMPRESSED_READ_BYTES = 256 * 1024;

class CompressedFeed implements ByteFeed {
  taken = 0;
  readonly #piece: FilePiece;
  readonly #range: RangeReader;
  readonly #content: TextRules["content"];
  readonly #output: AsyncIterator<Uint8Array>;
  #block: Uint8Array = new Uint8Array(0);
  #ended = false;
  /** The first blocks, until they suffice to tell what this is; null when that is done. */
  #head: Uint8Array[] | null;
  #outputBytes = 0;

  constructor(piece: FilePiece, range: RangeReader, content: TextRules["content"]) {
    this.#piece = piece;
    this.#range = range;
    this.#content = content;
    this.#head = content === undefined ? null : [];
    const kind = piece.compression === "none" ? "gzip" : piece.compression;
    this.#output = decompress(kind, this.#compressed(), piece.fileBytes)[Symbol.asyncIterator]();
  }

  async *#compressed(): AsyncGenerator<Uint8Array> {
    const { fileBytes } = this.#piece;
    for (let at = 0; at < fileBytes; at += COMPRESSED_READ_BYTES) {
      // A fresh buffer each time: the decompressor may still hold the one before.
      const block = Buffer.allocUnsafeSlow(Math.min(COMPRESSED_READ_BYTES, fileBytes - at));
      await this.#range.read(block, at);
      this.taken = at + block.length;
      yield block;
    }
  }

  async fill(target: Uint8Array): Promise<number> {
    let done = 0;
    while (done < target.length) {
      if (this.#block.length === 0) {
        if (await this.#nextBlock()) continue;
        break;
      }
      const some = this.#block.subarray(0, target.length - done);
      target.set(some, done);
      done += some.length;
      this.#block = this.#block.subarray(some.length);
    }
    this.#outputBytes += done;
    return done;
  }

  async #nextBlock(): Promise<boolean> {
    if (this.#ended) return false;
    try {
      const next = await this.#output.next();
      if (next.done !== true) {
        this.#block = this.#head === null ? next.value : this.#checked(next.value, this.#head);
        return true;
      }
      this.#ended = true;
      if (this.#head === null) return false;
      this.#block = this.#checked(null, this.#head);
      return this.#block.length > 0;
    } catch (error) {
      this.#ended = true;
      if (error instanceof FrameNeeds) throw unreadableFrame(this.#piece.name, error);
      throw isSheafError(error) ? error : this.#corrupt(error);
    }
  }

  /** The blocks held back and this one (null: there are no more), when they are enough to be looked at. */
  #checked(block: Uint8Array | null, held: Uint8Array[]): Uint8Array {
    const bytes = block !== null && held.length === 0 ? block : Buffer.concat([...held, block ?? NOTHING]);
    if (block !== null && bytes.length < CONTENT_HEAD_BYTES) {
      held.splice(0, held.length, Uint8Array.from(bytes));
      return NOTHING;
    }
    this.#head = null;
    const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, CONTENT_HEAD_BYTES));
    checkText(this.#piece.name, { head }, this.#piece.compression);
    checkNarrow(this.#piece.name, head);
    if (this.#content === "lines") checkLineEnds(this.#piece.name, bytes.subarray(0, LINE_END_BYTES));
    return bytes;
  }

  #corrupt(cause: unknown): SheafError {
    const { name, compression } = this.#piece;
    const why = cause instanceof Error ? cause.message : String(cause);
    return new SheafError(
      "INPUT_CORRUPT",
      `input ${quotePath(name)}: the ${compression} data is damaged or cut: ${why} ` +
        `(after ${this.#outputBytes} decompressed bytes)`,
      {
        hint: "Nothing of this file was committed. Fetch or compress the file again.",
        cause,
        details: { path: name, offset: this.#outputBytes },
      },
    );
  }

  verify(): Promise<void> {
    return this.#range.verify();
  }

  async close(): Promise<void> {
    await this.#output.return?.().catch(() => undefined);
    await this.#range.close();
  }
}
