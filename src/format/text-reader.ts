import { SheafError } from "../base/errors.ts";
import type { Framing, Reader } from "../job/reader.ts";
import { ByteLineDecoder, LineDecoder } from "./line-decoder.ts";
import type { TextReaderOptions, LineOptions } from "./mapped-lines.ts";
import { MappedLines } from "./mapped-lines.ts";
import { TEXT_ENCODINGS } from "./text-encoding.ts";
import { unescapeTsv } from "./tsv-writer.ts";

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

export interface EscapedTextOptions extends LineOptions {
  /** true: the escapes \t \n \r \\ in a line are undone, as textWriter writes them. Default: false. */
  readonly escape?: boolean;
}

/** Framing of everything that is lines. */
export function lineFraming(lineEnd: "\n" | "\r"): Framing {
  return { kind: "delimiter", delimiter: new Uint8Array(Buffer.from(lineEnd)) };
}

/** The options that every reader of files shares, as fields of the Reader. */
export function readerLimits(
  options: Pick<TextReaderOptions, "compression" | "recordBytesMax">,
): Pick<Reader<unknown>, "compression" | "recordBytesMax"> {
  return {
    ...(options.compression !== undefined && { compression: options.compression }),
    ...(options.recordBytesMax !== undefined && { recordBytesMax: options.recordBytesMax }),
  };
}

type TextFields = Pick<Reader<unknown>, "compression" | "recordBytesMax" | "content" | "encoding">;

/**
 * As readerLimits, for readers of text: unless bytes are asked for, other content is refused.
 * @throws SheafError JOB_INVALID for an encoding that is none of TEXT_ENCODINGS, or with bytes
 */
export function textLimits(options: TextReaderOptions): TextFields {
  const { encoding = "utf-8", invalid } = options;
  if (!TEXT_ENCODINGS.includes(encoding) || (encoding !== "utf-8" && invalid === "bytes")) {
    const bytes = TEXT_ENCODINGS.includes(encoding) ? ' with invalid: "bytes"' : "";
    throw new SheafError("JOB_INVALID", `encoding cannot be ${JSON.stringify(encoding)}${bytes}`, {
      hint: `It is one of ${TEXT_ENCODINGS.join(", ")}; convert other files to UTF-8 first (iconv).`,
    });
  }
  if (encoding !== "utf-8") {
    return { ...readerLimits(options), encoding: { name: encoding, strict: invalid !== "replace" } };
  }
  const isText = invalid !== "bytes" && options.compression !== "none";
  return { ...readerLimits(options), ...(isText && { content: "text" }) };
}

/** As textLimits, for readers of lines: a file of other line ends is refused unless the options name them. */
export function lineLimits(options: LineOptions): TextFields {
  const fields = textLimits(options);
  return fields.content === "text" && options.lineEnd === undefined
    ? { ...fields, content: "lines" }
    : fields;
}

/**
 * One record per line: a string without its "\n" or "\r\n" (or "\r", see LineOptions), or a Uint8Array
 * with `invalid: "bytes"`. A last line without an end is a record, an empty file has none. A byte order
 * mark at the start of the file is no part of the first line.
 * @throws SheafError JOB_INVALID for `escape` with `invalid: "bytes"`
 */
export function textReader(
  options?: EscapedTextOptions & { readonly invalid?: "fail" | "replace" },
): Reader<string>;
export function textReader(options: EscapedTextOptions & { readonly invalid: "bytes" }): Reader<Uint8Array>;
export function textReader(options: EscapedTextOptions = {}): Reader<string> | Reader<Uint8Array> {
  const lineEnd = lineEndOf(options, "text");
  const common = { kind: "text", framing: lineFraming(lineEnd), ...lineLimits(options) } as const;
  const invalid = options.invalid ?? "fail";
  if (options.escape === true) {
    if (invalid !== "bytes") {
      const mapped = { invalid, lineEnd };
      return { ...common, decoder: (context) => new MappedLines(context, mapped, "", unescapeTsv) };
    }
    throw new SheafError("JOB_INVALID", 'text: `escape` and `invalid: "bytes"` do not go together', {
      hint: "Bytes are lines as they are: undo their escapes in map.",
    });
  }
  if (invalid === "bytes") {
    const native = lineEnd === "\n" && ({ kind: "byteLines" } as const);
    return { ...common, ...(native && { native }), decoder: () => new ByteLineDecoder(lineEnd) };
  }
  return {
    ...common,
    // With "replace" the bytes of a line and those of its text may differ.
    ...(invalid === "fail" &&
      lineEnd === "\n" &&
      common.encoding === undefined && { native: { kind: "lines" } as const }),
    decoder: (context) => new LineDecoder(context, invalid, lineEnd),
  };
}
