import type { Key } from "../job/key.ts";
import type { ByteSink, Encoder, Writer } from "../job/writer.ts";
import { fieldText } from "./field-text.ts";
import { isScalar, RowLayout } from "./row-layout.ts";
import { namedColumns, type TableWriterOptions, writerCompression } from "./tsv-writer.ts";

export interface CsvWriterOptions extends TableWriterOptions {
  /**
   * true (default): the first line of each file names the columns: "key" (of an array "key1", "key2" ...),
   * then the fields of an object value, else "value" (of an array "value1" ...). Names: these are the
   * columns, the key's first; they are written to a file without results, too. false: no such line.
   */
  readonly header?: boolean | readonly string[];
  /** One ASCII character. Default ",". */
  readonly delimiter?: string;
  /** One ASCII character. Default '"'. */
  readonly quote?: string;
}

/**
 * One record of RFC 4180 csv per result, columns as in tsvWriter; fields that need it are quoted. Lines end
 * with "\n". With a header all results have as many columns as it.
 * @throws SheafError JOB_INVALID when `header` names a column twice
 */
export function csvWriter(options: CsvWriterOptions = {}): Writer<Key, unknown> {
  const { delimiter = ",", quote = '"', header = true, shape = "pair" } = options;
  const columns = options.columns === undefined ? undefined : Object.keys(options.columns);
  const layout = (): RowLayout => new RowLayout({ format: "csv", shape, header, columns });
  layout();
  return {
    kind: "csv",
    extension: ".csv",
    ...writerCompression(options),
    encoder: () => new CsvEncoder(delimiter, quote, header !== false, layout()),
    estimates: () => csvWriter(namedColumns(options)),
  };
}

/** In front of all else in a file readers take it for a mark of the file's encoding, and drop it. */
const BYTE_ORDER_MARK = 0xfeff;

class CsvEncoder implements Encoder<Key, unknown> {
  readonly #delimiter: string;
  readonly #quote: string;
  readonly #layout: RowLayout;
  /** True until the header is written, where there is one. */
  #owesHeader: boolean;
  /** Asked of the layout once: see RowLayout.simple. */
  #isSimple = false;
  /** Numbers hold neither delimiter nor quote. */
  readonly #plainNumbers: boolean;

  constructor(delimiter: string, quote: string, header: boolean, layout: RowLayout) {
    this.#delimiter = delimiter;
    this.#quote = quote;
    this.#owesHeader = header;
    this.#layout = layout;
    this.#plainNumbers = !/[-+.\de]/.test(delimiter + quote);
  }

  get layout(): string | undefined {
    return this.#layout.agreement;
  }

  begin(sink: ByteSink, first?: readonly [key: Key, value: unknown]): void {
    if (first !== undefined) this.#layout.start(first[0], first[1]);
    const { names } = this.#layout;
    if (!this.#owesHeader || names === undefined) return;
    sink.text(this.#line(names));
    this.#owesHeader = false;
  }

  write(key: Key, value: unknown, sink: ByteSink): void {
    // What may throw comes first: a refused value leaves no half line behind.
    if (this.#isSimple && isScalar(value) && !Array.isArray(key)) {
      const keyText = this.#field(key);
      sink.text(`${keyText}${this.#delimiter}${this.#field(value)}\n`);
      return;
    }
    if (!this.#layout.started) this.#layout.start(key, value);
    const line = this.#line(this.#layout.row(key, value));
    this.#isSimple = this.#layout.simple;
    if (this.#owesHeader) this.begin(sink);
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
    if (typeof value === "number" && this.#plainNumbers) return text;
    const plain =
      !text.includes(this.#quote) &&
      !text.includes(this.#delimiter) &&
      !text.includes("\n") &&
      !text.includes("\r") &&
      text.charCodeAt(0) !== BYTE_ORDER_MARK;
    return plain
      ? text
      : this.#quote + text.replaceAll(this.#quote, () => this.#quote + this.#quote) + this.#quote;
  }
}
