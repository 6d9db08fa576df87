import type { Reader } from "../job/reader.ts";
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

/** Framing of everything that is lines. */
export const LINES = { kind: "delimiter", delimiter: Uint8Array.of(10) } as const;

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
 * One record per line: a string without its "\n" or "\r\n", or a Uint8Array with `invalid: "bytes"`. A last
 * line without an end is a record, an empty file has none. A byte order mark at the start of the file is no
 * part of the first line.
 */
export function textReader(
  options?: TextReaderOptions & { readonly invalid?: "fail" | "replace" },
): Reader<string>;
export function textReader(options: TextReaderOptions & { readonly invalid: "bytes" }): Reader<Uint8Array>;
export function textReader(options: TextReaderOptions = {}): Reader<string> | Reader<Uint8Array> {
  const common = { kind: "text", framing: LINES, ...textLimits(options) } as const;
  const invalid = options.invalid ?? "fail";
  if (invalid === "bytes") return { ...common, decoder: () => new ByteLineDecoder() };
  return {
    ...common,
    // With "replace" the bytes of a line and those of its text may differ.
    ...(invalid === "fail" && { native: { kind: "lines" } as const }),
    decoder: (context) => new LineDecoder(context, invalid),
  };
}
