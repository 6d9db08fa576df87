import { type AuxSource, type AuxTable, table } from "../job/aux.ts";
import type { Key } from "../job/key.ts";
import type { Reader } from "../job/reader.ts";
import type { Writer } from "../job/writer.ts";
import type { Columns, RowOf } from "./columns.ts";
import { asFormat, isPaths } from "./text.ts";
import { tsvReader, type TsvReaderOptions } from "./tsv-reader.ts";
import { tsvWriter, type TsvWriterOptions } from "./tsv-writer.ts";

export type TsvOptions = TsvReaderOptions & Omit<TsvWriterOptions, "columns">;

/** Columns with tabs between. As input: see tsvReader. As output: see tsvWriter. With paths: see table. */
export function tsv<const C extends Columns>(
  options: TsvOptions & { readonly columns: C },
): Reader<RowOf<C>> & Writer<Key, unknown>;
export function tsv(
  options: TsvOptions & { readonly header: true | readonly string[]; readonly columns?: never },
): Reader<Readonly<Record<string, string>>> & Writer<Key, unknown>;
export function tsv(
  options?: TsvOptions & { readonly columns?: never },
): Reader<readonly string[]> & Writer<Key, unknown>;
export function tsv<const C extends Columns>(
  paths: string | readonly string[],
  options: TsvReaderOptions & { readonly columns: C },
): AuxTable<RowOf<C>>;
export function tsv(
  paths: string | readonly string[],
  options: TsvReaderOptions & { readonly header: true | readonly string[]; readonly columns?: never },
): AuxTable<Readonly<Record<string, string>>>;
export function tsv(
  paths: string | readonly string[],
  options?: TsvReaderOptions & { readonly columns?: never },
): AuxTable<readonly string[]>;
export function tsv(
  first: TsvOptions | string | readonly string[] = {},
  second: TsvReaderOptions = {},
): (Reader<unknown> & Writer<Key, unknown>) | AuxSource<unknown> {
  if (isPaths(first))
    return table(first, tsvReader(second as TsvReaderOptions & { readonly columns: Columns }));
  const options = first;
  return asFormat(tsvReader(options as TsvReaderOptions & { readonly columns: Columns }), tsvWriter(options));
}
