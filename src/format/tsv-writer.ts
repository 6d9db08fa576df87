import { SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import type { Key } from "../job/key.ts";
import type { ByteSink, Encoder, Writer } from "../job/writer.ts";
import { fieldText } from "./field-text.ts";
import { isScalar, RowLayout, type RowShape } from "./row-layout.ts";

export interface WriterOptions {
  /** Default: not compressed. */
  readonly compress?: "gzip" | "zstd";
}

/** The options that every writer shares, as fields of the Writer. */
export function writerCompression(options: WriterOptions): Pick<Writer<Key, unknown>, "compression"> {
  return options.compress === undefined ? {} : { compression: options.compress };
}

/** The options that csv and tsv share. */
export interface TableWriterOptions extends WriterOptions {
  /** "pair" (default): the key's columns, then the value's. "record": those of the value alone. */
  readonly shape?: RowShape;
  /**
   * The columns of values that are objects, by name and in order; a field that a result lacks is empty.
   * Default: the fields of the file's first result, which all others must have, too.
   */
  readonly columns?: Readonly<Record<string, unknown>>;
}

/** Options of a table whose columns are those of its first result, named in a header. */
export function namedColumns<O extends TableWriterOptions>(
  options: O,
): Omit<O, "columns"> & { header: true } {
  const { columns: _, ...rest } = options;
  return { ...rest, header: true };
}

export interface TsvWriterOptions extends TableWriterOptions {
  /**
   * true (default): tab, newline, carriage return and backslash are written \t \n \r \\. false: backslashes
   * are nothing special, and a result with a tab or a line end in a column is refused.
   */
  readonly escape?: boolean;
  /**
   * As in csvWriter, but false by default: true, or names, for a first line that names the columns.
   */
  readonly header?: boolean | readonly string[];
}

/**
 * One line per result: the key's columns, then the value's, with tabs between. An array has one column per
 * element, a plain object as value one per field, anything else one; an undefined value has none. The fields
 * of objects are laid out as those of the file's first object, by their names; an object with other fields is
 * refused. What is nested in a column is JSON. null is an empty column. The columns' texts: see fieldText.
 * @throws SheafError JOB_INVALID when `header` names a column twice
 */
export function tsvWriter(options: TsvWriterOptions = {}): Writer<Key, unknown> {
  const { escape = true, header = false, shape = "pair" } = options;
  const columns = options.columns === undefined ? undefined : Object.keys(options.columns);
  const layout = (): RowLayout => new RowLayout({ format: "tsv", shape, header, columns });
  layout();
  const isNative = escape && header === false && shape === "pair";
  return {
    kind: "tsv",
    extension: ".tsv",
    ...writerCompression(options),
    ...(isNative && { nativeOutput: "tsv" as const }),
    encoder: () => new TsvEncoder(escape ? escapeTsv : refuseTsv, header !== false, layout()),
    estimates: () => tsvWriter(namedColumns(options)),
  };
}

const TAB = 9;
const NEWLINE = 10;
const ESCAPED = /[\t\n\r\\]/;
const ALL_ESCAPED = /[\t\n\r\\]/g;
const ESCAPES: Readonly<Record<string, string>> = { "\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\" };

class TsvEncoder implements Encoder<Key, unknown> {
  readonly #escaped: (text: string) => string;
  readonly #layout: RowLayout;
  /** True until the header is written, where there is one. */
  #owesHeader: boolean;
  /** Asked of the layout once: see RowLayout.simple. */
  #isSimple = false;

  constructor(escaped: (text: string) => string, header: boolean, layout: RowLayout) {
    this.#escaped = escaped;
    this.#owesHeader = header;
    this.#layout = layout;
  }

  get layout(): string | undefined {
    return this.#layout.agreement;
  }

  begin(sink: ByteSink, first?: readonly [key: Key, value: unknown]): void {
    if (first !== undefined) this.#layout.start(first[0], first[1]);
    const { names } = this.#layout;
    if (!this.#owesHeader || names === undefined) return;
    sink.text(`${this.#joined(names)}\n`);
    this.#owesHeader = false;
  }

  write(key: Key, value: unknown, sink: ByteSink): void {
    // What may throw comes first: a refused value leaves no half line behind.
    if (this.#isSimple && isScalar(value) && !Array.isArray(key)) {
      const keyText = typeof key === "string" ? this.#escaped(key) : this.#column(key);
      const valueText = this.#column(value);
      sink.text(keyText);
      sink.byte(TAB);
      sink.text(valueText);
      sink.byte(NEWLINE);
      return;
    }
    const layout = this.#layout;
    if (!layout.started) layout.start(key, value);
    const line = this.#joined(layout.row(key, value));
    if (this.#owesHeader) this.begin(sink);
    this.#isSimple = layout.simple;
    sink.text(line);
    sink.byte(NEWLINE);
  }

  #joined(items: readonly unknown[]): string {
    let text = "";
    for (let i = 0; i < items.length; i++) text += (i > 0 ? "\t" : "") + this.#column(items[i]);
    return text;
  }

  #column(value: unknown): string {
    // Digits, signs and points need no escape.
    return typeof value === "number" ? fieldText(value) : this.#escaped(fieldText(value));
  }
}

const UNWRITABLE = /[\t\n\r]/;

/** The text, when a column can hold it as it is. */
function refuseTsv(text: string): string {
  if (!UNWRITABLE.test(text)) return text;
  const hint = "Take them out of the text, or write tsv(), which escapes them and undoes it when reading.";
  const message = `tsv({ escape: false }): a column cannot hold tabs and line ends: ${printValue(text)}`;
  throw new SheafError("VALUE_INVALID", message, { hint });
}

/** The text with \t \n \r \\ in place of the characters that a line of tsv cannot hold. */
export function escapeTsv(text: string): string {
  return ESCAPED.test(text) ? text.replace(ALL_ESCAPED, (found) => ESCAPES[found]!) : text;
}

const UNESCAPES: Readonly<Record<string, string>> = { t: "\t", n: "\n", r: "\r", "\\": "\\" };

/** The inverse of escapeTsv. A backslash before any other character stands for itself. */
export function unescapeTsv(text: string): string {
  if (!text.includes("\\")) return text;
  return text.replace(/\\([tnr\\])/g, (_, letter: string) => UNESCAPES[letter]!);
}
