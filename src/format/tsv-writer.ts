import type { Key } from "../job/key.ts";
import type { ByteSink, Encoder, Writer } from "../job/writer.ts";
import { fieldText, isPlainObject } from "./field-text.ts";

export interface WriterOptions {
  /** Default: not compressed. */
  readonly compress?: "gzip" | "zstd";
}

/** The options that every writer shares, as fields of the Writer. */
export function writerCompression(options: WriterOptions): Pick<Writer<Key, unknown>, "compression"> {
  return options.compress === undefined ? {} : { compression: options.compress };
}

/**
 * One line per result: the key's columns, then the value's, with tabs between. An array has one column per
 * element, a plain object as value one per field in field order, anything else one; an undefined value has
 * none. What is nested in a column is JSON. Tab, newline, carriage return and backslash are written \t \n \r
 * \\; null is an empty column. The columns' texts: see fieldText.
 */
export function tsvWriter(options: WriterOptions = {}): Writer<Key, unknown> {
  return {
    kind: "tsv",
    extension: ".tsv",
    ...writerCompression(options),
    nativeOutput: "tsv",
    encoder: () => new TsvEncoder(),
  };
}

const TAB = 9;
const NEWLINE = 10;
const ESCAPED = /[\t\n\r\\]/;
const ALL_ESCAPED = /[\t\n\r\\]/g;
const ESCAPES: Readonly<Record<string, string>> = { "\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\" };

class TsvEncoder implements Encoder<Key, unknown> {
  write(key: Key, value: unknown, sink: ByteSink): void {
    // What may throw comes first: a refused value leaves no half line behind.
    const keyText = typeof key === "string" ? escapeTsv(key) : Array.isArray(key) ? joined(key) : column(key);
    if (value === undefined) {
      sink.text(keyText);
      sink.byte(NEWLINE);
      return;
    }
    const valueText = Array.isArray(value)
      ? joined(value)
      : isPlainObject(value)
        ? joined(Object.values(value))
        : column(value);
    sink.text(keyText);
    // An empty array or object has no column, so no tab before it either.
    if (valueText !== "" || !isEmpty(value)) sink.byte(TAB);
    sink.text(valueText);
    sink.byte(NEWLINE);
  }
}

function joined(items: readonly unknown[]): string {
  let text = "";
  for (let i = 0; i < items.length; i++) text += (i > 0 ? "\t" : "") + column(items[i]);
  return text;
}

function column(value: unknown): string {
  // Digits, signs and points need no escape.
  return typeof value === "number" ? fieldText(value) : escapeTsv(fieldText(value));
}

function isEmpty(value: unknown): boolean {
  return Array.isArray(value) ? value.length === 0 : isPlainObject(value) && Object.keys(value).length === 0;
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
