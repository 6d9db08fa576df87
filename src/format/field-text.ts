import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";

/**
 * A field of a text format (tsv, csv, text) as text: nothing for null and undefined, numbers as JavaScript
 * prints them (-0 as 0), bigints by their digits, dates in ISO 8601, bytes in base64, anything else as JSON.
 * @throws SheafError VALUE_INVALID for NaN, infinities, invalid dates, functions, symbols, and what JSON
 * cannot hold
 */
export function fieldText(value: unknown): string {
  if (typeof value === "string") return value;
  if (value === undefined || value === null) return "";
  if (typeof value === "object" && !(value instanceof Uint8Array) && !(value instanceof Date))
    return jsonText(value);
  return scalarText(value);
}

/**
 * JSON with bigints as numbers of all their digits, dates in ISO 8601, bytes in base64, sets as arrays and
 * maps as arrays of pairs. As in JSON.stringify, undefined members are left out and undefined elements become
 * null.
 * @throws SheafError VALUE_INVALID for NaN, infinities, functions, symbols, and values nested more than 1,000
 * deep
 */
export function jsonText(value: unknown): string {
  return json(value, 0);
}

function json(value: unknown, depth: number): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (value === undefined || value === null) return "null";
  if (typeof value !== "object") return scalarText(value);
  if (value instanceof Uint8Array || value instanceof Date) return `"${scalarText(value)}"`;
  if (depth === limits.valueDepthMax) {
    throw refused("a value nested too deep", "Check for an object that contains itself.");
  }
  if (Array.isArray(value)) return jsonArray(value, depth);
  if (value instanceof Set || value instanceof Map) return jsonArray([...value], depth);
  if ("toJSON" in value && typeof value.toJSON === "function") return json(value.toJSON(), depth + 1);
  let text = "{";
  for (const name of Object.keys(value)) {
    const member = (value as Record<string, unknown>)[name];
    if (member === undefined) continue;
    text += `${text.length > 1 ? "," : ""}${JSON.stringify(name)}:${json(member, depth + 1)}`;
  }
  return `${text}}`;
}

function jsonArray(items: readonly unknown[], depth: number): string {
  let text = "[";
  for (let i = 0; i < items.length; i++) text += (i > 0 ? "," : "") + json(items[i], depth + 1);
  return `${text}]`;
}

function scalarText(value: unknown): string {
  if (typeof value === "number") {
    // Adding 0 makes -0 a 0.
    if (Number.isFinite(value)) return String(value + 0);
    throw refused(
      String(value),
      "Text formats have no agreed form for it: leave it out, or write null or a string.",
    );
  }
  if (typeof value === "bigint" || typeof value === "boolean") return String(value);
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw refused("an invalid Date", "Check where the date was made.");
    return value.toISOString();
  }
  if (value instanceof Uint8Array) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
  }
  throw refused(
    `a ${typeof value}`,
    "Write data: strings, numbers, bigints, booleans, dates, bytes, arrays, objects.",
  );
}

function refused(what: string, hint: string): SheafError {
  return new SheafError("VALUE_INVALID", `the output format cannot write ${what}`, { hint });
}

/**
 * True for objects that text formats spread over columns: literals and the like, not dates, bytes, sets or
 * maps.
 */
export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/**
 * The columns of a result: those of the key, then those of the value; arrays and plain objects have one per
 * element.
 */
export function columnsOf(key: unknown, value: unknown): unknown[] {
  const columns: unknown[] = Array.isArray(key) ? [...key] : [key];
  if (value === undefined) return columns;
  if (Array.isArray(value)) columns.push(...value);
  else if (isPlainObject(value)) columns.push(...Object.values(value));
  else columns.push(value);
  return columns;
}
