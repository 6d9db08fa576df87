import { describeThrown } from "../base/errors.ts";
import type { DecodeContext, Decoder, Reader, RecordBatch } from "../job/reader.ts";
import type { InvalidText } from "./invalid-text.ts";
import { badRecord, invalidRecord } from "./invalid-text.ts";
import { LineDecoder } from "./line-decoder.ts";
import type { TextEncoding } from "./text-encoding.ts";

export interface TextReaderOptions {
  /**
   * What the text is encoded in: "utf-16le", "utf-16be", "latin1", "windows-1252", or "utf-8" (default). With
   * another than UTF-8 a file is read by one task, and offsets are those of the text in UTF-8. Not with
   * `invalid: "bytes"`.
   */
  readonly encoding?: TextEncoding;
  /** What happens with lines that are not UTF-8. Default "fail". */
  readonly invalid?: InvalidText;
  /** Default: found by looking at the file. */
  readonly compression?: Reader<string>["compression"];
  /** Default 64 MiB. */
  readonly recordBytesMax?: number;
}

export interface LineOptions extends TextReaderOptions {
  /**
   * What ends a line: "\n", with or without a "\r" before it, or "\r" alone, as in files of old Macs. Left
   * out: "\n", and a file with "\r" alone is refused.
   */
  readonly lineEnd?: "\n" | "\r";
}

/**
 * Records made of lines one by one. What `toRecord` throws makes the line a bad record; SKIP leaves it out.
 */
export class MappedLines<R> implements Decoder<R> {
  readonly #context: DecodeContext;
  readonly #lines: LineDecoder;
  readonly #toRecord: (line: string) => R | typeof SKIP;
  readonly #hint: string;
  readonly #batch: RecordBatch<string> = { records: [], offsets: [], bad: [] };

  constructor(
    context: DecodeContext,
    options: LineOptions & { readonly invalid?: "fail" | "replace" },
    hint: string,
    toRecord: (line: string) => R | typeof SKIP,
  ) {
    this.#context = context;
    this.#lines = new LineDecoder(context, options.invalid ?? "fail", options.lineEnd ?? "\n");
    this.#hint = hint;
    this.#toRecord = toRecord;
  }

  decode(bytes: Uint8Array, offset: number, last: boolean, batch: RecordBatch<R>): void {
    const { records, offsets, bad } = this.#batch;
    records.length = 0;
    offsets.length = 0;
    bad.length = 0;
    this.#lines.decode(bytes, offset, last, this.#batch);
    for (let i = 0; i < records.length; i++) {
      const line = records[i]!;
      try {
        const record = this.#toRecord(line);
        if (record === SKIP) continue;
        batch.records.push(record);
        batch.offsets.push(offsets[i]!);
      } catch (error) {
        const why = describeThrown(error);
        const invalid = invalidRecord(this.#context, offsets[i]!, why, this.#hint, error);
        batch.bad.push(badRecord(offsets[i]!, invalid, Buffer.from(line)));
      }
    }
    batch.bad.push(...bad);
  }
}

export const SKIP: unique symbol = Symbol("skip this line");
