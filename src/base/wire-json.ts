import { isDeepStrictEqual } from "node:util";
import { SheafError } from "./errors.ts";
import { printValue } from "./print-value.ts";

/** JSON with bigints, which params may hold: {"$bigint": "123"}. */
export function toWireJson(value: unknown, indent = 0): string {
  try {
    return JSON.stringify(value, null, indent);
  } catch {
    // Hardly anything holds a bigint, and to look at each value takes twice as long.
    const told = (_name: string, one: unknown): unknown =>
      typeof one === "bigint" ? { $bigint: String(one) } : one;
    return JSON.stringify(value, told, indent);
  }
}

/** Turns what JSON.parse gave of a wire JSON text into what it stood for. */
export function fromWireValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fromWireValue);
  if (typeof value !== "object" || value === null) return value;
  const keys = Object.keys(value);
  if (keys.length === 1 && "$bigint" in value && /^-?\d{1,10000}$/.test(String(value.$bigint))) {
    return BigInt(String(value.$bigint));
  }
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, fromWireValue(one)]));
}

/**
 * Params as plain JSON: from it fromWireValue makes what workers of this process would get.
 * @throws SheafError USAGE naming the first param that would come back as another: NaN, a date, a function
 */
export function paramsToWire(params: Readonly<Record<string, unknown>>): Record<string, unknown> {
  for (const [name, value] of Object.entries(params)) {
    if (value === undefined || comesBack(value)) continue;
    throw new SheafError("USAGE", `param ${name}: ${printValue(value)} is not plain data`, {
      hint:
        "It goes to other processes, now or when it is gone on from: give finite numbers, bigints, texts, booleans, " +
        "null, lists and objects.",
    });
  }
  return JSON.parse(toWireJson(params)) as Record<string, unknown>;
}

function comesBack(value: unknown): boolean {
  try {
    const wire: unknown = JSON.parse(toWireJson(value));
    return isDeepStrictEqual(fromWireValue(wire), structuredClone(value));
  } catch {
    return false;
  }
}
