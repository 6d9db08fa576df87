import { SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { Descending } from "./descending.ts";
import type { Key } from "./key.ts";

/**
 * The order of keys: null < booleans < numbers < strings (by code points, which is the order of their UTF-8
 * bytes) < bytes < arrays (element by element, shorter first) < what desc() has made, the other way round.
 * Negative, 0 or positive, as `Array.sort`
 * wants it.
 * @throws SheafError KEY_INVALID for NaN and for what is no key
 */
export function compareKeys(a: Key, b: Key): number {
  const rankA = rankOf(a);
  const rankB = rankOf(b);
  if (rankA !== rankB) return rankA - rankB;
  switch (rankA) {
    case 0:
      return 0;
    case 1:
    case 2:
      return Number(a) < Number(b) ? -1 : Number(a) > Number(b) ? 1 : 0;
    case 3:
      return compareText(a as string, b as string);
    case 4:
      return compareBytes(a as Uint8Array, b as Uint8Array);
    case 6:
      return compareKeys((b as unknown as Descending).key, (a as unknown as Descending).key);
    default:
      return compareArrays(a as readonly Key[], b as readonly Key[]);
  }
}

/** Compares by code points: UTF-16 order puts U+1F600 before U+FF5E, code point and UTF-8 order after it. */
function compareText(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const unitA = a.charCodeAt(i);
    const unitB = b.charCodeAt(i);
    if (unitA !== unitB) return aboveSurrogates(unitA) - aboveSurrogates(unitB);
  }
  return a.length - b.length;
}

/** Moves surrogate units (halves of code points from U+10000) above all other units. */
function aboveSurrogates(unit: number): number {
  return unit < 0xd800 || unit > 0xdfff ? unit : unit + 0x10000;
}

export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    if (a[i] !== b[i]) return a[i]! - b[i]!;
  }
  return a.length - b.length;
}

function compareArrays(a: readonly Key[], b: readonly Key[]): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const order = compareKeys(a[i]!, b[i]!);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

function rankOf(key: Key): number {
  if (typeof key === "string") return 3;
  if (typeof key === "number" && !Number.isNaN(key)) return 2;
  if (typeof key === "boolean") return 1;
  if (key === null) return 0;
  if (key instanceof Uint8Array) return 4;
  if (Array.isArray(key)) return 5;
  if (key instanceof Descending) return 6;
  throw new SheafError("KEY_INVALID", `${printValue(key)} is not a key`, {
    hint: "Keys are null, booleans, numbers (not NaN), strings, Uint8Arrays and arrays of these.",
  });
}
