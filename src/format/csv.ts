import type { Key } from "../job/key.ts";
import type { Reader } from "../job/reader.ts";
import type { Writer } from "../job/writer.ts";
import type { Columns, RowOf } from "./columns.ts";
import { csvReader, type CsvReaderOptions, type CsvRow } from "./csv-reader.ts";
import { csvWriter, type CsvWriterOptions } from "./csv-writer.ts";
import { asFormat } from "./text.ts";

export type CsvOptions = CsvReaderOptions & CsvWriterOptions;

/** Comma-separated values. As input: see csvReader. As output: see csvWriter. */
export function csv<const C extends Columns>(
  options: CsvOptions & { readonly columns: C },
): Reader<RowOf<C>> & Writer<Key, unknown>;
export function csv(
  options: CsvOptions & { readonly header: false; readonly columns?: never },
): Reader<readonly string[]> & Writer<Key, unknown>;
export function csv(
  options?: CsvOptions & { readonly columns?: never },
): Reader<CsvRow> & Writer<Key, unknown>;
export function csv(options: CsvOptions = {}): Reader<unknown> & Writer<Key, unknown> {
  return asFormat(csvReader(options as CsvReaderOptions & { readonly columns: Columns }), csvWriter(options));
}
