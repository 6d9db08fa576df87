import type { DecodeContext, Decoder, Reader, RecordBatch } from "../job/reader.ts";
import { decodeOne } from "./delimited.ts";
import type { InvalidText } from "./invalid-text.ts";
import { type TextReaderOptions } from "./mapped-lines.ts";
import { recordTooLarge } from "./record-too-large.ts";
import { readerLimits } from "./text-reader.ts";

/**
 * One record per file that is not empty: its content, as a string (without a byte order mark), or as a
 * Uint8Array with `invalid: "bytes"`. `context.path` says which file it is. A file over `recordBytesMax`
 * fails the job.
 */
export function wholeFile(
  options?: TextReaderOptions & { readonly invalid?: "fail" | "replace" },
): Reader<string>;
export function wholeFile(options: TextReaderOptions & { readonly invalid: "bytes" }): Reader<Uint8Array>;
export function wholeFile(options: TextReaderOptions = {}): Reader<string> | Reader<Uint8Array> {
  const reader = {
    kind: "wholeFile",
    framing: { kind: "stream" },
    ...readerLimits(options),
    decoder: (context: DecodeContext) => new WholeFileDecoder(context, options.invalid ?? "fail"),
  } as const;
  return reader as unknown as Reader<string> | Reader<Uint8Array>;
}

class WholeFileDecoder implements Decoder<string | Uint8Array> {
  readonly #context: DecodeContext;
  readonly #invalid: InvalidText;
  readonly #pieces: Uint8Array[] = [];
  #bytes = 0;

  constructor(context: DecodeContext, invalid: InvalidText) {
    this.#context = context;
    this.#invalid = invalid;
  }

  decode(bytes: Uint8Array, _offset: number, last: boolean, batch: RecordBatch<string | Uint8Array>): void {
    const { path, recordBytesMax } = this.#context;
    this.#bytes += bytes.length;
    if (this.#bytes > recordBytesMax) throw recordTooLarge(path, 0, recordBytesMax);
    this.#pieces.push(new Uint8Array(bytes));
    if (!last || this.#bytes === 0) return;
    const content = Buffer.concat(this.#pieces);
    const marked =
      this.#invalid !== "bytes" && content[0] === 0xef && content[1] === 0xbb && content[2] === 0xbf;
    decodeOne(marked ? content.subarray(3) : content, 0, this.#invalid, this.#context, batch);
  }
}
