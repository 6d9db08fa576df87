const NEWLINE = 10;
const RETURN = 13;

/** Cuts csv text into records and fields, as RFC 4180 has it. */
export class CsvSyntax {
  readonly delimiter: string;
  /** null: there is no quoting, and every line is a record. */
  readonly quote: string | null;
  readonly #delimiterCode: number;
  readonly #quoteCode: number;

  constructor(delimiter: string, quote: string | null) {
    this.delimiter = delimiter;
    this.quote = quote;
    this.#delimiterCode = delimiter.charCodeAt(0);
    this.#quoteCode = quote === null ? -1 : quote.charCodeAt(0);
  }

  /**
   * Index of the newline that ends the record from `start` (the first one outside quotes), or the text's
   * length. For text with quoting only.
   */
  recordEnd(text: string, start: number): number {
    const mark = this.quote!;
    let inside = false;
    for (let at = start; ;) {
      const found = text.indexOf("\n", at);
      const end = found === -1 ? text.length : found;
      for (
        let quote = text.indexOf(mark, at);
        quote !== -1 && quote < end;
        quote = text.indexOf(mark, quote + 1)
      ) {
        inside = !inside;
      }
      if (!inside || end === text.length) return end;
      at = end + 1;
    }
  }

  /**
   * The fields of a record without its line end. Quoted fields may hold delimiters, newlines, and quotes
   * written twice.
   * @throws Error (without place) for a quote inside an unquoted field, text behind a closing quote, a quote
   * never closed
   */
  fields(record: string): string[] {
    const mark = this.quote;
    if (mark === null || !record.includes(mark)) return record.split(this.delimiter);
    const fields: string[] = [];
    for (let at = 0; ; at++) {
      if (record.charCodeAt(at) === this.#quoteCode) {
        at = this.#quoted(record, at + 1, fields);
      } else {
        const found = record.indexOf(this.delimiter, at);
        const end = found === -1 ? record.length : found;
        const field = record.slice(at, end);
        if (field.includes(mark))
          throw new Error(`field ${fields.length + 1} has a quote inside, but none around`);
        fields.push(field);
        at = end;
      }
      if (at === record.length) return fields;
    }
  }

  /** Reads on from behind the opening quote; returns the place behind the closing one. */
  #quoted(record: string, start: number, fields: string[]): number {
    const mark = this.quote!;
    let value = "";
    for (let from = start; ;) {
      const quote = record.indexOf(mark, from);
      if (quote === -1) throw new Error(`the quote around field ${fields.length + 1} is never closed`);
      value += record.slice(from, quote);
      const next = quote + 1;
      if (record.charCodeAt(next) === this.#quoteCode) {
        value += mark;
        from = next + 1;
        continue;
      }
      if (next < record.length && record.charCodeAt(next) !== this.#delimiterCode) {
        throw new Error(`field ${fields.length + 1} goes on behind its closing quote`);
      }
      fields.push(value);
      return next;
    }
  }
}

/** End of the record in text[start, end) without the "\r" of a "\r\n". */
export function withoutReturn(text: string, start: number, end: number): number {
  const terminated = end < text.length && text.charCodeAt(end) === NEWLINE;
  return terminated && end > start && text.charCodeAt(end - 1) === RETURN ? end - 1 : end;
}
