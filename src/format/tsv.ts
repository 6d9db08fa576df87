import type { Key } from "../job/key.ts";
import type { Reader } from "../job/reader.ts";
import type { Writer } from "../job/writer.ts";
import type { Columns, RowOf } from "./columns.ts";
import { asFormat } from "./text.ts";
import { tsvReader, type TsvReaderOptions } from "./tsv-reader.ts";
import { tsvWriter, type TsvWriterOptions } from "./tsv-writer.ts";

export type TsvOptions = TsvReaderOptions & Omit<TsvWriterOptions, "columns">;

/** Columns with tabs between. As input: see tsvReader. As output: see tsvWriter. */
export function tsv<const C extends Columns>(
  options: TsvOptions & { readonly columns: C },
): Reader<RowOf<C>> & Writer<Key, unknown>;
export function tsv(
  options: TsvOptions & { readonly header: true | readonly string[]; readonly columns?: never },
): Reader<Readonly<Record<string, string>>> & Writer<Key, unknown>;
export function tsv(
  options?: TsvOptions & { readonly columns?: never },
): Reader<readonly string[]> & Writer<Key, unknown>;
export function tsv(options: TsvOptions = {}): Reader<unknown> & Writer<Key, unknown> {
  return asFormat(tsvReader(options as TsvReaderOptions & { readonly columns: Columns }), tsvWriter(options));
}
