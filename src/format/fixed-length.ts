import { SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import type { DecodeContext, Decoder, Reader, RecordBatch } from "../job/reader.ts";
import { decodeOne } from "./delimited.ts";
import type { InvalidText } from "./invalid-text.ts";
import { asBuffer } from "./line-decoder.ts";
import { type TextReaderOptions } from "./mapped-lines.ts";
import { readerLimits } from "./text-reader.ts";

/**
 * One record per `bytes` bytes: a Uint8Array, or a string with `invalid: "fail"` or `"replace"`. A file whose
 * size is no multiple of it fails the job (RECORD_INVALID).
 */
export function fixedLength(
  bytes: number,
  options?: TextReaderOptions & { readonly invalid?: "bytes" },
): Reader<Uint8Array>;
export function fixedLength(
  bytes: number,
  options: TextReaderOptions & { readonly invalid: "fail" | "replace" },
): Reader<string>;
export function fixedLength(
  bytes: number,
  options: TextReaderOptions = {},
): Reader<string> | Reader<Uint8Array> {
  if (!Number.isSafeInteger(bytes) || bytes < 1) {
    throw new SheafError("JOB_INVALID", `fixedLength: a record cannot have ${printValue(bytes)} bytes`, {
      hint: "Give the length of a record in bytes, terminator included, for example 100.",
    });
  }
  const invalid = options.invalid ?? "bytes";
  const reader = {
    kind: "fixedLength",
    framing: { kind: "fixed", bytes },
    ...readerLimits(options),
    decoder: (context: DecodeContext) => new FixedDecoder(context, bytes, invalid),
  } as const;
  return reader as unknown as Reader<string> | Reader<Uint8Array>;
}

class FixedDecoder implements Decoder<string | Uint8Array> {
  readonly #context: DecodeContext;
  readonly #size: number;
  readonly #invalid: InvalidText;

  constructor(context: DecodeContext, size: number, invalid: InvalidText) {
    this.#context = context;
    this.#size = size;
    this.#invalid = invalid;
  }

  decode(bytes: Uint8Array, offset: number, _last: boolean, batch: RecordBatch<string | Uint8Array>): void {
    const buffer = asBuffer(bytes);
    for (let at = 0; at < buffer.length; at += this.#size) {
      decodeOne(buffer.subarray(at, at + this.#size), offset + at, this.#invalid, this.#context, batch);
    }
  }
}
