import { SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { KiB } from "../base/size.ts";
import type { RunningProgram } from "../exec/program.ts";
import { fieldText, jsonText } from "../format/field-text.ts";
import { rawRecord, typedLength, typedRecord } from "../format/typed-bytes.ts";
import { commandText, type ExecPlan } from "../job/exec.ts";

const NEWLINE = 10;
/** Between the elements of a record that a map reads. */
const TAB = Buffer.from("\t");
const FEED_BYTES = 64 * KiB;

/** Bytes on their way to a program: gathered, so that neither a record nor a pair costs a write. */
export class ExecFeed {
  readonly plan: ExecPlan;
  bytes: Buffer = Buffer.allocUnsafe(FEED_BYTES);
  length = 0;

  constructor(plan: ExecPlan) {
    this.plan = plan;
  }

  /** True when it is time to send what is there. */
  get full(): boolean {
    return this.length >= FEED_BYTES - 4 * KiB;
  }

  /** Makes room for so many bytes more. */
  room(size: number): void {
    if (this.length + size <= this.bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.bytes.length * 2, this.length + size));
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
  }

  async send(program: RunningProgram): Promise<void> {
    const { length } = this;
    this.length = 0;
    await program.write(this.bytes.subarray(0, length));
  }

  /**
   * A record of the input, as a map program reads it; `offset` is where it begins.
   * @throws SheafError VALUE_INVALID for what its protocol has no form for
   */
  record(record: unknown, offset = 0): void {
    const { inputProtocol } = this.plan;
    if (inputProtocol === "json") this.#text(`${jsonText(record)}\n`);
    else if (inputProtocol === "bytes") this.frame(record);
    else if (inputProtocol === "typedbytes") this.#put(typedRecord(offset, this.#bytesOf(record)));
    else if (inputProtocol === "rawbytes") this.#put(rawRecord(offset, this.#bytesOf(record)));
    else this.#line(record);
  }

  /** A pair, as a reduce or combine program reads it, that JavaScript or another protocol has made. */
  pair(key: unknown, value: unknown): void {
    const { inputProtocol, inputSeparator } = this.plan;
    if (inputProtocol === "json")
      return this.#text(`${jsonText(value === undefined ? [key] : [key, value])}\n`);
    if (inputProtocol === "bytes" || inputProtocol === "rawbytes") {
      this.frame(key);
      return this.frame(value ?? "");
    }
    if (inputProtocol === "typedbytes") {
      this.#typed(key);
      return this.#typed(value);
    }
    const before = this.length;
    this.#fields(key, inputSeparator);
    if (Array.isArray(key) ? false : this.bytes.subarray(before, this.length).includes(inputSeparator)) {
      const what = `${printValue(key)} has the separator of key and value in it`;
      throw this.#refused(what, 'Emit an array of the fields, or use protocol: "json".');
    }
    if (value !== undefined) {
      this.#put(inputSeparator);
      this.#fields(value, inputSeparator);
    }
    this.#endLine(before);
  }

  /** Four bytes of length, the highest first, and so many bytes. */
  frame(piece: unknown): void {
    const bytes = this.#bytesOf(piece);
    this.room(4 + bytes.length);
    this.length = this.bytes.writeUInt32BE(bytes.length, this.length);
    this.#put(bytes);
  }

  #bytesOf(piece: unknown): Uint8Array {
    if (typeof piece === "string") return Buffer.from(piece);
    if (piece instanceof Uint8Array) return piece;
    throw this.#refused(`${printValue(piece)} is neither bytes nor text`, 'Use protocol: "json" for data.');
  }

  /** Typed bytes already, one sequence. */
  #typed(piece: unknown): void {
    const bytes = piece instanceof Uint8Array ? Buffer.from(piece) : Buffer.alloc(0);
    if (bytes.length === 0 || typedLength(bytes, 0) !== bytes.length) {
      const hint = "Emit Uint8Arrays of a type code and its bytes, or let programs write all of the pairs.";
      throw this.#refused(`${printValue(piece)} is no sequence of typed bytes`, hint);
    }
    this.#put(bytes);
  }

  #line(record: unknown): void {
    const before = this.length;
    // A line of the step before that was all key.
    const isKey = Array.isArray(record) && record.length === 2 && record[1] === undefined;
    this.#fields(isKey ? record[0] : record, TAB);
    this.#endLine(before);
  }

  /** Texts and numbers as they are, the elements of an array with separators between. */
  #fields(value: unknown, separator: Buffer): void {
    if (!Array.isArray(value)) return this.#field(value);
    for (const [i, element] of value.entries()) {
      if (i > 0) this.#put(separator);
      this.#field(element);
    }
  }

  #field(value: unknown): void {
    if (value instanceof Uint8Array) return this.#put(value);
    if (typeof value === "object" && value !== null && !(value instanceof Date)) {
      throw this.#refused(`${printValue(value)} is no text`, 'Use protocol: "json" for records with fields.');
    }
    const text = fieldText(value);
    if (!text.isWellFormed()) throw this.#refused("a text holds half of a surrogate pair", "Mend the text.");
    this.#text(text);
  }

  #endLine(from: number): void {
    if (this.bytes.subarray(from, this.length).includes(NEWLINE)) {
      const line = printValue(this.bytes.toString("utf8", from, this.length));
      this.length = from;
      throw this.#refused(`${line} would be several lines`, 'Use protocol: "json" or "bytes".');
    }
    this.room(1);
    this.bytes[this.length++] = NEWLINE;
  }

  #text(text: string): void {
    this.room(text.length * 3);
    this.length += this.bytes.write(text, this.length, "utf8");
  }

  #put(bytes: Uint8Array): void {
    this.room(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  #refused(what: string, hint: string): SheafError {
    return new SheafError("VALUE_INVALID", `${commandText(this.plan)} cannot be given it: ${what}`, { hint });
  }
}

/** A chunk of whole lines as a program gets it: with "\n" alone at their ends, and at the last one's. */
export function plainLines(bytes: Buffer): Buffer {
  const isEnded = bytes.length === 0 || bytes[bytes.length - 1] === NEWLINE;
  if (isEnded && !bytes.includes("\r\n")) return bytes;
  const lines = Buffer.allocUnsafe(bytes.length + 1);
  let length = 0;
  for (let at = 0; at < bytes.length;) {
    const found = bytes.indexOf("\r\n", at);
    const end = found < 0 ? bytes.length : found;
    length += bytes.copy(lines, length, at, end);
    if (found >= 0) lines[length++] = NEWLINE;
    at = found < 0 ? end : end + 2;
  }
  if (!isEnded) lines[length++] = NEWLINE;
  return lines.subarray(0, length);
}
