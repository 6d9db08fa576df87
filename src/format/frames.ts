import type { Framing } from "../job/reader.ts";

const NEWLINE = 10;

/**
 * Finds where records end in bytes that begin at a record's first byte.
 * Positions are one past a record's last byte, terminator included.
 */
export interface FrameCutter {
  /** End of the last whole record in bytes[0, length), 0 when none is whole. */
  lastEnd(bytes: Buffer, length: number): number;
  /**
   * End of the first whole record in bytes[0, length), or -1. Bytes before `from` were searched by an earlier
   * call on the same record, so the cutter may resume there.
   */
  firstEnd(bytes: Buffer, length: number, from: number): number;
  /** Bytes of terminator a record of the largest size may have on top. */
  readonly terminatorBytes: number;
}

/** The cutter of every framing but `stream`, which has no frames. */
export function frameCutter(framing: Exclude<Framing, { kind: "stream" }>): FrameCutter {
  switch (framing.kind) {
    case "delimiter":
      return framing.delimiter.length === 1
        ? new ByteCutter(framing.delimiter[0]!)
        : new SequenceCutter(Buffer.from(framing.delimiter));
    case "quoted":
      return new QuotedCutter(framing.quote);
    case "fixed":
      return new FixedCutter(framing.bytes);
  }
}

class ByteCutter implements FrameCutter {
  readonly terminatorBytes = 1;
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
  readonly #quote: number;
  // Of the record that firstEnd is being asked about.
  #inside = false;

  constructor(quote: number) {
    this.#quote = quote;
  }

  lastEnd(bytes: Buffer, length: number): number {
    // lastIndexOf would take the place before 0 for the end of the buffer.
    if (length === 0) return 0;
    if (length === 0) return 0;
    const quote = this.#quote;
    const firstQuote = bytes.indexOf(quote);
    if (firstQuote === -1 || firstQuote >= length) return bytes.lastIndexOf(NEWLINE, length - 1) + 1;
    let end = 0;
    let inside = false;
    for (let i = 0; i < length; i++) {
      const byte = bytes[i];
      if (byte === quote) inside = !inside;
      else if (byte === NEWLINE && !inside) end = i + 1;
    }
    return end;
  }

  firstEnd(bytes: Buffer, length: number, from: number): number {
    if (from === 0) this.#inside = false;
    let inside = this.#inside;
    for (let i = from; i < length; i++) {
      const byte = bytes[i];
      if (byte === this.#quote) inside = !inside;
      else if (byte === NEWLINE && !inside) return i + 1;
    }
    this.#inside = inside;
    return -1;
  }
}

class FixedCutter implements FrameCutter {
  readonly terminatorBytes = 0;
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
