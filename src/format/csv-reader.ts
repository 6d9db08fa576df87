import { isAscii, isUtf8 } from "node:buffer";
import { isSheafError, SheafError } from "../base/errors.ts";
import type { DecodeContext, Decoder, Framing, Reader, RecordBatch } from "../job/reader.ts";
import type { Columns, RowOf } from "./columns.ts";
import { CsvSyntax, PlainRecords } from "./csv-fields.ts";
import { badRecord, invalidRecord, notUtf8 } from "./invalid-text.ts";
import { asBuffer, stretchEnd } from "./line-decoder.ts";
import { type LineOptions } from "./mapped-lines.ts";
import { QuotedRows } from "./quoted-rows.ts";
import {
  checkColumns,
  checkCount,
  checkHeaderText,
  headerText,
  rowMaker,
  rowOf,
  type RowMaker,
  type TableShape,
} from "./table-rows.ts";
import { lineEndOf, lineLimits } from "./text-reader.ts";

const RETURN = 13;

export interface CsvReaderOptions extends LineOptions {
  /** Default "fail". */
  readonly invalid?: "fail" | "replace";
  /**
   * true (default): the file's first record names the columns. false: it is a row like the others. Names:
   * there is such a record, and these names are used in place of what it says.
   */
  readonly header?: boolean | readonly string[];
  /**
   * The columns wanted, with their types: others are left out. With `header: false`, all columns in order:
   * names that are whole numbers, which an object has in an order of its own, are refused there unless they
   * count the columns from 0 or 1.
   */
  readonly columns?: Columns;
  /** One ASCII character. Default ",". */
  readonly delimiter?: string;
  /**
   * One ASCII character; null: none, every line is a row and quotes are characters like others. Large files
   * are planned sooner then, since nobody has to look for quotes before they are cut. Default '"'.
   */
  readonly quote?: string | null;
  /**
   * "strict" (default): a quote that neither encloses a field nor stands doubled inside one makes a bad
   * record. "lenient": it is a character (5" nail).
   */
  readonly quotes?: "strict" | "lenient";
}

export type CsvRow = Readonly<Record<string, string>>;

/**
 * One row per record of RFC 4180 csv: an object by column names (an array of strings with `header: false`
 * and no `columns`). Empty lines are skipped unless there is only one column.
 *
 * A quote at the start of a field opens a quoted one if its closing quote is found: the next quote that
 * does not stand doubled has a delimiter, a line end or the end of the file behind it, within
 * `recordBytesMax` of the record's start. Only such a field may hold line ends. Any other quote is a stray
 * one: the record is bad, and ends at the first line end that is in no quoted field, so that the lines
 * behind it are read as ever. Each line of a bad record is set aside, and counts, by itself. With `quotes:
 * "lenient"` stray quotes are characters; a field's closing quote is then the first on its line that has a
 * delimiter or the line end behind it, and behind a stray quote at the start of a field, the only quoted
 * fields on that line are "".
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
  const quotes = options.quotes ?? "strict";
  if (quotes !== "strict" && quotes !== "lenient") {
    throw new SheafError("JOB_INVALID", `csv: quotes cannot be ${JSON.stringify(quotes)}`, {
      hint: 'Choose "strict" or "lenient"; quote: null reads every quote as a character.',
    });
  }
  const lineEnd = lineEndOf(options, "csv");
  const shape: TableShape = { header: options.header ?? true, columns: options.columns };
  checkColumns(shape, "csv");
  const syntax = new CsvSyntax(delimiter, quote, quotes === "lenient", lineEnd);
  const header = shape.header !== false;
  const replace = options.invalid === "replace";
  const quoteCode = quote === null ? -1 : quote.charCodeAt(0);
  const framing: Framing =
    quote === null
      ? { kind: "delimiter", delimiter: Buffer.from(lineEnd) }
      : {
          kind: "quoted",
          quote: quoteCode,
          delimiter: delimiter.charCodeAt(0),
          newline: lineEnd.charCodeAt(0),
          lenient: quotes === "lenient",
        };
  return {
    kind: "csv",
    framing,
    ...(header && { needsHeader: true }),
    ...(!replace &&
      lineEnd === "\n" &&
      (options.encoding ?? "utf-8") === "utf-8" && {
        native: {
          kind: "columns",
          delimiter: delimiter.charCodeAt(0),
          quote: quoteCode,
          types: options.columns,
          names: (line, path) =>
            header
              ? headerNames(shape, syntax, false, {
                  path,
                  recordBytesMax: 0,
                  ...(line !== undefined && { header: line }),
                })
              : options.columns && Object.keys(options.columns),
        } as const,
      }),
    ...lineLimits(options),
    decoder: (context) => {
      const names = header ? headerNames(shape, syntax, replace, context) : undefined;
      return new CsvDecoder(
        context,
        syntax,
        rowMaker(shape, names, context),
        replace,
        framing.kind === "quoted" ? new QuotedRows(framing, context.recordBytesMax) : null,
        lineEnd,
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

/** What Excel writes, and takes, before the header: the delimiter. */
const EXCEL_SETTING = /^sep=.?$/i;

function headerNames(
  shape: TableShape,
  syntax: CsvSyntax,
  replace: boolean,
  context: DecodeContext,
): readonly string[] {
  try {
    const text = headerText(context, replace);
    const isPlain = syntax.quote === null || !text.includes(syntax.quote);
    if (isPlain || /[\r\n]$/.test(text)) checkHeaderText(text, syntax.lineEnd, context);
    if (EXCEL_SETTING.test(text)) {
      const what = `the first line is ${JSON.stringify(text)}, a setting of Excel's, and names no columns`;
      const hint = 'Remove it (tail -n +2 FILE), and give the reader what it says: { delimiter: ";" }.';
      throw invalidRecord(context, 0, what, hint);
    }
    const names = syntax.fields(text);
    return Array.isArray(shape.header) ? (shape.header as readonly string[]) : names;
  } catch (error) {
    if (isSheafError(error)) throw error;
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
  /** Where records with quotes end; null: there is no quoting. */
  readonly #quoted: QuotedRows | null;
  readonly #newline: number;
  readonly #plain: PlainRecords;

  constructor(
    context: DecodeContext,
    syntax: CsvSyntax,
    rows: RowMaker,
    replace: boolean,
    quoted: QuotedRows | null,
    lineEnd: string,
  ) {
    this.#context = context;
    this.#syntax = syntax;
    this.#rows = rows;
    this.#replace = replace;
    this.#quoted = quoted;
    this.#newline = lineEnd.charCodeAt(0);
    this.#plain = new PlainRecords(syntax, rows.slots, context.recordBytesMax);
  }

  decode(bytes: Uint8Array, offset: number, _last: boolean, batch: RecordBatch<unknown>): void {
    const buffer = asBuffer(bytes);
    if (!isUtf8(buffer)) return this.#oneByOne(buffer, offset, batch);
    for (let start = 0; start < buffer.length;) start = this.#stretch(buffer, start, offset, batch);
  }

  /** Some records, from one that begins at `start`. @returns where the next one does */
  #stretch(buffer: Buffer, start: number, offset: number, batch: RecordBatch<unknown>): number {
    const plain = this.#plain;
    const end = stretchEnd(buffer, start, this.#newline);
    const stretch = buffer.subarray(start, end);
    const text = stretch.toString(isAscii(stretch) ? "latin1" : "utf8");
    let at = start;
    for (let ahead = start; at < end;) {
      if (plain.read(buffer, text, at, end, ahead)) {
        this.#plainRecord(buffer, at, offset, batch);
        at = plain.end;
        ahead = plain.ahead;
        continue;
      }
      const next = this.#quotedEnd(buffer, at);
      this.#record(buffer.toString("utf8", at, this.#contentEnd(buffer, at, next)), offset + at, batch);
      ahead += next - at - buffer.toString("utf8", at, next).length;
      at = next;
    }
    return at;
  }

  #plainRecord(buffer: Buffer, at: number, offset: number, batch: RecordBatch<unknown>): void {
    const { count, isEmpty, values, end } = this.#plain;
    const rows = this.#rows;
    if (isEmpty && rows.count !== 1) return;
    let record: unknown;
    try {
      if (rows.count !== null) checkCount(count, rows.count);
      record = rows.make(values);
    } catch (error) {
      const raw = buffer.subarray(at, this.#contentEnd(buffer, at, end));
      this.#setAside(this.#invalid(offset + at, error), offset + at, raw, batch);
      return;
    }
    batch.records.push(record);
    batch.offsets.push(offset + at);
  }

  /** Where some bytes are not UTF-8: each record on its own, so that only the wrong ones are bad. */
  #oneByOne(buffer: Buffer, offset: number, batch: RecordBatch<unknown>): void {
    for (let start = 0; start < buffer.length;) {
      const end = this.#quotedEnd(buffer, start);
      const raw = buffer.subarray(start, this.#contentEnd(buffer, start, end));
      if (this.#replace || isUtf8(raw)) this.#record(raw.toString("utf8"), offset + start, batch);
      else this.#setAside(notUtf8(this.#context, offset + start, raw).error, offset + start, raw, batch);
      start = end;
    }
  }

  /** One past the record's line end. What tells it lies in these bytes, or does not matter. */
  #quotedEnd(buffer: Buffer, start: number): number {
    const end =
      this.#quoted === null
        ? buffer.indexOf(this.#newline, start) + 1
        : this.#quoted.end(buffer, start, buffer.length, true);
    return end <= 0 ? buffer.length : end;
  }

  /** End of the record in buffer[start, end) without its line end. */
  #contentEnd(buffer: Buffer, start: number, end: number): number {
    if (buffer[end - 1] !== this.#newline) return end;
    return this.#newline !== RETURN && end - 1 > start && buffer[end - 2] === RETURN ? end - 2 : end - 1;
  }

  #record(record: string, offset: number, batch: RecordBatch<unknown>): void {
    try {
      if (record === "" && this.#rows.count !== 1) return;
      batch.records.push(rowOf(this.#rows, this.#syntax.fields(record)));
      batch.offsets.push(offset);
    } catch (error) {
      this.#setAside(this.#invalid(offset, error), offset, Buffer.from(record), batch);
    }
  }

  #invalid(offset: number, error: unknown): Error {
    const why = error instanceof Error ? error.message : String(error);
    return invalidRecord(this.#context, offset, why, CSV_HINT, error);
  }

  /** A bad record, line by line: each counts, and is kept, by itself. */
  #setAside(error: Error, offset: number, raw: Buffer, batch: RecordBatch<unknown>): void {
    let end = raw.indexOf(this.#newline);
    if (end === -1) end = raw.length;
    batch.bad.push(badRecord(offset, error, raw.subarray(0, end)));
    for (let line = 2; end < raw.length; line++) {
      const start = end + 1;
      end = raw.indexOf(this.#newline, start);
      if (end === -1) end = raw.length;
      const what = `line ${line} of the bad record at ${offset}`;
      const again = invalidRecord(this.#context, offset + start, what, CSV_HINT);
      batch.bad.push(badRecord(offset + start, again, raw.subarray(start, end)));
    }
  }
}

const CSV_HINT =
  "Correct the record, or set such records aside with --max-bad; where quotes are plain characters, give " +
  'the reader { quotes: "lenient" }.';
