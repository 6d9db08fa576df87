import { isAscii, isUtf8 } from "node:buffer";
import type { DecodeContext, Decoder, RecordBatch } from "../job/reader.ts";
import { notUtf8 } from "./invalid-text.ts";

const RETURN = 13;

/**
 * Bytes decoded to one string, of which the lines are slices. Larger strings cost V8 more to allocate than
 * they save.
 */
const STRETCH_BYTES = 64 * 1024;

/** Lines of UTF-8 text as strings, without their "\n" or "\r\n", or, where that ends lines, their "\r". */
export class LineDecoder implements Decoder<string> {
  readonly #context: DecodeContext;
  readonly #replace: boolean;
  readonly #lineEnd: string;
  readonly #newline: number;

  constructor(context: DecodeContext, invalid: "fail" | "replace", lineEnd: string) {
    this.#context = context;
    this.#replace = invalid === "replace";
    this.#lineEnd = lineEnd;
    this.#newline = lineEnd.charCodeAt(0);
  }

  decode(bytes: Uint8Array, offset: number, _last: boolean, batch: RecordBatch<string>): void {
    const buffer = asBuffer(bytes);
    const length = buffer.length;
    for (let start = 0; start < length;) {
      const end = stretchEnd(buffer, start, this.#newline);
      const stretch = buffer.subarray(start, end);
      if (isAscii(stretch)) asciiLines(stretch, offset + start, this.#lineEnd, batch);
      else if (this.#replace || isUtf8(stretch)) wideLines(stretch, offset + start, this.#lineEnd, batch);
      else this.#lineByLine(stretch, offset + start, batch);
      start = end;
    }
  }

  #lineByLine(buffer: Buffer, offset: number, batch: RecordBatch<string>): void {
    for (let start = 0; start < buffer.length;) {
      const found = buffer.indexOf(this.#newline, start);
      const end = found === -1 ? buffer.length : found;
      const returned = this.#newline !== RETURN && found > start && buffer[end - 1] === RETURN;
      const line = buffer.subarray(start, returned ? end - 1 : end);
      if (isUtf8(line)) {
        batch.records.push(line.toString("utf8"));
        batch.offsets.push(offset + start);
      } else batch.bad.push(notUtf8(this.#context, offset + start, line));
      start = end + 1;
    }
  }
}

/** Lines as copies of their bytes, without their "\n" or "\r\n", or, where that ends lines, their "\r". */
export class ByteLineDecoder implements Decoder<Uint8Array> {
  readonly #newline: number;

  constructor(lineEnd: string) {
    this.#newline = lineEnd.charCodeAt(0);
  }

  decode(bytes: Uint8Array, offset: number, _last: boolean, batch: RecordBatch<Uint8Array>): void {
    const buffer = asBuffer(bytes);
    for (let start = 0; start < buffer.length;) {
      const found = buffer.indexOf(this.#newline, start);
      const end = found === -1 ? buffer.length : found;
      const returned = this.#newline !== RETURN && found > start && buffer[end - 1] === RETURN;
      const cut = returned ? end - 1 : end;
      batch.records.push(new Uint8Array(buffer.subarray(start, cut)));
      batch.offsets.push(offset + start);
      start = end + 1;
    }
  }
}

/** End of a stretch of whole lines from `start`: about STRETCH_BYTES, more when a line is longer. */
export function stretchEnd(buffer: Buffer, start: number, newline: number): number {
  const near = start + STRETCH_BYTES;
  if (near >= buffer.length) return buffer.length;
  const before = buffer.lastIndexOf(newline, near - 1);
  if (before >= start) return before + 1;
  const after = buffer.indexOf(newline, near);
  return after === -1 ? buffer.length : after + 1;
}

/** What text has at least; arrays for shorter lines grow. */
const LINE_BYTES = 32;

// Arrays are made as long as they will be, once: growing them by push costs 8 of 41 ns a line.
function asciiLines(buffer: Buffer, offset: number, lineEnd: string, batch: RecordBatch<string>): void {
  const { records, offsets } = batch;
  const text = buffer.toString("latin1");
  const { length } = text;
  const returns = lineEnd === "\n" && buffer.includes(RETURN);
  let count = records.length;
  let room = count;
  for (let start = 0; start < length;) {
    if (count === room) {
      room += Math.ceil((length - start) / LINE_BYTES);
      records.length = room;
      offsets.length = room;
    }
    const found = text.indexOf(lineEnd, start);
    const end = found === -1 ? length : found;
    const cut = returns && found > start && text.charCodeAt(end - 1) === RETURN ? end - 1 : end;
    records[count] = text.slice(start, cut);
    offsets[count] = offset + start;
    count++;
    start = end + 1;
  }
  records.length = count;
  offsets.length = count;
}

// Walks the bytes and the string side by side: the line ends are found in both, and no line is measured.
function wideLines(buffer: Buffer, offset: number, lineEnd: string, batch: RecordBatch<string>): void {
  const { records, offsets } = batch;
  const text = buffer.toString("utf8");
  const returns = lineEnd === "\n" && buffer.includes(RETURN);
  let byteStart = 0;
  for (let start = 0; byteStart < buffer.length;) {
    const found = text.indexOf(lineEnd, start);
    const end = found === -1 ? text.length : found;
    const cut = returns && found > start && text.charCodeAt(end - 1) === RETURN ? end - 1 : end;
    records.push(text.slice(start, cut));
    offsets.push(offset + byteStart);
    start = end + 1;
    const next = buffer.indexOf(lineEnd, byteStart);
    byteStart = next === -1 ? buffer.length : next + 1;
  }
}

/** The same memory as a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
