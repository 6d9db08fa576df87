import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { Date } from "../base/own-globals.ts";
import { DATA_HINT, describeInstance, isArraySubclass, isPlainObject } from "../job/plain-data.ts";

/** Prototypes of typed arrays that can be values. */
const TYPED: ReadonlySet<unknown> = new Set(
  [
    Uint8Array,
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
  ].map((type): unknown => type.prototype),
);

/**
 * A copy of `value` that later changes to the original cannot reach: what is emitted is what counts, not
 * what the program makes of the object afterwards. States are encoded long after the record they are from, so
 * what cannot be encoded is refused here.
 * @throws SheafError VALUE_INVALID for what is no data (functions, symbols, class instances ...), a cycle, or
 *   a value nested deeper than limits.valueDepthMax
 */
export function keepValue<V>(value: V): V {
  return copyItem(value, 0, refuse) as V;
}

/** As keepValue, but what is no data is kept as it is: results may be such, where their format takes them. */
export function copyValue<V>(value: V): V {
  return copyItem(value, 0, undefined) as V;
}

type Refuse = (what: string, hint?: string) => never;

function copyItem(value: unknown, depth: number, no: Refuse | undefined): unknown {
  if (typeof value !== "object" || value === null) {
    if (typeof value === "function" || typeof value === "symbol") no?.(`a ${typeof value}`);
    return value;
  }
  if (depth > limits.valueDepthMax) {
    throw new SheafError("VALUE_INVALID", `a value is nested deeper than ${limits.valueDepthMax} levels`, {
      hint: "Does the value contain itself? Emit the parts of it that the reduce needs.",
    });
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (Array.isArray(value)) {
    if (no !== undefined) checkArray(value, no);
    return value.map((item) => copyItem(item, depth + 1, no));
  }
  if (isPlainObject(value)) {
    if (no !== undefined && Object.getOwnPropertySymbols(value).length > 0) {
      no("an object with symbol fields");
    }
    const copy: object = Object.create(prototype as object | null) as object;
    for (const [name, field] of Object.entries(value)) setField(copy, name, copyItem(field, depth + 1, no));
    return copy;
  }
  if (Buffer.isBuffer(value)) return Buffer.from(value);
  if (prototype === Map.prototype) {
    const entries = [...(value as Map<unknown, unknown>)];
    return new Map(
      entries.map(([key, item]) => [copyItem(key, depth + 1, no), copyItem(item, depth + 1, no)]),
    );
  }
  if (prototype === Set.prototype) {
    return new Set([...(value as Set<unknown>)].map((item) => copyItem(item, depth + 1, no)));
  }
  if (prototype === Date.prototype) return new Date((value as Date).getTime());
  if (TYPED.has(prototype)) return (value as Uint8Array).slice();
  return no === undefined ? value : no(describeInstance(value));
}

function checkArray(array: readonly unknown[], no: Refuse): void {
  if (isArraySubclass(array)) no(describeInstance(array));
  const names = Object.keys(array);
  const { length } = array;
  // Indices come first, in their order: with the last one where it belongs, none is missing before it.
  const whole = length === 0 || names[length - 1] === String(length - 1);
  if (!whole) no("an array with holes", "Fill them with undefined or null.");
  if (names.length === length) return;
  // RegExp matches and template strings are such arrays.
  no("an array with fields of its own", "Emit the fields you need, or a plain copy: [...array].");
}

function refuse(what: string, hint = DATA_HINT): never {
  throw new SheafError("VALUE_INVALID", `a value cannot be ${what}: it would not come back as it was`, {
    hint,
  });
}

/** Assigning to "__proto__" would set the prototype; it is a name like any other. */
function setField(target: object, name: string, value: unknown): void {
  if (name !== "__proto__") (target as Record<string, unknown>)[name] = value;
  else Object.defineProperty(target, name, { value, writable: true, enumerable: true, configurable: true });
}

/** Estimated bytes a value occupies in memory. */
export function valueBytes(value: unknown): number {
  if (typeof value === "string") return 24 + value.length * 2;
  if (typeof value !== "object" || value === null) return 16;
  if (ArrayBuffer.isView(value)) return 100 + value.byteLength;
  if (Array.isArray(value)) {
    let bytes = 48;
    for (const item of value) bytes += 8 + valueBytes(item);
    return bytes;
  }
  let bytes = 64;
  if (value instanceof Map) for (const [key, item] of value) bytes += 24 + valueBytes(key) + valueBytes(item);
  if (value instanceof Set) for (const item of value) bytes += 16 + valueBytes(item);
  for (const field of Object.values(value)) bytes += 8 + valueBytes(field);
  return bytes;
}
