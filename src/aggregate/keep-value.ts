import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";

/**
 * A copy of `value` that later changes to the original cannot reach: what is emitted is what counts, not
 * what the program makes of the object afterwards. Class instances and functions, which are no data, are kept
 * as they are, for the codec to refuse.
 * @throws SheafError VALUE_INVALID for a cycle or a value nested deeper than limits.valueDepthMax
 */
export function keepValue<V>(value: V): V {
  return copyItem(value, 0) as V;
}

function copyItem(value: unknown, depth: number): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (depth > limits.valueDepthMax) {
    throw new SheafError("VALUE_INVALID", `a value is nested deeper than ${limits.valueDepthMax} levels`, {
      hint: "Does the value contain itself? Emit the parts of it that the reduce needs.",
    });
  }
  if (Array.isArray(value)) return value.map((item) => copyItem(item, depth + 1));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) {
    const copy: object = Object.create(prototype as object | null) as object;
    for (const [name, field] of Object.entries(value)) setField(copy, name, copyItem(field, depth + 1));
    return copy;
  }
  if (Buffer.isBuffer(value)) return Buffer.from(value);
  if (prototype === Map.prototype) {
    const entries = [...(value as Map<unknown, unknown>)];
    return new Map(entries.map(([key, item]) => [copyItem(key, depth + 1), copyItem(item, depth + 1)]));
  }
  if (prototype === Set.prototype) {
    return new Set([...(value as Set<unknown>)].map((item) => copyItem(item, depth + 1)));
  }
  return ArrayBuffer.isView(value) || prototype === Date.prototype ? structuredClone(value) : value;
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
  for (const field of Object.values(value)) bytes += 8 + valueBytes(field);
  return bytes;
}
