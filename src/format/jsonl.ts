import type { Key } from "../job/key.ts";
import type { Reader } from "../job/reader.ts";
import type { Writer } from "../job/writer.ts";
import { type JsonReaderOptions, jsonlReader } from "./jsonl-reader.ts";
import { type JsonWriterOptions, jsonlWriter } from "./jsonl-writer.ts";
import type { LineOptions } from "./mapped-lines.ts";
import { asFormat } from "./text.ts";

/** One JSON value per line. As input: see jsonlReader. As output: see jsonlWriter. */
export function jsonl<T = unknown>(
  options: JsonReaderOptions<T> & LineOptions & JsonWriterOptions = {},
): Reader<T> & Writer<Key, unknown> {
  return asFormat(jsonlReader(options), jsonlWriter(options));
}
