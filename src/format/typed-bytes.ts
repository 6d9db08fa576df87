import { SheafError } from "../base/errors.ts";
import { javaDouble, javaFloat } from "./java-number.ts";

/*
 * Typed bytes, as programs of Hadoop Streaming read and write them with -io typedbytes: a type code of one
 * byte and what follows it (package org.apache.hadoop.typedbytes). Everything is big-endian.
 */

const CODE = { bytes: 0, byte: 1, bool: 2, int: 3, long: 4, float: 5, double: 6, string: 7 } as const;
const VECTOR = 8;
const LIST = 9;
const MAP = 10;
const LIST_END = 255;
/** Bytes behind the code, where that says how many there are. */
const FIXED: readonly (number | undefined)[] = [undefined, 1, 1, 4, 8, 4, 8];
const DEPTH_MAX = 1_000;

function isBytes(code: number): boolean {
  return code === CODE.bytes || code === CODE.string || (code >= 50 && code <= 200);
}

function notTyped(what: string): SheafError {
  return new SheafError("VALUE_INVALID", `these are no typed bytes: ${what}`, {
    hint: "Each key and value is a type code (0 to 10, 50 to 200) and its bytes; print() belongs on standard error.",
  });
}

/**
 * Bytes of the sequence that begins at `at`, or as many as are known to be wanted, more than there are.
 * @throws SheafError VALUE_INVALID
 */
export function typedLength(bytes: Buffer, at: number): number {
  return end(bytes, at, 0) - at;
}

/** Where the sequence ends; beyond the bytes that there are when these are not all of it. */
function end(bytes: Buffer, at: number, depth: number): number {
  if (at >= bytes.length) return at + 1;
  if (depth > DEPTH_MAX) throw notTyped(`more than ${DEPTH_MAX} of them in one another`);
  const code = bytes[at]!;
  const fixed = FIXED[code];
  if (fixed !== undefined) return at + 1 + fixed;
  if (code === LIST) {
    let next = at + 1;
    while (next < bytes.length && bytes[next] !== LIST_END) next = end(bytes, next, depth + 1);
    return next + 1;
  }
  if (!isBytes(code) && code !== VECTOR && code !== MAP) throw notTyped(`there is no type code ${code}`);
  if (at + 5 > bytes.length) return at + 5;
  const count = bytes.readInt32BE(at + 1);
  if (count < 0) throw notTyped(`a length of ${count}`);
  let next = at + 5;
  if (isBytes(code)) return next + count;
  const items = code === MAP ? 2 * count : count;
  for (let i = 0; i < items && next <= bytes.length; i++) next = end(bytes, next, depth + 1);
  return next;
}

/** A record as a map reads it: its offset, a long, and its text, a string. */
export function typedRecord(offset: number, text: Uint8Array): Buffer {
  const typed = Buffer.allocUnsafe(9 + 5 + text.length);
  typed[0] = CODE.long;
  typed.writeBigInt64BE(BigInt(offset), 1);
  typed[9] = CODE.string;
  typed.writeUInt32BE(text.length, 10);
  typed.set(text, 14);
  return typed;
}

/**
 * The text that Hadoop's TextOutputFormat writes for them: strings as they are, numbers as Java prints them.
 * Bytes of strings that are no UTF-8 stay as they are.
 */
export function typedText(bytes: Buffer): Buffer {
  if (bytes[0] === CODE.string) return bytes.subarray(5);
  return Buffer.from(printed(bytes, 0)[0]);
}

function printed(bytes: Buffer, at: number): readonly [text: string, end: number] {
  const code = bytes[at]!;
  const next = end(bytes, at, 0);
  if (next > bytes.length) throw notTyped("they end too early");
  const first = at + 1;
  if (code === CODE.byte) return [String(bytes.readInt8(first)), next];
  if (code === CODE.bool) return [String(bytes[first] !== 0), next];
  if (code === CODE.int) return [String(bytes.readInt32BE(first)), next];
  if (code === CODE.long) return [String(bytes.readBigInt64BE(first)), next];
  if (code === CODE.float) return [javaFloat(bytes.readFloatBE(first)), next];
  if (code === CODE.double) return [javaDouble(bytes.readDoubleBE(first)), next];
  if (code === CODE.string) return [bytes.toString("utf8", at + 5, next), next];
  if (isBytes(code)) return [bytes.toString("hex", at + 5, next), next];
  const items: string[] = [];
  let from = code === LIST ? first : at + 5;
  const to = code === LIST ? next - 1 : next;
  while (from < to) {
    const [text, after] = printed(bytes, from);
    items.push(text);
    from = after;
  }
  return [code === MAP ? mapText(bytes, at + 5, items) : `[${items.join(", ")}]`, next];
}

/** In the order of its keys, as a TreeMap is; of equal ones the last. */
function mapText(bytes: Buffer, first: number, items: readonly string[]): string {
  const isNumber = items.length > 0 && bytes[first]! >= CODE.byte && bytes[first]! <= CODE.double;
  const values = new Map<string, string>();
  for (let i = 0; i < items.length; i += 2) values.set(items[i]!, items[i + 1]!);
  const order = isNumber
    ? (a: string, b: string): number => Number(a) - Number(b)
    : (a: string, b: string): number => (a < b ? -1 : 1);
  const keys = [...values.keys()].sort(order);
  return `{${keys.map((key) => `${key}=${values.get(key)}`).join(", ")}}`;
}

/** A record as a map reads it with -io rawbytes: lengths, its offset in eight bytes, and a Text of Hadoop. */
export function rawRecord(offset: number, text: Uint8Array): Buffer {
  const head = vint(text.length);
  const raw = Buffer.allocUnsafe(16 + head.length + text.length);
  raw.writeUInt32BE(8, 0);
  raw.writeBigInt64BE(BigInt(offset), 4);
  raw.writeUInt32BE(head.length + text.length, 12);
  raw.set(head, 16);
  raw.set(text, 16 + head.length);
  return raw;
}

/** Not negative, as WritableUtils.writeVInt has it. */
function vint(value: number): Buffer {
  if (value <= 127) return Buffer.from([value]);
  const bytes: number[] = [];
  for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Buffer.from([256 - 112 - bytes.length, ...bytes]);
}

/** As BytesWritable of Hadoop prints bytes: "61 0a". */
export function rawText(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString("hex").replace(/..(?!$)/g, "$& "));
}
