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

/** An object written as a literal, or without a prototype, from this realm or another. */
export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null || isForeignPlain(prototype as object);
}

/** Object.prototype of another realm (node:vm, a test runner's context). */
export function isForeignPlain(prototype: object): boolean {
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, "isPrototypeOf");
}

/** True for instances of classes that extend Array, of this realm or another. */
export function isArraySubclass(array: readonly unknown[]): boolean {
  const prototype = Object.getPrototypeOf(array) as object | null;
  return prototype !== Array.prototype && (prototype === null || !Object.hasOwn(prototype, "flatMap"));
}

/** What values can be, for hints. */
export const DATA_HINT =
  "Emit plain data: null, booleans, numbers, strings, bigints, Dates, bytes, Maps, Sets, arrays and plain objects.";

/** An object that is no data, for a message: "an instance of Promise (did you forget await?)". */
export function describeInstance(value: object): string {
  const { constructor } = value as { readonly constructor?: unknown };
  const name = typeof constructor === "function" ? constructor.name : "";
  const what = name === "" ? "an object with a prototype of its own" : `an instance of ${name}`;
  return isPromise(value) ? `${what} (did you forget await?)` : what;
}

/** A promise, of this realm or another, or what behaves as one. */
export function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
