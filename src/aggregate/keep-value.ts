import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";

/**
 * A copy of `value` that later changes to the original cannot reach: what is emitted is what counts, not
 * what the program makes of the object afterwards. Arrays, plain objects and byte arrays are copied; other
 * objects are kept as they are, for the codec to judge.
 * @throws SheafError VALUE_INVALID for a cycle or a value nested deeper than limits.valueDepthMax
 */
export function keepValue<V>(value: V): V {
  return typeof value === "object" && value !== null ? (copyObject(value, 0) as V) : value;
}

function copyObject(value: object, depth: number): unknown {
  if (depth > limits.valueDepthMax) {
    throw new SheafError("VALUE_INVALID", `a value is nested deeper than ${limits.valueDepthMax} levels`, {
      hint: "Does the value contain itself? Emit the parts of it that the reduce needs.",
    });
  }
  const copy = (item: unknown): unknown =>
    typeof item === "object" && item !== null ? copyObject(item, depth + 1) : item;
  if (Array.isArray(value)) return value.map(copy);
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  // fromEntries defines fields instead of assigning them: "__proto__" is a name like any other.
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, copy(field)]));
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
