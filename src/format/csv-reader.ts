import { isAscii, isUtf8 } from "node:buffer";
import { SheafError } from "../base/errors.ts";
import type { DecodeContext, Decoder, Framing, Reader, RecordBatch } from "../job/reader.ts";
import type { Columns, RowOf } from "./columns.ts";
import { CsvSyntax, withoutReturn } from "./csv-fields.ts";
import { frameCutter, type FrameCutter } from "./frames.ts";
import { badRecord, invalidRecord, notUtf8 } from "./invalid-text.ts";
import { asBuffer } from "./line-decoder.ts";
import { checkColumns, rowMaker, type RowMaker, type TableShape } from "./table-rows.ts";
import { textLimits, type TextReaderOptions } from "./text-reader.ts";
import { utf8Length } from "./utf8-length.ts";

const newline = 10;

export interface CsvReaderOptions extends TextReaderOptions {
  /** Default "fail". */
  readonly invalid?: "fail" | "replace";
  /**
   * true (default): the file's first record names the columns. false: it is a row like the others. Names:
   * there is such a record, and these names are used in place of what it says.
   */
  readonly header?: boolean | readonly string[];
  /**
   * The columns wanted, with their types: others are left out. With `header: false`, all columns in order.
   */
  readonly columns?: Columns;
  /** One ASCII character. Default ",". */
  readonly delimiter?: string;
  /**
   * One ASCII character; null: none, every line is a row and quotes are characters like others. Large files
   * are planned sooner then, since nobody has to look for quotes before they are cut. Default '"'.
   */
  readonly quote?: string | null;
}

export type CsvRow = Readonly<Record<string, string>>;

/**
 * One row per record of RFC 4180 csv: an object by column names (an array of strings with `header: false` and
 * no `columns`). Strict, so that large files can be split: quotes go around a whole field, and stand doubled
 * inside it; any other quote makes a bad record, and may join it with the lines behind it. Empty lines are
 * skipped unless there is only one column.
 */
export function csvReader<const C extends Columns>(
  options: CsvReaderOptions & { readonly columns: C },
): Reader<RowOf<C>>;
export function csvReader(
  options: CsvReaderOptions & { readonly header: false; readonly columns?: never },
): Reader<readonly string[]>;
export function csvReader(options?: CsvReaderOptions & { readonly columns?: never }): Reader<CsvRow>;
export function csvReader(options: CsvReaderOptions = {}): Reader<unknown> {
  const delimiter = oneCharacter(options.delimiter ?? ",", "delimiter");
  const quote = options.quote === null ? null : oneCharacter(options.quote ?? '"', "quote");
  if (delimiter === quote) {
    throw new SheafError("JOB_INVALID", `csv: delimiter and quote are both ${JSON.stringify(quote)}`, {
      hint: "Choose another character for one of them.",
    });
  }
  checkColumns(options.columns, "csv");
  const shape: TableShape = { header: options.header ?? true, columns: options.columns };
  const syntax = new CsvSyntax(delimiter, quote);
  const header = shape.header !== false;
  const quoteCode = quote === null ? -1 : quote.charCodeAt(0);
  const framing: Framing =
    quote === null
      ? { kind: "delimiter", delimiter: Uint8Array.of(newline) }
      : { kind: "quoted", quote: quoteCode };
  return {
    kind: "csv",
    framing,
    ...(header && { needsHeader: true }),
    ...(options.invalid !== "replace" && {
      native: {
        kind: "columns",
        delimiter: delimiter.charCodeAt(0),
        quote: quoteCode,
        types: options.columns,
        names: (line, path) =>
          header
            ? headerNames(shape, syntax, {
                path,
                recordBytesMax: 0,
                ...(line !== undefined && { header: line }),
              })
            : options.columns && Object.keys(options.columns),
      } as const,
    }),
    ...textLimits(options),
    decoder: (context) => {
      const names = header ? headerNames(shape, syntax, context) : undefined;
      return new CsvDecoder(
        context,
        syntax,
        rowMaker(shape, names, context),
        options.invalid === "replace",
        framing,
      );
    },
  };
}

function oneCharacter(text: string, what: string): string {
  if (text.length === 1 && text.charCodeAt(0) < 0x80 && text !== "\n" && text !== "\r") return text;
  throw new SheafError(
    "JOB_INVALID",
    `csv: ${what} must be one ASCII character, not ${JSON.stringify(text)}`,
    {
      hint: 'For example "," or ";" or "\\t". For longer separators use text() and split in map.',
    },
  );
}

function headerNames(shape: TableShape, syntax: CsvSyntax, context: DecodeContext): readonly string[] {
  const line = context.header ?? new Uint8Array(0);
  if (!isUtf8(line)) throw notUtf8(context, 0, line).error;
  try {
    const names = syntax.fields(Buffer.from(line).toString("utf8"));
    return Array.isArray(shape.header) ? (shape.header as readonly string[]) : names;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw invalidRecord(
      context,
      0,
      `the header is no csv: ${why}`,
      "Check the reader's delimiter and quote.",
      error,
    );
  }
}

class CsvDecoder implements Decoder<unknown> {
  readonly #context: DecodeContext;
  readonly #syntax: CsvSyntax;
  readonly #rows: RowMaker;
  readonly #replace: boolean;
  readonly #cutter: FrameCutter;

  constructor(context: DecodeContext, syntax: CsvSyntax, rows: RowMaker, replace: boolean, framing: Framing) {
    this.#context = context;
    this.#syntax = syntax;
    this.#rows = rows;
    this.#replace = replace;
    this.#cutter = frameCutter(framing as Exclude<Framing, { kind: "stream" }>);
  }

  decode(bytes: Uint8Array, offset: number, _last: boolean, batch: RecordBatch<unknown>): void {
    const buffer = asBuffer(bytes);
    if (isAscii(buffer)) this.#records(buffer.toString("latin1"), offset, true, batch);
    else if (isUtf8(buffer)) this.#records(buffer.toString("utf8"), offset, false, batch);
    else this.#oneByOne(buffer, offset, batch);
  }

  #records(text: string, offset: number, ascii: boolean, batch: RecordBatch<unknown>): void {
    const syntax = this.#syntax;
    let byteStart = offset;
    const mark = syntax.quote;
    let quote = mark === null ? -1 : text.indexOf(mark);
    for (let start = 0; start < text.length;) {
      if (quote !== -1 && quote < start) quote = text.indexOf(mark!, start);
      let end = text.indexOf("\n", start);
      if (end === -1) end = text.length;
      if (quote !== -1 && quote < end) end = syntax.recordEnd(text, start);
      this.#record(text.slice(start, withoutReturn(text, start, end)), byteStart, batch);
      byteStart += ascii ? end + 1 - start : utf8Length(text, start, end) + 1;
      start = end + 1;
    }
  }

  /** Where some bytes are not UTF-8: each record on its own, so that only the wrong ones are bad. */
  #oneByOne(buffer: Buffer, offset: number, batch: RecordBatch<unknown>): void {
    for (let start = 0; start < buffer.length;) {
      const rest = buffer.subarray(start);
      const found = this.#cutter.firstEnd(rest, rest.length, 0);
      const raw = found === -1 ? rest : rest.subarray(0, found);
      if (this.#replace || isUtf8(raw)) {
        const text = raw.toString("utf8");
        const end = found === -1 ? text.length : text.length - 1;
        this.#record(text.slice(0, withoutReturn(text, 0, end)), offset + start, batch);
      } else batch.bad.push(notUtf8(this.#context, offset + start, raw));
      start += raw.length;
    }
  }

  #record(record: string, offset: number, batch: RecordBatch<unknown>): void {
    try {
      if (record === "" && this.#rows.count !== 1) return;
      batch.records.push(this.#rows.make(this.#syntax.fields(record)));
      batch.offsets.push(offset);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const hint = "Correct the record, or set such records aside with --max-bad.";
      batch.bad.push(
        badRecord(offset, invalidRecord(this.#context, offset, why, hint, error), Buffer.from(record)),
      );
    }
  }
}
