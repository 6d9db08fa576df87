import { type AuxTable, table } from "../job/aux.ts";
import type { Key } from "../job/key.ts";
import type { Reader } from "../job/reader.ts";
import type { Writer } from "../job/writer.ts";
import { type EscapedTextOptions, textReader } from "./text-reader.ts";
import { textWriter, type TextWriterOptions } from "./text-writer.ts";

export type TextOptions = EscapedTextOptions & TextWriterOptions;

/**
 * Lines of text. As input: one record per line, see textReader. As output: one line per result, the value
 * when there is one, else the key, see textWriter. With paths: lines of side data, see table.
 */
export function text(
  options?: TextOptions & { readonly invalid?: "fail" | "replace" },
): Reader<string> & Writer<Key, unknown>;
export function text(
  options: TextOptions & { readonly invalid: "bytes" },
): Reader<Uint8Array> & Writer<Key, unknown>;
export function text(
  paths: string | readonly string[],
  options?: EscapedTextOptions & { readonly invalid?: "fail" | "replace" },
): AuxTable<string>;
export function text(
  first: TextOptions | string | readonly string[] = {},
  second: EscapedTextOptions & { readonly invalid?: "fail" | "replace" } = {},
): ((Reader<string> | Reader<Uint8Array>) & Writer<Key, unknown>) | AuxTable<string> {
  if (isPaths(first)) return table(first, textReader(second));
  const options = first;
  // The overloads of textReader are for literal options.
  const reader = textReader(options as EscapedTextOptions & { readonly invalid: "bytes" });
  return asFormat<Reader<string> | Reader<Uint8Array>>(reader, textWriter(options));
}

/** Paths, where there may be options. */
export function isPaths(given: unknown): given is string | readonly string[] {
  return typeof given === "string" || Array.isArray(given);
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
