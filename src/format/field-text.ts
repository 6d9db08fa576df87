import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { Date } from "../base/own-globals.ts";
import { printValue } from "../base/print-value.ts";
import { DATA_HINT, describeInstance, isArraySubclass, isForeignPlain } from "../job/plain-data.ts";

/**
 * A field of a text format (tsv, csv, text) as text: nothing for null and undefined, numbers as JavaScript
 * prints them (-0 as 0), bigints by their digits, dates in ISO 8601, bytes in base64, anything else as JSON.
 * @throws SheafError VALUE_INVALID as jsonText does, and as wholeText does
 */
export function fieldText(value: unknown): string {
  if (typeof value === "string") return wholeText(value);
  if (value === undefined || value === null) return "";
  if (typeof value !== "object") return scalarText(value);
  return quotedText(value) ?? jsonText(value);
}

/**
 * The text, when UTF-8 has a form for it. (JSON has one for any text: it escapes half of a pair.)
 * @throws SheafError VALUE_INVALID for half of a surrogate pair, which would come out as U+FFFD
 */
export function wholeText(text: string): string {
  if (text.isWellFormed()) return text;
  throw refused(
    `a text with half of a surrogate pair (${printValue(text)})`,
    "Cut strings between code points (Array.from, Intl.Segmenter), call toWellFormed() on the text, or write jsonl(), which escapes it.",
  );
}

/**
 * JSON with bigints as numbers of all their digits, dates in ISO 8601, bytes in base64, sets and typed arrays
 * as arrays and maps as arrays of pairs. As in JSON.stringify, undefined members are left out and undefined
 * elements become null.
 * @throws SheafError VALUE_INVALID for what JSON has no form for: NaN, infinities, invalid dates, functions,
 * symbols, promises and other instances of classes (also those with a toJSON: before a shuffle they are
 * refused, too), and values nested more than 1,000 deep
 */
export function jsonText(value: unknown): string {
  return json(value, 0);
}

function json(value: unknown, depth: number): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (value === undefined || value === null) return "null";
  if (typeof value !== "object") return scalarText(value);
  if (depth === limits.valueDepthMax) {
    throw refused("nested too deep", "Check for an object that contains itself.");
  }
  if (Array.isArray(value)) return jsonArray(value, depth);
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (prototype === Object.prototype || prototype === null) return jsonObject(value, depth);
  const text = quotedText(value);
  if (text !== undefined) return `"${text}"`;
  if (prototype === Set.prototype || prototype === Map.prototype)
    return jsonArray([...(value as Set<unknown>)], depth);
  if (isForeignPlain(prototype)) return jsonObject(value, depth);
  if (ArrayBuffer.isView(value) && !(value instanceof DataView))
    return jsonArray([...(value as unknown as Iterable<number | bigint>)], depth);
  throw refused(describeInstance(value), DATA_HINT);
}

function jsonObject(value: object, depth: number): string {
  let text = "{";
  for (const name of Object.keys(value)) {
    const member = (value as Record<string, unknown>)[name];
    if (member === undefined) continue;
    text += `${text.length > 1 ? "," : ""}${JSON.stringify(name)}:${json(member, depth + 1)}`;
  }
  return `${text}}`;
}

function jsonArray(items: readonly unknown[], depth: number): string {
  if (isArraySubclass(items)) throw refused(describeInstance(items), DATA_HINT);
  let text = "[";
  for (let i = 0; i < items.length; i++) text += (i > 0 ? "," : "") + json(items[i], depth + 1);
  return `${text}]`;
}

/** Objects that are one text; undefined for others. */
function quotedText(value: object): string | undefined {
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw refused("an invalid Date", "Check where the date was made.");
    return value.toISOString();
  }
  if (value instanceof Uint8Array) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
  }
  return undefined;
}

function scalarText(value: unknown): string {
  if (typeof value === "number") {
    // Adding 0 makes -0 a 0.
    if (Number.isFinite(value)) return String(value + 0);
    const hint = "Text formats have no agreed form for it: leave it out, or write null or a string.";
    throw refused(String(value), hint);
  }
  if (typeof value === "bigint" || typeof value === "boolean") return String(value);
  throw refused(`a ${typeof value} (${printValue(value)})`, DATA_HINT);
}

function refused(what: string, hint: string): SheafError {
  return new SheafError("VALUE_INVALID", `a value cannot be ${what}: the output format has no form for it`, {
    hint,
  });
}
