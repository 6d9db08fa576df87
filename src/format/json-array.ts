import { isUtf8 } from "node:buffer";
import type { SheafError } from "../base/errors.ts";
import { jsonParser } from "../base/json-numbers.ts";
import { type AuxTable, table } from "../job/aux.ts";
import type { DecodeContext, Decoder, Reader, RecordBatch } from "../job/reader.ts";
import { atOnce } from "./columns.ts";
import { badRecord, invalidRecord, notUtf8 } from "./invalid-text.ts";
import { JSON_HINT, type JsonReaderOptions } from "./jsonl-reader.ts";
import { asBuffer } from "./line-decoder.ts";
import { recordTooLarge } from "./record-too-large.ts";
import { textLimits } from "./text-reader.ts";
import { isPaths } from "./text.ts";

/**
 * One record per element of the JSON array that a file is. The file is read in one task, element by element:
 * it may be larger than memory, an element not larger than `recordBytesMax`. For types see jsonlReader. A
 * file that is no array, or is cut, fails the job; an element that is no JSON is a bad record. With paths:
 * see table.
 */
export function jsonArray<T = unknown>(options?: JsonReaderOptions<T>): Reader<T>;
export function jsonArray<T = unknown>(
  paths: string | readonly string[],
  options?: JsonReaderOptions<T>,
): AuxTable<T>;
export function jsonArray<T = unknown>(
  options: JsonReaderOptions<T> | string | readonly string[] = {},
  more: JsonReaderOptions<T> = {},
): Reader<T> | AuxTable<T> {
  if (isPaths(options)) return table(options, jsonArray(more));
  const parseJson = jsonParser(options.bigints ?? "fail", "jsonArray");
  return {
    kind: "jsonArray",
    framing: { kind: "stream" },
    ...textLimits(options),
    decoder: (context) => new ArrayDecoder(context, options, parseJson),
  };
}

/** The byte order mark that a file may begin with. */
const MARK = [0xef, 0xbb, 0xbf];
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/**
 * Where the scan stands: before "[", before the first element, before another one, inside an element, behind
 * "]".
 */
type Place = "before" | "first" | "next" | "inside" | "after";

class ArrayDecoder<T> implements Decoder<T> {
  readonly #context: DecodeContext;
  readonly #options: JsonReaderOptions<T>;
  readonly #parseJson: (text: string) => unknown;
  #place: Place = "before";
  #depth = 0;
  #inString = false;
  #escaped = false;
  /** Of the element being read: its offset, and copies of its bytes in the pieces before this one. */
  #elementOffset = 0;
  #begun: Buffer[] = [];
  #begunBytes = 0;

  constructor(context: DecodeContext, options: JsonReaderOptions<T>, parseJson: (text: string) => unknown) {
    this.#context = context;
    this.#options = options;
    this.#parseJson = parseJson;
  }

  decode(bytes: Uint8Array, offset: number, last: boolean, batch: RecordBatch<T>): void {
    const buffer = asBuffer(bytes);
    let at = 0;
    while (at < buffer.length) {
      if (this.#place !== "inside") {
        if (this.#startsElement(buffer[at]!, offset + at)) this.#elementOffset = offset + at;
        else at++;
      } else {
        const end = this.#elementEnd(buffer, at);
        const piece = buffer.subarray(at, end);
        if (this.#begunBytes + piece.length > this.#context.recordBytesMax) {
          throw recordTooLarge(this.#context.path, this.#elementOffset, this.#context.recordBytesMax);
        }
        if (end === buffer.length) this.#keep(piece);
        else {
          this.#finish(piece, batch);
          this.#place = buffer[end] === COMMA ? "next" : "after";
        }
        at = end + 1;
      }
    }
    const size = offset + buffer.length;
    if (last && this.#place !== "after" && size > 0) {
      throw this.#broken(size, 'the file ends before the "]" of its array');
    }
  }

  /** Takes one byte between elements; true when it is the first of an element, and so not taken. */
  #startsElement(byte: number, offset: number): boolean {
    if (byte === 0x20 || (byte >= 9 && byte <= 13)) return false;
    switch (this.#place) {
      case "before":
        if (byte === MARK[offset]) return false;
        if (byte !== OPEN_ARRAY) throw this.#broken(offset, 'the file does not begin with "["');
        this.#place = "first";
        return false;
      case "after":
        throw this.#broken(offset, 'there is something behind the "]" of the array');
      case "first":
        if (byte === CLOSE_ARRAY) {
          this.#place = "after";
          return false;
        }
        break;
      case "next":
      case "inside":
        break;
    }
    if (byte === COMMA || byte === CLOSE_ARRAY) throw this.#broken(offset, "an element is missing");
    this.#place = "inside";
    return true;
  }

  /** Index of the "," or "]" that ends the element, or the buffer's length when it goes on. */
  #elementEnd(buffer: Buffer, start: number): number {
    for (let at = start; at < buffer.length; at++) {
      const byte = buffer[at];
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === BACKSLASH) this.#escaped = true;
        else if (byte === QUOTE) this.#inString = false;
      } else if (byte === QUOTE) this.#inString = true;
      else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) this.#depth++;
      else if (this.#depth > 0) {
        if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) this.#depth--;
      } else if (byte === COMMA || byte === CLOSE_ARRAY) return at;
    }
    return buffer.length;
  }

  #keep(piece: Buffer): void {
    this.#begun.push(Buffer.from(piece));
    this.#begunBytes += piece.length;
  }

  #finish(piece: Buffer, batch: RecordBatch<T>): void {
    const raw = this.#begun.length === 0 ? piece : Buffer.concat([...this.#begun, piece]);
    const offset = this.#elementOffset;
    this.#begun = [];
    this.#begunBytes = 0;
    if (this.#options.invalid !== "replace" && !isUtf8(raw)) {
      batch.bad.push(notUtf8(this.#context, offset, raw));
      return;
    }
    try {
      const value: unknown = this.#parseJson(raw.toString("utf8"));
      const { parse } = this.#options;
      batch.records.push(parse === undefined ? (value as T) : atOnce(parse(value), "parse"));
      batch.offsets.push(offset);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      batch.bad.push(badRecord(offset, invalidRecord(this.#context, offset, why, JSON_HINT, error), raw));
    }
  }

  #broken(offset: number, what: string): SheafError {
    return invalidRecord(
      this.#context,
      offset,
      what,
      "For one JSON value per line use jsonl(), else check the file.",
    );
  }
}
