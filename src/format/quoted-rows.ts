import type { Framing } from "../job/reader.ts";

const NEWLINE = 10;
const RETURN = 13;
const COMMA = 44;

/** Bytes behind a record that may be wanted to tell where it ends: those behind a closing quote. */
export const QUOTED_LOOK_BYTES = 2;

/** Behind a record with quotes, so many are taken to have some, too, and no search goes ahead of them. */
export const QUOTED_NEAR = 8;

const SHORT_FIELD_BYTES = 256;
const STRAY = -1;
const UNDECIDED = -2;

/**
 * Where the records of csv end.
 *
 * A quote opens a quoted field when it stands at the field's start and its closing quote is found: the
 * last of the next odd run of quotes (in an even run each is written twice) must stand before a delimiter,
 * a line end or the end of the file, and within `bytesMax` bytes of the record's start. Otherwise the
 * quote is a stray one, a character like others. With `lenient`, odd runs on the quote's own line that do
 * not close it are characters, too; behind a stray quote, only fields without content are quoted on that
 * line. A record ends at the first line end outside quoted fields. Where it ends follows from its own
 * bytes and from the next odd run of quotes, so everybody who knows where a record begins finds the same
 * ones.
 */
export class QuotedRows {
  readonly #quote: number;
  readonly #delimiter: number;
  readonly #newline: number;
  readonly #lenient: boolean;
  readonly #bytesMax: number;

  /** @param bytesMax of a record, its line end not counted */
  constructor(framing: Extract<Framing, { kind: "quoted" }>, bytesMax: number) {
    this.#quote = framing.quote;
    this.#delimiter = framing.delimiter ?? COMMA;
    this.#newline = framing.newline ?? NEWLINE;
    this.#lenient = framing.lenient === true;
    this.#bytesMax = bytesMax;
  }

  /**
   * One past the line end of the record that begins at `start` in bytes[0, length); -1 when it has none
   * there, or when the bytes do not tell. They always do from `bytesMax` + QUOTED_LOOK_BYTES on.
   * @param final no bytes come behind these, or none that matter
   */
  end(bytes: Uint8Array, start: number, length: number, final: boolean): number {
    const quote = this.#quote;
    const newline = this.#newline;
    const delimiter = this.#delimiter;
    const limit = Math.min(start + this.#bytesMax, length - 1);
    let strayEnd = -1;
    for (let at = start; at < length; at++) {
      const byte = bytes[at];
      if (byte === newline) return at + 1;
      if (byte !== quote || (at !== start && bytes[at - 1] !== delimiter)) continue;
      if (at >= strayEnd) {
        // Most fields end at their next quote.
        const near = Math.min(limit, at + SHORT_FIELD_BYTES);
        let next = at + 1;
        while (next < near && bytes[next] !== quote) next++;
        const behind = bytes[next + 1];
        if (next < near && (behind === delimiter || behind === newline)) {
          at = next;
          continue;
        }
      }
      const close =
        at < strayEnd
          ? this.#closeOfEmpty(bytes, at, length, final)
          : this.#close(bytes, start, at, length, final);
      if (close === UNDECIDED) return -1;
      if (close !== STRAY) at = close;
      else if (this.#lenient && at > strayEnd) strayEnd = this.#seek(bytes, newline, at, length);
    }
    return -1;
  }

  /**
   * End of the last record that surely ends in bytes[0, length), of those from `start` on; `start` when none
   * does.
   */
  lastEnd(bytes: Buffer, start: number, length: number): number {
    let end = start;
    for (let near = 0; ;) {
      if (near > 0) {
        near--;
        const next = this.end(bytes, end, length, false);
        if (next === -1) return end;
        end = next;
        continue;
      }
      const quote = this.#seek(bytes, this.#quote, end, length);
      if (quote > end) {
        const newline = bytes.lastIndexOf(this.#newline, quote - 1);
        if (newline >= end) end = newline + 1;
      }
      if (quote === length) return end;
      const next = this.end(bytes, end, length, false);
      if (next === -1) return end;
      end = next;
      near = QUOTED_NEAR;
    }
  }

  /** Place of the quote that closes the one at `open`, STRAY or UNDECIDED. */
  #close(bytes: Uint8Array, start: number, open: number, length: number, final: boolean): number {
    const quote = this.#quote;
    const limit = start + this.#bytesMax;
    const lineEnd = this.#lenient ? this.#seek(bytes, this.#newline, open, length) : -1;
    for (let at = open + 1; ;) {
      const first = this.#seek(bytes, quote, at, length);
      if (first === length && !final && length < limit) return UNDECIDED;
      if (first === length || first >= limit) return STRAY;
      let end = first + 1;
      while (end < length && bytes[end] === quote) end++;
      if (end > limit) return STRAY;
      if (end === length && !final) return UNDECIDED;
      at = end;
      if ((end - first) % 2 === 0) continue;
      const closes = this.#endsField(bytes, end, length, final);
      if (closes === UNDECIDED) return UNDECIDED;
      if (closes !== STRAY) return end - 1;
      if (first > lineEnd) return STRAY;
    }
  }

  /** As #close, for a field that has nothing but quotes. */
  #closeOfEmpty(bytes: Uint8Array, open: number, length: number, final: boolean): number {
    let end = open + 1;
    while (end < length && bytes[end] === this.#quote) end++;
    if (end === length && !final) return UNDECIDED;
    if ((end - open) % 2 === 1) return STRAY;
    const closes = this.#endsField(bytes, end, length, final);
    return closes === STRAY || closes === UNDECIDED ? closes : end - 1;
  }

  /** Whether a field ends at `at`: STRAY when not. */
  #endsField(bytes: Uint8Array, at: number, length: number, final: boolean): number {
    if (at === length) return final ? at : UNDECIDED;
    const byte = bytes[at];
    if (byte === this.#delimiter || byte === this.#newline) return at;
    if (byte !== RETURN) return STRAY;
    if (at + 1 === length) return final ? STRAY : UNDECIDED;
    return bytes[at + 1] === this.#newline ? at : STRAY;
  }

  /** Index of the next `byte`, `length` when there is none. A short loop first: most are near. */
  #seek(bytes: Uint8Array, byte: number, from: number, length: number): number {
    const near = Math.min(length, from + 32);
    for (let at = from; at < near; at++) if (bytes[at] === byte) return at;
    const found = bytes.indexOf(byte, near);
    return found === -1 || found > length ? length : found;
  }
}
