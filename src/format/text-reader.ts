import { SheafError } from "../base/errors.ts";
import type { Framing, Reader } from "../job/reader.ts";
import type { InvalidText } from "./invalid-text.ts";
import { ByteLineDecoder, LineDecoder } from "./line-decoder.ts";

export interface TextReaderOptions {
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
 * The line end that the options ask for.
 * @throws SheafError JOB_INVALID when it is none
 */
export function lineEndOf(options: LineOptions, reader: string): "\n" | "\r" {
  const { lineEnd = "\n" } = options;
  if (lineEnd === "\n" || lineEnd === "\r") return lineEnd;
  throw new SheafError("JOB_INVALID", `${reader}: lineEnd cannot be ${JSON.stringify(lineEnd)}`, {
    hint: 'It is "\\n" (lines may end with "\\r\\n", too) or "\\r"; other texts between records: delimited().',
  });
}

/** Framing of everything that is lines. */
export function lineFraming(lineEnd: "\n" | "\r"): Framing {
  return { kind: "delimiter", delimiter: new Uint8Array(Buffer.from(lineEnd)) };
}

/** The options that every reader of files shares, as fields of the Reader. */
export function readerLimits(
  options: TextReaderOptions,
): Pick<Reader<unknown>, "compression" | "recordBytesMax"> {
  return {
    ...(options.compression !== undefined && { compression: options.compression }),
    ...(options.recordBytesMax !== undefined && { recordBytesMax: options.recordBytesMax }),
  };
}

/** As readerLimits, for readers of text: unless bytes are asked for, other content is refused. */
export function textLimits(
  options: TextReaderOptions,
): Pick<Reader<unknown>, "compression" | "recordBytesMax" | "content"> {
  const isText = options.invalid !== "bytes" && options.compression !== "none";
  return { ...readerLimits(options), ...(isText && { content: "text" }) };
}

/**
 * One record per line: a string without its "\n" or "\r\n" (or "\r", see LineOptions), or a Uint8Array
 * with `invalid: "bytes"`. A last line without an end is a record, an empty file has none. A byte order
 * mark at the start of the file is no part of the first line.
 */
export function textReader(options?: LineOptions & { readonly invalid?: "fail" | "replace" }): Reader<string>;
export function textReader(options: LineOptions & { readonly invalid: "bytes" }): Reader<Uint8Array>;
export function textReader(options: LineOptions = {}): Reader<string> | Reader<Uint8Array> {
  const lineEnd = lineEndOf(options, "text");
  const common = { kind: "text", framing: lineFraming(lineEnd), ...textLimits(options) } as const;
  const invalid = options.invalid ?? "fail";
  if (invalid === "bytes") return { ...common, decoder: () => new ByteLineDecoder(lineEnd) };
  return {
    ...common,
    // With "replace" the bytes of a line and those of its text may differ.
    ...(invalid === "fail" && lineEnd === "\n" && { native: { kind: "lines" } as const }),
    decoder: (context) => new LineDecoder(context, invalid, lineEnd),
  };
}
