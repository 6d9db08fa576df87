import { isDeepStrictEqual } from "node:util";

/** Deep equality; numbers may differ by the tolerance, a share of the larger one. */
export function equalValues(a: unknown, b: unknown, tolerance: number): boolean {
  if (tolerance === 0 || typeof a !== typeof b) return isDeepStrictEqual(a, b);
  if (typeof a === "number") {
    const b2 = b as number;
    return Object.is(a, b2) || Math.abs(a - b2) <= tolerance * Math.max(Math.abs(a), Math.abs(b2));
  }
  if (typeof a !== "object" || a === null || b === null || ArrayBuffer.isView(a))
    return isDeepStrictEqual(a, b);
  const prototype: unknown = Object.getPrototypeOf(a);
  const isPlain = Array.isArray(a) || prototype === Object.prototype || prototype === null;
  if (!isPlain || prototype !== Object.getPrototypeOf(b)) return isDeepStrictEqual(a, b);
  const names = Object.keys(a);
  if (!isDeepStrictEqual(names.toSorted(), Object.keys(b as object).toSorted())) return false;
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  return names.every((name) => equalValues(left[name], right[name], tolerance));
}
