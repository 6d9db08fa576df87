// Values as bytes: what goes in comes out equal, or is refused at emit. Part of the run file format: FROZEN.
//
//   value = tag payload
//   00 undefined   01 null   02 false   03 true
//   04 integer     varint of the zigzagged integer, from -2^52 to 2^52 and not -0: zigzagged it stays exact
//   05 number      f64 little-endian
//   06 string      varint byte length, UTF-8          07 string with lone surrogates: varint bytes, UTF-16LE
//   08 Uint8Array  varint length, bytes               09 Buffer
//   0a bigint      varint length, decimal digits      0b Date: f64 milliseconds
//   0c array       varint length, values              0d plain object: varint fields, (name, value)*
//                                                   (a name is a string value)
//   0e Map         varint size, (value, value)*       0f Set: varint size, value*
//   10 object without prototype, as 0d                11 typed array: kind byte, varint bytes, bytes
import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { Date } from "../base/own-globals.ts";
import { DATA_HINT, describeInstance, isArraySubclass, isForeignPlain } from "../job/plain-data.ts";

const TAG = {
  undefined: 0,
  null: 1,
  false: 2,
  true: 3,
  integer: 4,
  number: 5,
  string: 6,
  utf16: 7,
  bytes: 8,
  buffer: 9,
  bigint: 10,
  date: 11,
  array: 12,
  object: 13,
  map: 14,
  set: 15,
  bare: 16,
  typed: 17,
} as const;

/** Twice this and one more is still an exact number. */
const INTEGER_MAX = 2 ** 52;

const TYPED = [
  Int8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
] as const;

/** Encodes values into a buffer of its own that grows; `bytes[0, length)` holds the last value encoded. */
export class ValueEncoder {
  bytes: Buffer = Buffer.allocUnsafe(1024);
  length = 0;

  /**
   * Encodes one value. Throws VALUE_INVALID for what would not come back equal (functions, class instances,
   * cycles ...).
   */
  encode(value: unknown): void {
    this.length = 0;
    this.#put(value, 0);
  }

  #room(size: number): void {
    if (this.length + size <= this.bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.bytes.length * 2, this.length + size));
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
  }

  #put(value: unknown, depth: number): void {
    this.#room(16);
    switch (typeof value) {
      case "number":
        return this.#number(value);
      case "string":
        return this.#string(value);
      case "undefined":
        this.bytes[this.length++] = TAG.undefined;
        return;
      case "boolean":
        this.bytes[this.length++] = value ? TAG.true : TAG.false;
        return;
      case "bigint":
        this.bytes[this.length++] = TAG.bigint;
        return this.#text(value.toString(), "latin1");
      case "object":
        if (value === null) this.bytes[this.length++] = TAG.null;
        else this.#object(value, depth);
        return;
      default:
        throw refused(`a ${typeof value}`);
    }
  }

  #number(value: number): void {
    if (Number.isInteger(value) && value <= INTEGER_MAX && value >= -INTEGER_MAX && !Object.is(value, -0)) {
      this.bytes[this.length++] = TAG.integer;
      // Zigzag by arithmetic: the shifts of JavaScript stop at 32 bits.
      this.#varint(value < 0 ? -value * 2 - 1 : value * 2);
    } else {
      this.bytes[this.length++] = TAG.number;
      this.bytes.writeDoubleLE(value, this.length);
      this.length += 8;
    }
  }

  #varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.bytes[this.length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.bytes[this.length++] = rest;
  }

  #string(value: string): void {
    if (value.length > 32 && !value.isWellFormed()) {
      this.bytes[this.length++] = TAG.utf16;
      return this.#text(value, "utf16le");
    }
    for (let i = 0; value.length <= 32 && i < value.length; i++) {
      if (value.charCodeAt(i) > 0x7f) {
        const whole = value.isWellFormed();
        this.bytes[this.length++] = whole ? TAG.string : TAG.utf16;
        return this.#text(value, whole ? "utf8" : "utf16le");
      }
    }
    this.bytes[this.length++] = TAG.string;
    if (value.length > 32) return this.#text(value, "utf8");
    this.#room(40);
    this.bytes[this.length++] = value.length;
    for (let i = 0; i < value.length; i++) this.bytes[this.length++] = value.charCodeAt(i);
  }

  #text(value: string, encoding: BufferEncoding): void {
    const size = Buffer.byteLength(value, encoding);
    this.#room(size + 10);
    this.#varint(size);
    this.bytes.write(value, this.length, encoding);
    this.length += size;
  }

  #raw(value: Uint8Array): void {
    this.#room(value.length + 10);
    this.#varint(value.length);
    this.bytes.set(value, this.length);
    this.length += value.length;
  }

  #object(value: object, depth: number): void {
    if (depth > limits.valueDepthMax) {
      throw refused(`nested deeper than ${limits.valueDepthMax} levels, or contains itself`);
    }
    if (Array.isArray(value)) return this.#array(value, depth);
    if (value instanceof Uint8Array) {
      const buffer = Buffer.isBuffer(value);
      if (!buffer && Object.getPrototypeOf(value) !== Uint8Array.prototype) {
        if (!(value instanceof Uint8ClampedArray)) throw refused(describeInstance(value));
      }
      this.bytes[this.length++] = buffer ? TAG.buffer : TAG.bytes;
      return this.#raw(value);
    }
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null || isForeignPlain(prototype as object)) {
      this.bytes[this.length++] = prototype === null ? TAG.bare : TAG.object;
      return this.#fields(value as Record<string, unknown>, depth);
    }
    if (prototype === Date.prototype) {
      this.bytes[this.length++] = TAG.date;
      this.bytes.writeDoubleLE((value as Date).getTime(), this.length);
      this.length += 8;
    } else if (prototype === Map.prototype) {
      this.bytes[this.length++] = TAG.map;
      this.#varint((value as Map<unknown, unknown>).size);
      for (const [key, item] of value as Map<unknown, unknown>) {
        this.#put(key, depth + 1);
        this.#put(item, depth + 1);
      }
    } else if (prototype === Set.prototype) {
      this.bytes[this.length++] = TAG.set;
      this.#varint((value as Set<unknown>).size);
      for (const item of value as Set<unknown>) this.#put(item, depth + 1);
    } else this.#typed(value);
  }

  #typed(value: object): void {
    const kind = TYPED.findIndex((type) => Object.getPrototypeOf(value) === type.prototype);
    if (kind < 0) throw refused(describeInstance(value));
    const view = value as Float64Array;
    this.bytes[this.length++] = TAG.typed;
    this.bytes[this.length++] = kind;
    this.#raw(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
  }

  #array(value: readonly unknown[], depth: number): void {
    if (isArraySubclass(value)) throw refused(describeInstance(value));
    // RegExp matches and template strings are such arrays.
    if (Object.keys(value).length > value.length) {
      throw refused(
        "an array with fields of its own",
        "Emit the fields you need, or a plain copy: [...array].",
      );
    }
    this.bytes[this.length++] = TAG.array;
    this.#varint(value.length);
    for (let i = 0; i < value.length; i++) {
      const item = value[i];
      if (item === undefined && !(i in value))
        throw refused("an array with holes", "Fill them with undefined or null.");
      this.#put(item, depth + 1);
    }
  }

  #fields(value: Record<string, unknown>, depth: number): void {
    const names = Object.keys(value);
    if (Object.getOwnPropertySymbols(value).length > 0) throw refused("an object with symbol fields");
    this.#room(10);
    this.#varint(names.length);
    for (const name of names) {
      this.#put(name, depth);
      this.#put(value[name], depth + 1);
    }
  }
}

function refused(what: string, hint?: string): SheafError {
  return new SheafError("VALUE_INVALID", `a value cannot be ${what}: it would not come back as it was`, {
    hint: hint ?? DATA_HINT,
  });
}

/** Decodes values out of a buffer; `at` moves behind what was read. */
export class ValueDecoder {
  bytes: Buffer = Buffer.alloc(0);
  at = 0;

  /** The value that takes `length` bytes of `bytes` from `from` on; no bytes at all are undefined. */
  decodeAt(bytes: Buffer, from: number, length: number): unknown {
    if (length === 0) return undefined;
    this.bytes = bytes;
    this.at = from;
    return this.decode();
  }

  /** The value encoded at bytes[at, ...). Buffers and strings are copies. */
  decode(): unknown {
    const { bytes } = this;
    const tag = bytes[this.at++];
    switch (tag) {
      case TAG.integer: {
        const z = this.#varint();
        return z % 2 === 0 ? z / 2 : -(z + 1) / 2;
      }
      case TAG.number:
        this.at += 8;
        return bytes.readDoubleLE(this.at - 8);
      case TAG.string: {
        const size = this.#varint();
        this.at += size;
        return bytes.toString("utf8", this.at - size, this.at);
      }
      case TAG.undefined:
        return undefined;
      case TAG.null:
        return null;
      case TAG.false:
        return false;
      case TAG.true:
        return true;
      case TAG.object:
        return this.#fields({});
      case TAG.array: {
        const items: unknown[] = [];
        for (let n = this.#varint(); n > 0; n--) items.push(this.decode());
        return items;
      }
      default:
        return this.#rare(tag);
    }
  }

  #rare(tag: number | undefined): unknown {
    switch (tag) {
      case TAG.utf16:
        return this.#raw().toString("utf16le");
      case TAG.bytes:
        return new Uint8Array(this.#raw());
      case TAG.buffer:
        return Buffer.from(this.#raw());
      case TAG.bigint:
        return BigInt(this.#raw().toString("latin1"));
      case TAG.date:
        this.at += 8;
        return new Date(this.bytes.readDoubleLE(this.at - 8));
      case TAG.map: {
        const map = new Map<unknown, unknown>();
        for (let n = this.#varint(); n > 0; n--) {
          const key = this.decode();
          map.set(key, this.decode());
        }
        return map;
      }
      case TAG.set: {
        const set = new Set<unknown>();
        for (let n = this.#varint(); n > 0; n--) set.add(this.decode());
        return set;
      }
      case TAG.bare:
        return this.#fields(Object.create(null) as Record<string, unknown>);
      case TAG.typed: {
        const type = TYPED[this.bytes[this.at++]!]!;
        const copy = new Uint8Array(this.#raw());
        return new type(copy.buffer, 0, copy.byteLength / type.BYTES_PER_ELEMENT);
      }
      default:
        throw new SheafError("BLOCK_CORRUPT", `byte 0x${(tag ?? 0).toString(16)} begins no value`);
    }
  }

  #fields(target: Record<string, unknown>): Record<string, unknown> {
    for (let n = this.#varint(); n > 0; n--) {
      const name = this.decode() as string;
      const value = this.decode();
      if (name === "__proto__") {
        Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true });
      } else target[name] = value;
    }
    return target;
  }

  #raw(): Buffer {
    const size = this.#varint();
    this.at += size;
    return this.bytes.subarray(this.at - size, this.at);
  }

  #varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.bytes[this.at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
  }
}
