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
