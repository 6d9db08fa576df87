import { printValue } from "../base/print-value.ts";

/**
 * Where `value` is not plain data (null, booleans, finite numbers, strings, arrays and plain objects of
 * these), as "path: what is there"; undefined when all of it is. `path` names the value itself.
 */
export function findOtherThanPlainData(value: unknown, path: string): string | undefined {
  return find(value, path, []);
}

function find(value: unknown, path: string, above: readonly object[]): string | undefined {
  if (value === null || typeof value === "boolean" || typeof value === "string") return undefined;
  if (typeof value === "number" && Number.isFinite(value)) return undefined;
  if (typeof value !== "object") return `${path}: ${printValue(value)}`;
  if (above.includes(value)) return `${path}: contains itself`;
  if (!Array.isArray(value) && !isPlainObject(value)) return `${path}: ${printValue(value)}`;
  for (const [name, item] of Object.entries(value)) {
    const found = find(item, Array.isArray(value) ? `${path}[${name}]` : `${path}.${name}`, [
      ...above,
      value,
    ]);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** An object written as a literal, from this realm or another. */
export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null;
}
