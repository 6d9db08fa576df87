import { type AuxSource, type AuxTable, table } from "../job/aux.ts";
import type { Key } from "../job/key.ts";
import type { Reader } from "../job/reader.ts";
import type { Writer } from "../job/writer.ts";
import type { Columns, RowOf } from "./columns.ts";
import { csvReader, type CsvReaderOptions, type CsvRow } from "./csv-reader.ts";
import { csvWriter, type CsvWriterOptions } from "./csv-writer.ts";
import { asFormat, isPaths } from "./text.ts";

/** `quote: null` is for input; output quotes what needs it. */
export type CsvOptions = CsvReaderOptions & Omit<CsvWriterOptions, "quote" | "columns">;

/**
 * Comma-separated values. As input: see csvReader. As output: see csvWriter. With paths: rows of side data,
 * see table.
 */
export function csv<const C extends Columns>(
  options: CsvOptions & { readonly columns: C },
): Reader<RowOf<C>> & Writer<Key, unknown>;
export function csv(
  options: CsvOptions & { readonly header: false; readonly columns?: never },
): Reader<readonly string[]> & Writer<Key, unknown>;
export function csv(
  options?: CsvOptions & { readonly columns?: never },
): Reader<CsvRow> & Writer<Key, unknown>;
export function csv<const C extends Columns>(
  paths: string | readonly string[],
  options: CsvReaderOptions & { readonly columns: C },
): AuxTable<RowOf<C>>;
export function csv(
  paths: string | readonly string[],
  options: CsvReaderOptions & { readonly header: false; readonly columns?: never },
): AuxTable<readonly string[]>;
export function csv(
  paths: string | readonly string[],
  options?: CsvReaderOptions & { readonly columns?: never },
): AuxTable<CsvRow>;
export function csv(
  first: CsvOptions | string | readonly string[] = {},
  second: CsvReaderOptions = {},
): (Reader<unknown> & Writer<Key, unknown>) | AuxSource<unknown> {
  if (isPaths(first))
    return table(first, csvReader(second as CsvReaderOptions & { readonly columns: Columns }));
  const options = first;
  const { quote, ...others } = options;
  const writer = csvWriter(typeof quote === "string" ? { ...others, quote } : others);
  return asFormat(csvReader(options as CsvReaderOptions & { readonly columns: Columns }), writer);
}
