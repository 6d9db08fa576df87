import { type AuxTable, table } from "../job/aux.ts";
import type { Key } from "../job/key.ts";
import type { Reader } from "../job/reader.ts";
import type { Writer } from "../job/writer.ts";
import { type JsonReaderOptions, jsonlReader } from "./jsonl-reader.ts";
import { type JsonWriterOptions, jsonlWriter } from "./jsonl-writer.ts";
import type { LineOptions } from "./mapped-lines.ts";
import { asFormat, isPaths } from "./text.ts";

/** One JSON value per line. As input: see jsonlReader. As output: see jsonlWriter. With paths: see table. */
export function jsonl<T = unknown>(
  options?: JsonReaderOptions<T> & LineOptions & JsonWriterOptions,
): Reader<T> & Writer<Key, unknown>;
export function jsonl<T = unknown>(
  paths: string | readonly string[],
  options?: JsonReaderOptions<T> & LineOptions,
): AuxTable<T>;
export function jsonl<T = unknown>(
  options: (JsonReaderOptions<T> & LineOptions & JsonWriterOptions) | string | readonly string[] = {},
  more: JsonReaderOptions<T> & LineOptions = {},
): (Reader<T> & Writer<Key, unknown>) | AuxTable<T> {
  if (isPaths(options)) return table(options, jsonlReader(more));
  return asFormat(jsonlReader(options), jsonlWriter(options));
}
