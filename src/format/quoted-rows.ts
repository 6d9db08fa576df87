import type { Framing } from "../job/reader.ts";

const NEWLINE = 10;
const RETURN = 13;
const COMMA = 44;

/** Bytes behind a record that may be wanted to tell where it ends: those behind a closing quote. */
export const QUOTED_LOOK_BYTES = 2;

/** Stretches outside quoted fields between two looks for line ends in them. */
const STRETCHES = 1_024;

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
  /** Where stretches outside quoted fields begin and end, in turns. */
  readonly #outside = new Int32Array(2 * STRETCHES);
  #stretches = 0;
  /** One past the last line end found in such; -1: none yet. */
  #lineEnd = -1;

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
   * does. Goes from quote to quote, and looks for a line end only behind the last ones.
   */
  lastEnd(bytes: Buffer, start: number, length: number): number {
    let end = start;
    while (end < length) {
      if (length - end <= this.#bytesMax) {
        const isPlain = this.#passPlain(bytes, end, length);
        this.#findLineEnd(bytes);
        end = Math.max(end, this.#lineEnd);
        if (isPlain) return end;
      }
      const next = this.end(bytes, end, length, false);
      if (next === -1) return end;
      end = next;
    }
    return end;
  }

  /**
   * Notes the stretches outside quoted fields from the record at `start` on; false: up to a quote that has to
   * be looked at closely. No field reaches over the limit: all of bytes[start, length) does not.
   */
  #passPlain(bytes: Buffer, start: number, length: number): boolean {
    const quote = this.#quote;
    const delimiter = this.#delimiter;
    const newline = this.#newline;
    this.#stretches = 0;
    this.#lineEnd = -1;
    for (let from = start; ;) {
      const open = this.#seek(bytes, quote, from, length);
      if (this.#stretches === STRETCHES) this.#findLineEnd(bytes);
      const place = 2 * this.#stretches++;
      this.#outside[place] = from;
      this.#outside[place + 1] = open;
      if (open >= length) return true;
      from = open + 1;
      const before = bytes[open - 1];
      if (open !== start && before !== delimiter && before !== newline) continue;
      for (let isOpen = true; isOpen;) {
        const first = this.#seek(bytes, quote, from, length);
        from = first + 1;
        while (from < length && bytes[from] === quote) from++;
        if (from >= length) return false;
        // In an even run each quote is written twice.
        isOpen = (from - first) % 2 === 0;
      }
      if (this.#endsField(bytes, from, length, false) < 0) return false;
    }
  }

  /** Looks for the last line end in the stretches noted, and forgets them. */
  #findLineEnd(bytes: Buffer): void {
    while (this.#stretches > 0) {
      const place = 2 * --this.#stretches;
      const [from, to] = [this.#outside[place]!, this.#outside[place + 1]!];
      const at = to > from ? bytes.lastIndexOf(this.#newline, to - 1) : -1;
      if (at < from) continue;
      this.#lineEnd = at + 1;
      this.#stretches = 0;
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
