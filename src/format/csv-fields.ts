/** Cuts records of csv into fields; where a record ends, QuotedRows says. */
export class CsvSyntax {
  readonly delimiter: string;
  /** null: there is no quoting, and every line is a record. */
  readonly quote: string | null;
  readonly #lenient: boolean;
  readonly lineEnd: string;
  readonly #delimiterCode: number;
  readonly #quoteCode: number;

  /** @param lenient stray quotes are characters, not an error */
  constructor(delimiter: string, quote: string | null, lenient: boolean, lineEnd: string) {
    this.delimiter = delimiter;
    this.quote = quote;
    this.#lenient = lenient;
    this.lineEnd = lineEnd;
    this.#delimiterCode = delimiter.charCodeAt(0);
    this.#quoteCode = quote === null ? -1 : quote.charCodeAt(0);
  }

  /**
   * The fields of a record without its line end. Quoted fields may hold delimiters, newlines, and quotes
   * written twice.
   * @throws Error (without place), unless lenient, for a quote inside an unquoted field, text behind a
   * closing quote, a quote never closed
   */
  fields(record: string): string[] {
    const mark = this.quote;
    if (mark === null || !record.includes(mark)) return record.split(this.delimiter);
    return this.#lenient ? this.#lenientFields(record, mark) : this.#strictFields(record, mark);
  }

  #strictFields(record: string, mark: string): string[] {
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

  #lenientFields(record: string, mark: string): string[] {
    const fields: string[] = [];
    let strayEnd = -1;
    for (let at = 0; ; at++) {
      const opens = record.charCodeAt(at) === this.#quoteCode;
      const close = opens ? this.#closeOf(record, at, at < strayEnd) : -1;
      if (close !== -1) {
        fields.push(record.slice(at + 1, close).replaceAll(mark + mark, mark));
        at = close + 1;
      } else {
        if (opens && at > strayEnd) strayEnd = this.#lineEndFrom(record, at);
        const found = record.indexOf(this.delimiter, at);
        const end = found === -1 ? record.length : found;
        fields.push(record.slice(at, end));
        at = end;
      }
      if (at === record.length) return fields;
    }
  }

  #lineEndFrom(record: string, at: number): number {
    const found = record.indexOf(this.lineEnd, at);
    return found === -1 ? record.length : found;
  }

  /**
   * Place of the quote that closes the one at `open`, by the rule of QuotedRows; -1 when it is a stray
   * one.
   */
  #closeOf(record: string, open: number, emptyOnly: boolean): number {
    const mark = this.quote!;
    const lineEnd = this.#lineEndFrom(record, open);
    for (let at = open + 1; ;) {
      const first = record.indexOf(mark, at);
      if (first === -1 || (emptyOnly && first !== open + 1)) return -1;
      at = first + 1;
      while (record.charCodeAt(at) === this.#quoteCode) at++;
      if ((at - first) % 2 === 1) {
        if (at === record.length || record.charCodeAt(at) === this.#delimiterCode) return at - 1;
        if (first > lineEnd) return -1;
      }
      if (emptyOnly) return -1;
    }
  }
}

const NEWLINE = 10;
const RETURN = 13;
/** A code that no byte has. */
const NONE = -1;

/**
 * Reads records of csv in one pass over their bytes, as far as they are plain: each quoted field closes where
 * QuotedRows has it close, and no other field has a quote inside. Of the others it says so.
 */
export class PlainRecords {
  readonly #delimiter: number;
  readonly #quote: number;
  readonly #mark: string;
  readonly #newline: number;
  readonly #slots: Int32Array | null;
  readonly #bytesMax: number;
  /** Of the record read last: one past its line end, its fields, and whether there is nothing in it. */
  end = 0;
  count = 0;
  isEmpty = false;
  /** What lies behind it: how much further the bytes are than the characters. */
  ahead = 0;
  values: string[] = [];

  /**
   * @param slots which value each field is; null: all are, in their order
   * @param bytesMax of a record, its line end not counted
   */
  constructor(syntax: CsvSyntax, slots: Int32Array | null, bytesMax: number) {
    this.#delimiter = syntax.delimiter.charCodeAt(0);
    this.#quote = syntax.quote === null ? NONE : syntax.quote.charCodeAt(0);
    this.#mark = syntax.quote ?? "";
    this.#newline = syntax.lineEnd.charCodeAt(0);
    this.#slots = slots;
    this.#bytesMax = bytesMax;
  }

  /**
   * Reads the record at bytes[start]; false: it is not plain, or has no end in bytes[0, length).
   * @param text of the bytes, whose index is that of the byte less `ahead`
   * @param ahead as it is at `start`
   */
  read(bytes: Uint8Array, text: string, start: number, length: number, ahead: number): boolean {
    const delimiter = this.#delimiter;
    const quote = this.#quote;
    const newline = this.#newline;
    const slots = this.#slots;
    const values: string[] = slots === null ? [] : this.values;
    let at = start;
    let count = 0;
    this.isEmpty = false;
    for (;;) {
      let byte = at < length ? bytes[at]! : NONE;
      const first = at - ahead;
      const slot = slots === null ? count : count < slots.length ? slots[count]! : NONE;
      if (byte === quote && quote !== NONE) {
        let isDoubled = false;
        for (at++; ; at++) {
          if (at >= length) return false;
          byte = bytes[at]!;
          if (byte === quote) {
            if (at + 1 >= length || bytes[at + 1] !== quote) break;
            isDoubled = true;
            at++;
          } else if (byte >= 0x80) ahead += byte < 0xc0 ? 1 : byte >= 0xf0 ? -1 : 0;
        }
        if (slot !== NONE) {
          const value = text.slice(first + 1, at - ahead);
          values[slot] = isDoubled ? value.replaceAll(this.#mark + this.#mark, this.#mark) : value;
        }
        at++;
        byte = at < length ? bytes[at]! : NONE;
        if (byte === RETURN && newline === NEWLINE && at + 1 < length) byte = bytes[++at]!;
        else if (byte === RETURN && newline === NEWLINE) return false;
        else if (byte === delimiter) {
          count++;
          at++;
          continue;
        }
        if (byte !== newline && byte !== NONE) return false;
      } else {
        while (byte !== delimiter && byte !== newline && byte !== NONE) {
          if (byte === quote) return false;
          if (byte >= 0x80) ahead += byte < 0xc0 ? 1 : byte >= 0xf0 ? -1 : 0;
          at++;
          byte = at < length ? bytes[at]! : NONE;
        }
        let last = at - ahead;
        if (byte === newline && newline === NEWLINE && last > first && bytes[at - 1] === RETURN) last--;
        this.isEmpty = count === 0 && last === first && byte !== delimiter;
        if (slot !== NONE) values[slot] = text.slice(first, last);
        if (byte === delimiter) {
          count++;
          at++;
          continue;
        }
      }
      break;
    }
    if (at - start > this.#bytesMax) return false;
    this.end = at < length ? at + 1 : length;
    this.count = count + 1;
    this.ahead = ahead;
    this.values = values;
    return true;
  }
}
