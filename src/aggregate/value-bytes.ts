import { refuseValue } from "./refuse.ts";

/** What can be told apart by content: what can be a key. */
export type Comparable = null | boolean | number | string | Uint8Array | readonly Comparable[];

const TAG = { null: 0, false: 1, true: 2, number: 3, string: 4, bytes: 5, array: 6 } as const;

/**
 * A canonical byte form of values: equal values (as keys are equal: -0 is 0, 1 is not "1") have equal
 * bytes, others different ones. One tag byte, then: a number as its 64-bit float, big-endian; a string as
 * its length in UTF-16 units and its UTF-8; bytes and arrays as their length and their content. Lengths are
 * 32 bits. Unpaired surrogates are written as the three bytes they would have, so that they stay apart.
 *
 * The bytes are in `buffer` from 0 to what `write` returned, until the next call.
 */
export class CanonicalBytes {
  buffer: Uint8Array = new Uint8Array(256);
  #view = new DataView(this.buffer.buffer);
  #end = 0;
  readonly #kind: string;

  /** @param kind name of the aggregator, for messages */
  constructor(kind: string) {
    this.#kind = kind;
  }

  /** @throws SheafError VALUE_INVALID for NaN and for what cannot be compared by content */
  write(value: Comparable): number {
    this.#end = 0;
    this.#value(value);
    return this.#end;
  }

  #value(value: Comparable): void {
    if (typeof value === "string") {
      this.#text(value);
    } else if (typeof value === "number" && !Number.isNaN(value)) {
      this.#head(TAG.number, 8);
      this.#view.setFloat64(this.#end, value + 0);
      this.#end += 8;
    } else if (typeof value === "boolean") {
      this.#head(value ? TAG.true : TAG.false, 0);
    } else if (value === null) {
      this.#head(TAG.null, 0);
    } else if (value instanceof Uint8Array) {
      this.#head(TAG.bytes, 4 + value.length);
      this.#length(value.length);
      this.buffer.set(value, this.#end);
      this.#end += value.length;
    } else if (Array.isArray(value)) {
      this.#head(TAG.array, 4);
      this.#length(value.length);
      for (const item of value as readonly Comparable[]) this.#value(item);
    } else {
      const hint =
        "Values are compared by content: null, booleans, numbers (not NaN), strings, bytes, arrays of these.";
      throw refuseValue(this.#kind, value, "a value that can be told apart", hint);
    }
  }

  #text(text: string): void {
    this.#head(TAG.string, 4 + text.length * 3);
    this.#length(text.length);
    const bytes = this.buffer;
    let end = this.#end;
    for (let i = 0; i < text.length; i++) {
      let code = text.charCodeAt(i);
      if (code < 0x80) {
        bytes[end++] = code;
        continue;
      }
      if (code >= 0xd800 && code < 0xdc00) code = text.codePointAt(i)!;
      if (code >= 0x10000) {
        i++;
        bytes[end++] = 0xf0 | (code >> 18);
        bytes[end++] = 0x80 | ((code >> 12) & 63);
      } else if (code >= 0x800) {
        bytes[end++] = 0xe0 | (code >> 12);
      } else {
        bytes[end++] = 0xc0 | (code >> 6);
        bytes[end++] = 0x80 | (code & 63);
        continue;
      }
      bytes[end++] = 0x80 | ((code >> 6) & 63);
      bytes[end++] = 0x80 | (code & 63);
    }
    this.#end = end;
  }

  /** Writes the tag and makes room for what follows. */
  #head(tag: number, following: number): void {
    const needed = this.#end + 1 + following;
    if (needed > this.buffer.length) {
      const grown = new Uint8Array(Math.max(needed, this.buffer.length * 2));
      grown.set(this.buffer.subarray(0, this.#end));
      this.buffer = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.buffer[this.#end++] = tag;
  }

  #length(length: number): void {
    this.#view.setUint32(this.#end, length);
    this.#end += 4;
  }
}
