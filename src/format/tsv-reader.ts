import type { DecodeContext, Reader } from "../job/reader.ts";
import type { Columns, RowOf } from "./columns.ts";
import { MappedLines, SKIP, type LineOptions } from "./mapped-lines.ts";
import { checkColumns, checkHeaderText, headerText, rowMaker, rowOf, type TableShape } from "./table-rows.ts";
import { lineEndOf, lineFraming, lineLimits } from "./text-reader.ts";
import { unescapeTsv } from "./tsv-writer.ts";

export interface TsvReaderOptions extends LineOptions {
  /** Default "fail". */
  readonly invalid?: "fail" | "replace";
  /**
   * false (default): no line names the columns. true: the first line does. Names: there is such a line, and
   * these names are used in place of what it says.
   */
  readonly header?: boolean | readonly string[];
  /** The columns with their types: all in order with `header: false`, as in csvReader, else those wanted. */
  readonly columns?: Columns;
  /** true (default): the escapes \t \n \r \\ in a field are undone. false: a backslash is a character. */
  readonly escape?: boolean;
}

/**
 * One row per line, cut at tabs: an array of strings, or an object when there is a header or `columns`. The
 * escapes \t \n \r \\ in a field are undone, so what tsvWriter wrote comes back, unless `escape` is false.
 * Empty lines are skipped unless there is only one column.
 */
export function tsvReader<const C extends Columns>(
  options: TsvReaderOptions & { readonly columns: C },
): Reader<RowOf<C>>;
export function tsvReader(
  options: TsvReaderOptions & { readonly header: true | readonly string[]; readonly columns?: never },
): Reader<Readonly<Record<string, string>>>;
export function tsvReader(
  options?: TsvReaderOptions & { readonly columns?: never },
): Reader<readonly string[]>;
export function tsvReader(options: TsvReaderOptions = {}): Reader<unknown> {
  const lineEnd = lineEndOf(options, "tsv");
  const shape: TableShape = { header: options.header ?? false, columns: options.columns };
  checkColumns(shape, "tsv");
  const fields = options.escape === false ? (line: string) => line.split("\t") : tsvFields;
  return {
    kind: "tsv",
    framing: lineFraming(lineEnd),
    ...(shape.header !== false && { needsHeader: true }),
    ...lineLimits(options),
    decoder: (context) => {
      const names = headerNames(shape, lineEnd, options.invalid === "replace", context, fields);
      const rows = rowMaker(shape, names, context);
      return new MappedLines(context, options, TSV_HINT, (line) =>
        line === "" && rows.count !== 1 ? SKIP : rowOf(rows, fields(line)),
      );
    },
  };
}

const TSV_HINT = "Correct the record, or set such records aside with --max-bad.";

function headerNames(
  shape: TableShape,
  lineEnd: string,
  replace: boolean,
  context: DecodeContext,
  fields: (line: string) => string[],
): readonly string[] | undefined {
  if (shape.header === false) return undefined;
  const text = headerText(context, replace);
  checkHeaderText(text, lineEnd, context);
  return shape.header === true ? fields(text) : shape.header;
}

function tsvFields(line: string): string[] {
  const fields = line.split("\t");
  if (!line.includes("\\")) return fields;
  return fields.map(unescapeTsv);
}
