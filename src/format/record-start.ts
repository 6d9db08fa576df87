import type { Framing } from "../job/reader.ts";
import { openRange } from "../storage/read-range.ts";
import type { FilePiece } from "./chunk.ts";
import { markBytes, overlapsItself } from "./frames.ts";
import { QuotedRows } from "./quoted-rows.ts";

const NEWLINE = 10;

/** Looks for the first record that begins at or after some place, in bytes handed to it in order. */
export interface StartSearch {
  /** Offset in the file of the first byte it wants to see. */
  readonly from: number;
  /**
   * Index of the record's first byte in bytes[0, length), `length` when it comes next, or -1: then the search
   * goes on, and wants to see the bytes from index `keep` on again.
   */
  find(bytes: Buffer, length: number): number;
  readonly keep: number;
}

type FramedKind = Exclude<Framing, { kind: "stream" }>;

/** How to find the first record of a piece; null when the piece begins with it. */
export async function firstRecordSearch(piece: FilePiece, framing: FramedKind): Promise<StartSearch | null> {
  const { start } = piece;
  if (start === 0) return null;
  switch (framing.kind) {
    case "delimiter": {
      const delimiter = Buffer.from(framing.delimiter);
      if (!overlapsItself(delimiter))
        return new DelimiterSearch(Math.max(0, start - delimiter.length), start, delimiter);
      return new DelimiterSearch(await certainPlace(piece, delimiter), start, delimiter);
    }
    case "quoted":
      return new FixedSearch(piece.recordStart ?? start, 0);
    case "fixed": {
      const over = start % framing.bytes;
      return over === 0 ? null : new FixedSearch(start, framing.bytes - over);
    }
  }
}

/** How to find the record after the one that begins at `from`, which is over the limit. */
export function nextRecordSearch(from: number, framing: FramedKind, recordBytesMax: number): StartSearch {
  switch (framing.kind) {
    case "delimiter":
      return new DelimiterSearch(from, from, Buffer.from(framing.delimiter));
    case "quoted":
      return new QuotedSearch(from, framing, recordBytesMax);
    case "fixed":
      return new FixedSearch(from, framing.bytes);
  }
}

class DelimiterSearch implements StartSearch {
  readonly from: number;
  keep = 0;
  readonly #start: number;
  readonly #delimiter: Buffer;
  #base: number;

  constructor(from: number, start: number, delimiter: Buffer) {
    this.from = from;
    this.#base = from;
    this.#start = start;
    this.#delimiter = delimiter;
  }

  find(bytes: Buffer, length: number): number {
    const size = this.#delimiter.length;
    let after = 0;
    for (;;) {
      const at = bytes.indexOf(this.#delimiter, after);
      if (at === -1 || at + size > length) break;
      after = at + size;
      if (this.#base + after >= this.#start) return after;
    }
    this.keep = Math.max(after, length - size + 1, 0);
    this.#base += this.keep;
    return -1;
  }
}

/** For the record behind one of more bytes than a quoted field may reach over. */
class QuotedSearch implements StartSearch {
  readonly from: number;
  keep = 0;
  readonly #newline: number;
  /** Until the bytes a quoted field may reach over have been seen, the first ones that are shown. */
  #rows: QuotedRows | null;

  constructor(from: number, framing: Extract<Framing, { kind: "quoted" }>, recordBytesMax: number) {
    this.from = from;
    this.#newline = framing.newline ?? NEWLINE;
    this.#rows = new QuotedRows(framing, recordBytesMax);
  }

  find(bytes: Buffer, length: number): number {
    this.keep = length;
    const rows = this.#rows;
    this.#rows = null;
    if (rows !== null) return rows.end(bytes, markBytes(bytes, length, this.from), length, false);
    const at = bytes.indexOf(this.#newline);
    return at === -1 || at >= length ? -1 : at + 1;
  }
}

class FixedSearch implements StartSearch {
  readonly from: number;
  keep = 0;
  #skip: number;

  constructor(from: number, skip: number) {
    this.from = from;
    this.#skip = skip;
  }

  find(_bytes: Buffer, length: number): number {
    if (this.#skip <= length) return this.#skip;
    this.#skip -= length;
    this.keep = length;
    return -1;
  }
}

const LOOK_BACK_BYTES = 64 * 1024;

/**
 * A place at or before the piece from which matches of a delimiter that can overlap itself may be counted:
 * just behind a byte that is no part of the delimiter, or the start of the file. Usually a few bytes back.
 */
async function certainPlace(piece: FilePiece, delimiter: Buffer): Promise<number> {
  const range = await openRange(piece);
  try {
    const block = Buffer.allocUnsafeSlow(LOOK_BACK_BYTES);
    for (let end = piece.start; end > 0;) {
      const begin = Math.max(0, end - block.length);
      const some = block.subarray(0, end - begin);
      await range.read(some, begin);
      for (let i = some.length - 1; i >= 0; i--) if (!delimiter.includes(some[i]!)) return begin + i + 1;
      end = begin;
    }
    return 0;
  } finally {
    await range.close();
  }
}
