import type { Framing } from "../job/reader.ts";
import { QUOTED_LOOK_BYTES, QuotedRows } from "./quoted-rows.ts";

/**
 * Finds where records end in bytes that begin at a record's first byte.
 * Positions are one past a record's last byte, terminator included.
 */
export interface FrameCutter {
  /**
   * End of the last whole record in bytes[0, length), 0 when none is whole.
   * @param base offset of bytes[0] in the file
   */
  lastEnd(bytes: Buffer, length: number, base: number): number;
  /**
   * End of the first whole record in bytes[0, length), or -1. Bytes before `from` were searched by an earlier
   * call on the same record, so the cutter may resume there.
   * @param final nothing comes behind these bytes, or nothing that matters
   */
  firstEnd(bytes: Buffer, length: number, from: number, base: number, final: boolean): number;
  /** Bytes of terminator a record of the largest size may have on top. */
  readonly terminatorBytes: number;
  /** Bytes behind those that may be wanted to tell where the record ends. */
  readonly lookBytes: number;
}

/**
 * The cutter of every framing but `stream`, which has no frames.
 * @param recordBytesMax of a record, its terminator not counted
 */
export function frameCutter(
  framing: Exclude<Framing, { kind: "stream" }>,
  recordBytesMax: number,
): FrameCutter {
  switch (framing.kind) {
    case "delimiter":
      return framing.delimiter.length === 1
        ? new ByteCutter(framing.delimiter[0]!)
        : new SequenceCutter(Buffer.from(framing.delimiter));
    case "quoted":
      return new QuotedCutter(new QuotedRows(framing, recordBytesMax));
    case "fixed":
      return new FixedCutter(framing.bytes);
  }
}

class ByteCutter implements FrameCutter {
  readonly terminatorBytes = 1;
  readonly lookBytes = 0;
  readonly #delimiter: number;

  constructor(delimiter: number) {
    this.#delimiter = delimiter;
  }

  lastEnd(bytes: Buffer, length: number): number {
    return length === 0 ? 0 : bytes.lastIndexOf(this.#delimiter, length - 1) + 1;
  }

  firstEnd(bytes: Buffer, length: number, from: number): number {
    const at = bytes.indexOf(this.#delimiter, from);
    return at === -1 || at >= length ? -1 : at + 1;
  }
}

class SequenceCutter implements FrameCutter {
  readonly terminatorBytes: number;
  readonly lookBytes = 0;
  readonly #delimiter: Buffer;
  readonly #overlaps: boolean;

  constructor(delimiter: Buffer) {
    this.#delimiter = delimiter;
    this.terminatorBytes = delimiter.length;
    this.#overlaps = overlapsItself(delimiter);
  }

  lastEnd(bytes: Buffer, length: number): number {
    const size = this.#delimiter.length;
    if (length < size) return 0;
    if (!this.#overlaps) {
      const at = bytes.lastIndexOf(this.#delimiter, length - size);
      return at === -1 ? 0 : at + size;
    }
    let end = 0;
    for (let next = this.firstEnd(bytes, length, 0); next !== -1; next = this.#after(bytes, length, end))
      end = next;
    return end;
  }

  firstEnd(bytes: Buffer, length: number, from: number): number {
    return this.#after(bytes, length, Math.max(0, from - this.#delimiter.length + 1));
  }

  #after(bytes: Buffer, length: number, from: number): number {
    const at = bytes.indexOf(this.#delimiter, from);
    return at === -1 || at + this.#delimiter.length > length ? -1 : at + this.#delimiter.length;
  }
}

class QuotedCutter implements FrameCutter {
  readonly terminatorBytes = 1;
  readonly lookBytes = QUOTED_LOOK_BYTES;
  readonly #rows: QuotedRows;

  constructor(rows: QuotedRows) {
    this.#rows = rows;
  }

  lastEnd(bytes: Buffer, length: number, base: number): number {
    const start = markBytes(bytes, length, base);
    const end = this.#rows.lastEnd(bytes, start, length);
    return end === start ? 0 : end;
  }

  firstEnd(bytes: Buffer, length: number, _from: number, base: number, final: boolean): number {
    return this.#rows.end(bytes, markBytes(bytes, length, base), length, final);
  }
}

class FixedCutter implements FrameCutter {
  readonly terminatorBytes = 0;
  readonly lookBytes = 0;
  readonly #size: number;

  constructor(size: number) {
    this.#size = size;
  }

  lastEnd(_bytes: Buffer, length: number): number {
    return length - (length % this.#size);
  }

  firstEnd(_bytes: Buffer, length: number): number {
    return length < this.#size ? -1 : this.#size;
  }
}

/**
 * True when two occurrences can share bytes ("\n\n", "aba"): then only a scan from a record's start tells
 * which count.
 */
export function overlapsItself(delimiter: Uint8Array): boolean {
  const bytes = Buffer.from(delimiter);
  for (let size = 1; size < bytes.length; size++) {
    if (bytes.subarray(0, size).equals(bytes.subarray(bytes.length - size))) return true;
  }
  return false;
}

/** Bytes of the byte order mark that a file begins with: 3, or 0 where there is none. */
export function markBytes(bytes: Uint8Array, length: number, base: number): number {
  return base === 0 && length >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
}
