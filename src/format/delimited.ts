import { isUtf8 } from "node:buffer";
import { SheafError } from "../base/errors.ts";
import type { DecodeContext, Decoder, Reader, RecordBatch } from "../job/reader.ts";
import { type InvalidText, notUtf8 } from "./invalid-text.ts";
import { asBuffer } from "./line-decoder.ts";
import { type TextReaderOptions } from "./mapped-lines.ts";
import { textLimits } from "./text-reader.ts";

/**
 * One record per stretch of text between delimiters of one's own, for example "\0" or "\n\n": a string, or a
 * Uint8Array with `invalid: "bytes"`. The delimiter is no part of the record. Behind the last delimiter there
 * is a record only when bytes follow.
 */
export function delimited(
  delimiter: string | Uint8Array,
  options?: TextReaderOptions & { readonly invalid?: "fail" | "replace" },
): Reader<string>;
export function delimited(
  delimiter: string | Uint8Array,
  options: TextReaderOptions & { readonly invalid: "bytes" },
): Reader<Uint8Array>;
export function delimited(
  delimiter: string | Uint8Array,
  options: TextReaderOptions = {},
): Reader<string> | Reader<Uint8Array> {
  const bytes = typeof delimiter === "string" ? Buffer.from(delimiter) : Buffer.from(delimiter);
  if (bytes.length === 0) {
    throw new SheafError("JOB_INVALID", "delimited: the delimiter is empty", {
      hint: "Give the bytes that end a record; for records of equal length use fixedLength().",
    });
  }
  const invalid = options.invalid ?? "fail";
  const reader = {
    kind: "delimited",
    framing: { kind: "delimiter", delimiter: new Uint8Array(bytes) },
    ...textLimits(options),
    decoder: (context: DecodeContext) => new DelimitedDecoder(context, bytes, invalid),
  } as const;
  return reader as unknown as Reader<string> | Reader<Uint8Array>;
}

class DelimitedDecoder implements Decoder<string | Uint8Array> {
  readonly #context: DecodeContext;
  readonly #delimiter: Buffer;
  readonly #invalid: InvalidText;

  constructor(context: DecodeContext, delimiter: Buffer, invalid: InvalidText) {
    this.#context = context;
    this.#delimiter = delimiter;
    this.#invalid = invalid;
  }

  decode(bytes: Uint8Array, offset: number, _last: boolean, batch: RecordBatch<string | Uint8Array>): void {
    const buffer = asBuffer(bytes);
    for (let start = 0; start < buffer.length;) {
      const found = buffer.indexOf(this.#delimiter, start);
      const end = found === -1 ? buffer.length : found;
      decodeOne(buffer.subarray(start, end), offset + start, this.#invalid, this.#context, batch);
      start = end + this.#delimiter.length;
    }
  }
}

/** Pushes one record: text or a copy of its bytes, or a bad record, by the policy. */
export function decodeOne(
  raw: Buffer,
  offset: number,
  invalid: InvalidText,
  context: DecodeContext,
  batch: RecordBatch<string | Uint8Array>,
): void {
  if (invalid === "fail" && !isUtf8(raw)) {
    batch.bad.push(notUtf8(context, offset, raw));
    return;
  }
  batch.records.push(invalid === "bytes" ? new Uint8Array(raw) : raw.toString("utf8"));
  batch.offsets.push(offset);
}
