import { escapeControls } from "../base/escape-controls.ts";
import type { Key } from "../job/key.ts";

/**
 * A record as the job's writer wrote it, for people: the collection's name before it when it has one. Data
 * cannot break the line, tabs between columns stay.
 */
export function writtenLine(collection: string, text: string): string {
  const line = escapeControls(text, "\t");
  return collection === "" ? line : `${collection}\t${line}`;
}

/**
 * A result for programs. What JSON has no form for is `{ "bytes": base64 }`, `{ "bigint": "..." }` or
 * `{ "number": "NaN" }`; sets and typed arrays are arrays, maps arrays of pairs.
 */
export function recordJson(collection: string, key: Key, value: unknown): string {
  return JSON.stringify({ kind: "record", collection, key: jsonValue(key), value: jsonValue(value) });
}

function jsonValue(value: unknown): unknown {
  if (value === undefined) return null;
  if (typeof value === "bigint") return { bigint: String(value) };
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString("base64") };
  if (typeof value === "number" && !Number.isFinite(value)) return { number: String(value) };
  if (value instanceof Map || value instanceof Set || ArrayBuffer.isView(value)) {
    return Array.from(value as Iterable<unknown>, jsonValue);
  }
  if (Array.isArray(value)) return value.map(jsonValue);
  if (typeof value === "object" && value !== null && !(value instanceof Date)) {
    return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, jsonValue(field)]));
  }
  return value;
}
