import type { Key } from "../job/key.ts";
import type { Reader } from "../job/reader.ts";
import type { Writer } from "../job/writer.ts";
import { type EscapedTextOptions, textReader } from "./text-reader.ts";
import { textWriter, type TextWriterOptions } from "./text-writer.ts";

export type TextOptions = EscapedTextOptions & TextWriterOptions;

/**
 * Lines of text. As input: one record per line, see textReader. As output: one line per result, the value
 * when there is one, else the key, see textWriter.
 */
export function text(
  options?: TextOptions & { readonly invalid?: "fail" | "replace" },
): Reader<string> & Writer<Key, unknown>;
export function text(
  options: TextOptions & { readonly invalid: "bytes" },
): Reader<Uint8Array> & Writer<Key, unknown>;
export function text(
  options: TextOptions = {},
): (Reader<string> | Reader<Uint8Array>) & Writer<Key, unknown> {
  // The overloads of textReader are for literal options.
  const reader = textReader(options as EscapedTextOptions & { readonly invalid: "bytes" });
  return asFormat<Reader<string> | Reader<Uint8Array>>(reader, textWriter(options));
}

/** One object that is both a reader and a writer. */
export function asFormat<R extends Reader<unknown>>(
  reader: R,
  writer: Writer<Key, unknown>,
): R & Writer<Key, unknown> {
  const { compression, ...rest } = writer;
  // A compression asked for is the output's; input is recognised by its content all the same.
  return { ...reader, ...rest, ...(compression !== undefined && { compression }) } as R &
    Writer<Key, unknown>;
}
