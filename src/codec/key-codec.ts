// Keys as bytes whose order under memcmp (shorter first) is the order of the keys. Part of the run file
// format: FROZEN.
//
//   key     = null | false | true | number | string | bytes | array | desc
//   null    = 10                 false = 20                 true = 21
//   number  = 30 f64             8 bytes big-endian; sign bit flipped when positive, all bits when negative
//   string  = 50 utf8*           at top level the record's key length ends it
//   bytes   = 60 byte*
//   array   = 70 element*        an element is a key; strings and bytes in it are escaped (00 becomes 00 ff)
//                                and end with 00 00; arrays in it end with 00
//   desc    = 80 complement*     the key as an element of an array, every bit flipped: desc()
//
// "a" is 50 61; ["a", 1] is 70 50 61 00 00 30 bf f0 00 00 00 00 00 00. No tag is 00 or ff, so an ended array
// sorts before a longer one, and a prefix of an array's elements is a prefix of its bytes.
import { describeThrown, SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { printValue } from "../base/print-value.ts";
import { Descending } from "../job/descending.ts";
import type { Key } from "../job/key.ts";
import { isPlainObject, isPromise } from "../job/plain-data.ts";

export const KEY_TAG = {
  null: 0x10,
  false: 0x20,
  true: 0x21,
  number: 0x30,
  string: 0x50,
  bytes: 0x60,
  array: 0x70,
  descending: 0x80,
} as const;

const DEPTH_MAX = limits.keyDepthMax;

const float = new Float64Array(1);
const floatBytes = new Uint8Array(float.buffer);

/** Most bytes the key's encoding can take. Throws KEY_INVALID for what is no key. */
export function keySizeMax(key: Key): number {
  if (typeof key === "string") return 1 + key.length * 3;
  return 1 + elementSizeMax(key, 0);
}

function elementSizeMax(key: Key, depth: number): number {
  if (typeof key === "string") return 3 + key.length * 3 + nulCount(key);
  if (typeof key === "number") return 9;
  if (key === null || typeof key === "boolean") return 1;
  if (key instanceof Uint8Array) return 3 + key.length * 2;
  if (!Array.isArray(key)) {
    if (key instanceof Descending && depth <= DEPTH_MAX) return 1 + elementSizeMax(key.key, depth + 1);
    throw notAKey(key);
  }
  if (depth > DEPTH_MAX) {
    throw new SheafError("KEY_INVALID", `a key is nested deeper than ${DEPTH_MAX} arrays, or holds itself`, {
      hint: "Keys are for grouping and sorting: put nested data in the value.",
    });
  }
  let size = 2;
  for (const element of key as readonly Key[]) size += elementSizeMax(element, depth + 1);
  return size;
}

function nulCount(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\0"); at >= 0; at = text.indexOf("\0", at + 1)) count++;
  return count;
}

function notAKey(key: unknown): SheafError {
  return new SheafError("KEY_INVALID", `a key cannot be ${describeKind(key)}`, {
    hint: "Keys are null, booleans, numbers, strings, Uint8Arrays, or arrays of these. Emit String(x) or an array of the fields.",
  });
}

function describeKind(value: unknown): string {
  if (typeof value === "function") return `a function: ${printValue(value)}`;
  if (typeof value === "bigint" || typeof value === "symbol")
    return `a ${typeof value}: ${printValue(value)}`;
  if (typeof value !== "object" || value === null) return printValue(value);
  if (isPlainObject(value)) return `an object: ${printValue(value)}`;
  const name: unknown = (value as { constructor?: { name?: unknown } }).constructor?.name;
  const what = typeof name === "string" && name !== "" ? `a ${name}` : "an object";
  return isPromise(value) ? `${what} (did you forget await?)` : `${what}: ${printValue(value)}`;
}

/**
 * Writes the key's encoding to `target` at `at` and returns the offset behind it.
 * REQUIRES keySizeMax(key) bytes of room. Throws KEY_INVALID (NaN, lone surrogates, not a key, too long).
 */
export function encodeKey(target: Buffer, at: number, key: Key): number {
  let end: number;
  if (typeof key === "string") {
    target[at] = KEY_TAG.string;
    end = encodeText(target, at + 1, key);
  } else if (typeof key === "number") {
    end = encodeNumber(target, at, key);
  } else if (key instanceof Uint8Array) {
    target[at] = KEY_TAG.bytes;
    target.set(key, at + 1);
    end = at + 1 + key.length;
  } else if (Array.isArray(key)) {
    target[at] = KEY_TAG.array;
    end = at + 1;
    for (const element of key as readonly Key[]) end = encodeElement(target, end, element);
  } else {
    end = encodeElement(target, at, key);
  }
  if (end - at > limits.keyBytesMax) {
    throw new SheafError("KEY_INVALID", `a key of ${end - at} bytes is longer than ${limits.keyBytesMax}`, {
      hint: "Use a shorter key, or a hash of it, and put the long text in the value.",
    });
  }
  return end;
}

function encodeElement(target: Buffer, at: number, key: Key): number {
  if (typeof key === "string") {
    target[at] = KEY_TAG.string;
    const end = encodeText(target, at + 1, key);
    return endEscaped(target, at + 1, end);
  }
  if (typeof key === "number") return encodeNumber(target, at, key);
  if (key === null) target[at] = KEY_TAG.null;
  else if (key === true) target[at] = KEY_TAG.true;
  else if (key === false) target[at] = KEY_TAG.false;
  else if (key instanceof Uint8Array) {
    target[at] = KEY_TAG.bytes;
    target.set(key, at + 1);
    return endEscaped(target, at + 1, at + 1 + key.length);
  } else if (Array.isArray(key)) {
    target[at] = KEY_TAG.array;
    let end = at + 1;
    for (const element of key as readonly Key[]) end = encodeElement(target, end, element);
    target[end] = 0;
    return end + 1;
  } else if (key instanceof Descending) {
    target[at] = KEY_TAG.descending;
    // An element tells its own end, so that none is a prefix of another: flipped, their order is the reverse.
    const end = encodeElement(target, at + 1, key.key);
    for (let i = at + 1; i < end; i++) target[i] = target[i]! ^ 0xff;
    return end;
  } else throw notAKey(key);
  return at + 1;
}

/**
 * Escapes zeros in target[from, to) in place and writes the 00 00 that ends a string or bytes in an array.
 */
function endEscaped(target: Buffer, from: number, to: number): number {
  let zeros = 0;
  for (let i = from; i < to; i++) if (target[i] === 0) zeros++;
  let write = to + zeros;
  if (zeros > 0) {
    // Backwards, so that nothing is overwritten before it has moved.
    for (let read = to - 1, out = write - 1; read >= from; read--) {
      if (target[read] === 0) target[out--] = 0xff;
      target[out--] = target[read]!;
    }
  }
  target[write++] = 0;
  target[write++] = 0;
  return write;
}

/** Short text is encoded here: a call of Buffer's write costs more than 48 characters (80 ns). */
function encodeText(target: Buffer, at: number, text: string): number {
  const length = text.length;
  if (length > 48) return encodeLongText(target, at, text);
  let end = at;
  for (let i = 0; i < length; i++) {
    const unit = text.charCodeAt(i);
    if (unit <= 0x7f) target[end++] = unit;
    else if (unit <= 0x7ff) {
      target[end++] = 0xc0 | (unit >> 6);
      target[end++] = 0x80 | (unit & 0x3f);
    } else if (unit < 0xd800 || unit > 0xdfff) {
      target[end++] = 0xe0 | (unit >> 12);
      target[end++] = 0x80 | ((unit >> 6) & 0x3f);
      target[end++] = 0x80 | (unit & 0x3f);
    } else return encodeLongText(target, at, text);
  }
  return end;
}

function encodeLongText(target: Buffer, at: number, text: string): number {
  if (!text.isWellFormed()) {
    throw new SheafError("KEY_INVALID", "a key holds half of a surrogate pair, which has no UTF-8 form", {
      hint: "Cut strings between code points (Array.from, Intl.Segmenter), or call toWellFormed() on the key.",
    });
  }
  return at + target.write(text, at, "utf8");
}

function encodeNumber(target: Buffer, at: number, value: number): number {
  if (value !== value) {
    throw new SheafError("KEY_INVALID", "NaN cannot be a key: it is equal to nothing, not even to itself", {
      hint: 'Check the number before emit, or emit a string such as "unknown" for it.',
    });
  }
  float[0] = value === 0 ? 0 : value;
  target[at] = KEY_TAG.number;
  const flip = floatBytes[7]! & 0x80 ? 0xff : 0;
  target[at + 1] = floatBytes[7]! ^ (flip === 0 ? 0x80 : 0xff);
  for (let i = 1; i < 8; i++) target[at + 1 + i] = floatBytes[7 - i]! ^ flip;
  return at + 9;
}

/** The key whose encoding is bytes[from, to), without desc(). Throws BLOCK_CORRUPT when there is none. */
export function decodeKey(bytes: Buffer, from: number, to: number): Key {
  switch (bytes[from]) {
    case KEY_TAG.string:
      return bytes.toString("utf8", from + 1, to);
    case KEY_TAG.bytes:
      return new Uint8Array(bytes.subarray(from + 1, to));
    case KEY_TAG.array: {
      const cursor = { at: from + 1 };
      const elements: Key[] = [];
      while (cursor.at < to) elements.push(decodeElement(bytes, cursor));
      return elements;
    }
    default:
      return decodeElement(bytes, { at: from });
  }
}

function decodeElement(bytes: Buffer, cursor: { at: number }): Key {
  const tag = bytes[cursor.at++];
  switch (tag) {
    case KEY_TAG.null:
      return null;
    case KEY_TAG.false:
      return false;
    case KEY_TAG.true:
      return true;
    case KEY_TAG.number: {
      const flip = bytes[cursor.at]! & 0x80 ? 0 : 0xff;
      floatBytes[7] = bytes[cursor.at]! ^ (flip === 0 ? 0x80 : 0xff);
      for (let i = 1; i < 8; i++) floatBytes[7 - i] = bytes[cursor.at + i]! ^ flip;
      cursor.at += 8;
      return float[0]!;
    }
    case KEY_TAG.string: {
      const raw = unescape(bytes, cursor);
      return raw.toString("utf8");
    }
    case KEY_TAG.bytes:
      return new Uint8Array(unescape(bytes, cursor));
    case KEY_TAG.array: {
      const elements: Key[] = [];
      while (bytes[cursor.at] !== 0) elements.push(decodeElement(bytes, cursor));
      cursor.at++;
      return elements;
    }
    case KEY_TAG.descending: {
      const flipped = Buffer.from(bytes.subarray(cursor.at, skipElement(bytes, cursor.at, 0xff)));
      for (let i = 0; i < flipped.length; i++) flipped[i] = flipped[i]! ^ 0xff;
      cursor.at += flipped.length;
      return decodeElement(flipped, { at: 0 });
    }
    default:
      throw new SheafError("BLOCK_CORRUPT", `byte 0x${(tag ?? 0).toString(16)} begins no key`);
  }
}

function unescape(bytes: Buffer, cursor: { at: number }): Buffer {
  const from = cursor.at;
  let zeros = 0;
  let to = bytes.indexOf(0, from);
  while (to >= 0 && bytes[to + 1] === 0xff) {
    zeros++;
    to = bytes.indexOf(0, to + 2);
  }
  if (to < 0) throw new SheafError("BLOCK_CORRUPT", "a string in an array key has no end");
  cursor.at = to + 2;
  if (zeros === 0) return bytes.subarray(from, to);
  const out = Buffer.allocUnsafe(to - from - zeros);
  for (let read = from, write = 0; read < to; read++) {
    out[write++] = bytes[read]!;
    if (bytes[read] === 0) read++;
  }
  return out;
}

/**
 * Length of the part of an encoded array key that holds its first `elements` elements.
 * @throws SheafError KEY_INVALID when the key is no array or has fewer elements.
 */
export function keyPrefixLength(bytes: Buffer, from: number, to: number, elements: number): number {
  let at = from + 1;
  for (let i = 0; i < elements; i++) {
    if (bytes[from] !== KEY_TAG.array || at >= to) {
      throw new SheafError(
        "KEY_INVALID",
        `groupBy is ${elements}, but a key is no array of at least ${elements} elements`,
        {
          hint: "With groupBy n every key must be an array whose first n elements name the group.",
        },
      );
    }
    at = skipElement(bytes, at, 0);
  }
  return at - from;
}

/** The end of the element at `at`, whose bytes were all combined with `flip`: 0, or 0xff inside desc(). */
function skipElement(bytes: Buffer, at: number, flip: 0 | 0xff): number {
  switch (bytes[at]! ^ flip) {
    case KEY_TAG.number:
      return at + 9;
    case KEY_TAG.string:
    case KEY_TAG.bytes: {
      let zero = bytes.indexOf(flip, at + 1);
      while (zero >= 0 && (bytes[zero + 1]! ^ flip) === 0xff) zero = bytes.indexOf(flip, zero + 2);
      if (zero < 0) throw new SheafError("BLOCK_CORRUPT", "a string in an array key has no end");
      return zero + 2;
    }
    case KEY_TAG.array: {
      let inner = at + 1;
      while (bytes[inner] !== flip) inner = skipElement(bytes, inner, flip);
      return inner + 1;
    }
    case KEY_TAG.descending:
      return skipElement(bytes, at + 1, flip === 0 ? 0xff : 0);
    default:
      return at + 1;
  }
}

/** The key as a person would want to read it in a message, cut to about 200 characters. */
export function printKey(key: unknown): string {
  let text: string;
  try {
    // Throws for a key that holds itself.
    JSON.stringify(key, (_, one: unknown) => (typeof one === "bigint" ? 0 : one));
    text = keyText(key);
  } catch (error) {
    text = `(${describeThrown(error)})`;
  }
  return text.length > 200 ? `${text.slice(0, 200)}...` : text;
}

/** JSON where there is one. */
function keyText(key: unknown): string {
  if (typeof key === "string") return JSON.stringify(key.length > 1000 ? key.slice(0, 1000) : key);
  if (key instanceof Uint8Array) return `bytes ${Buffer.from(key.subarray(0, 200)).toString("hex")}`;
  if (key instanceof Descending) return keyText(key.key);
  if (!Array.isArray(key)) return printValue(key);
  return `[${key.slice(0, 100).map(keyText).join(",")}]`;
}
