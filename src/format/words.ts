import { isAscii, isUtf8 } from "node:buffer";
import type { DecodeContext, Decoder, Reader, RecordBatch } from "../job/reader.ts";
import { notUtf8 } from "./invalid-text.ts";
import { asBuffer } from "./line-decoder.ts";
import { type LineOptions } from "./mapped-lines.ts";
import { lineEndOf, lineFraming, textLimits } from "./text-reader.ts";
import { utf8Length } from "./utf8-length.ts";

export interface WordsOptions extends LineOptions {
  /** "fail" (default) or "replace"; a wrong sequence is no letter and ends a word. */
  readonly invalid?: "fail" | "replace";
  /** Whether each word is lower-cased (by `toLowerCase`, independent of the locale). Default false. */
  readonly lowerCase?: boolean;
}

/**
 * One record per word: the longest runs of letters (\p{L}), in order. A word never goes over the end of a
 * line.
 */
export function words(options: WordsOptions = {}): Reader<string> {
  const lowerCase = options.lowerCase ?? false;
  const replace = options.invalid === "replace";
  const lineEnd = lineEndOf(options, "words");
  return {
    kind: "words",
    framing: lineFraming(lineEnd),
    ...(!replace &&
      lineEnd === "\n" &&
      (options.encoding ?? "utf-8") === "utf-8" && { native: { kind: "words", lowerCase } as const }),
    ...textLimits(options),
    decoder: (context) => new WordDecoder(context, lowerCase, replace, lineEnd),
  };
}

const STRETCH_BYTES = 64 * 1024;

class WordDecoder implements Decoder<string> {
  readonly #context: DecodeContext;
  readonly #lowerCase: boolean;
  readonly #replace: boolean;
  readonly #newline: number;
  readonly #letters = /\p{L}+/gu;

  constructor(context: DecodeContext, lowerCase: boolean, replace: boolean, lineEnd: string) {
    this.#newline = lineEnd.charCodeAt(0);
    this.#context = context;
    this.#lowerCase = lowerCase;
    this.#replace = replace;
  }

  decode(bytes: Uint8Array, offset: number, _last: boolean, batch: RecordBatch<string>): void {
    const buffer = asBuffer(bytes);
    for (let start = 0; start < buffer.length;) {
      // A line that is longer than a stretch is taken whole, so that no word is torn.
      const found = buffer.indexOf(this.#newline, Math.min(start + STRETCH_BYTES, buffer.length) - 1);
      const end = found === -1 ? buffer.length : found + 1;
      this.#stretch(buffer.subarray(start, end), offset + start, batch);
      start = end;
    }
  }

  #stretch(buffer: Buffer, offset: number, batch: RecordBatch<string>): void {
    if (isAscii(buffer)) this.#ascii(buffer, offset, batch);
    else if (isUtf8(buffer)) this.#wide(buffer, offset, batch);
    else {
      for (let start = 0; start < buffer.length;) {
        const found = buffer.indexOf(this.#newline, start);
        const end = found === -1 ? buffer.length : found;
        const line = buffer.subarray(start, end);
        if (isUtf8(line)) this.#wide(line, offset + start, batch);
        else if (this.#replace) this.#repaired(line, offset + start, batch);
        else batch.bad.push(notUtf8(this.#context, offset + start, line));
        start = end + 1;
      }
    }
  }

  #ascii(buffer: Buffer, offset: number, batch: RecordBatch<string>): void {
    const { records, offsets } = batch;
    const latin = buffer.toString("latin1");
    const text = this.#lowerCase ? latin.toLowerCase() : latin;
    const { length } = buffer;
    for (let at = 0; at < length;) {
      while (at < length && !isAsciiLetter(buffer[at]!)) at++;
      if (at === length) return;
      const start = at;
      while (at < length && isAsciiLetter(buffer[at]!)) at++;
      records.push(text.slice(start, at));
      offsets.push(offset + start);
    }
  }

  /** A line with wrong bytes: its words all get the line's offset, for text and bytes do not run in step. */
  #repaired(line: Buffer, offset: number, batch: RecordBatch<string>): void {
    for (const word of line.toString("utf8").match(this.#letters) ?? []) {
      batch.records.push(this.#lowerCase ? word.toLowerCase() : word);
      batch.offsets.push(offset);
    }
  }

  #wide(buffer: Buffer, offset: number, batch: RecordBatch<string>): void {
    const text = buffer.toString("utf8");
    const letters = this.#letters;
    letters.lastIndex = 0;
    let measured = 0;
    let bytes = 0;
    for (let match = letters.exec(text); match !== null; match = letters.exec(text)) {
      const word = match[0];
      bytes += utf8Length(text, measured, match.index);
      measured = match.index;
      batch.records.push(this.#lowerCase ? word.toLowerCase() : word);
      batch.offsets.push(offset + bytes);
    }
  }
}

function isAsciiLetter(byte: number): boolean {
  return ((byte | 0x20) - 97) >>> 0 < 26;
}
