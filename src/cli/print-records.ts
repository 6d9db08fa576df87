import { printValue } from "../base/print-value.ts";
import type { Key } from "../job/key.ts";
import { printable } from "./ui/text-width.ts";

/** Longest text shown for one key or value. */
const SHOWN_CHARACTERS = 2000;

/**
 * "key<tab>value" for people, the collection's name before them when it has one; data cannot break the line.
 */
export function recordLine(collection: string, key: Key, value: unknown): string {
  const cells = [fieldText(key), fieldText(value)];
  return (collection === "" ? cells : [collection, ...cells]).join("\t");
}

/** The same for programs. What JSON has no form for is `{ "bytes": base64 }` or `{ "bigint": "..." }`. */
export function recordJson(collection: string, key: Key, value: unknown): string {
  return JSON.stringify({ kind: "record", collection, key: jsonValue(key), value: jsonValue(value) });
}

function fieldText(value: unknown): string {
  if (typeof value === "string") return printable(value);
  return printable(printValue(value, SHOWN_CHARACTERS));
}

function jsonValue(value: unknown): unknown {
  if (value === undefined) return null;
  if (typeof value === "bigint") return { bigint: String(value) };
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString("base64") };
  if (Array.isArray(value)) return value.map(jsonValue);
  if (typeof value === "object" && value !== null && !(value instanceof Date)) {
    return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, jsonValue(field)]));
  }
  return value;
}
