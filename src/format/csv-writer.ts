import { SheafError } from "../base/errors.ts";
import type { Key } from "../job/key.ts";
import type { ByteSink, Encoder, Writer } from "../job/writer.ts";
import { columnsOf, fieldText, isPlainObject } from "./field-text.ts";
import { type WriterOptions, writerCompression } from "./tsv-writer.ts";

export interface CsvWriterOptions extends WriterOptions {
  /**
   * true (default): the first line of each file names the columns: "key" (of an array "key1", "key2" ...),
   * then the fields of an object value, else "value" (of an array "value1" ...). Names: these are written,
   * also to a file without results. false: none.
   */
  readonly header?: boolean | readonly string[];
  /** One ASCII character. Default ",". */
  readonly delimiter?: string;
  /** One ASCII character. Default '"'. */
  readonly quote?: string;
}

/**
 * One record of RFC 4180 csv per result, columns as in tsvWriter; fields that need it are quoted. Lines end
 * with "\n".
 */
export function csvWriter(options: CsvWriterOptions = {}): Writer<Key, unknown> {
  const { delimiter = ",", quote = '"' } = options;
  return {
    kind: "csv",
    extension: ".csv",
    ...writerCompression(options),
    encoder: () => new CsvEncoder(delimiter, quote, options.header ?? true),
  };
}

class CsvEncoder implements Encoder<Key, unknown> {
  readonly #delimiter: string;
  readonly #quote: string;
  readonly #header: boolean | readonly string[];
  #columns = -1;

  constructor(delimiter: string, quote: string, header: boolean | readonly string[]) {
    this.#delimiter = delimiter;
    this.#quote = quote;
    this.#header = header;
  }

  begin(sink: ByteSink): void {
    if (typeof this.#header !== "boolean") sink.text(this.#line(this.#header));
  }

  write(key: Key, value: unknown, sink: ByteSink): void {
    const columns = columnsOf(key, value);
    // What may throw comes first: a refused value leaves no half line behind.
    const line = this.#line(columns);
    if (this.#columns === -1) {
      if (this.#header === true) sink.text(this.#line(columnNames(key, value)));
      this.#columns = typeof this.#header === "boolean" ? columns.length : this.#header.length;
    }
    if (this.#header !== false && columns.length !== this.#columns) {
      throw new SheafError(
        "VALUE_INVALID",
        `csv: a result has ${columns.length} columns, the header ${this.#columns}`,
        {
          hint: "Give all results the same columns, or write csv({ header: false }).",
        },
      );
    }
    sink.text(line);
  }

  #line(columns: readonly unknown[]): string {
    let line = "";
    for (let i = 0; i < columns.length; i++) line += (i > 0 ? this.#delimiter : "") + this.#field(columns[i]);
    // A line of one empty column would read as no record at all.
    return `${line === "" ? this.#quote + this.#quote : line}\n`;
  }

  #field(value: unknown): string {
    const text = fieldText(value);
    if (typeof value === "number") return text;
    const plain =
      !text.includes(this.#quote) &&
      !text.includes(this.#delimiter) &&
      !text.includes("\n") &&
      !text.includes("\r");
    return plain
      ? text
      : this.#quote + text.replaceAll(this.#quote, () => this.#quote + this.#quote) + this.#quote;
  }
}

function columnNames(key: Key, value: unknown): string[] {
  const numbered = (name: string, count: number): string[] =>
    Array.from({ length: count }, (_, i) => `${name}${i + 1}`);
  const names = Array.isArray(key) ? numbered("key", key.length) : ["key"];
  if (value === undefined) return names;
  if (Array.isArray(value)) return [...names, ...numbered("value", value.length)];
  return [...names, ...(isPlainObject(value) ? Object.keys(value) : ["value"])];
}
