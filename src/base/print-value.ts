import { Date } from "./own-globals.ts";

const LENGTH_DEFAULT = 80;
const ITEMS_SHOWN = 50;

/**
 * Any value as one short line for a message: strings quoted, big values cut with "…" at about `length`
 * characters. Never throws, whatever the value is.
 */
export function printValue(value: unknown, length: number = LENGTH_DEFAULT): string {
  let text: string;
  try {
    text = print(value, 0);
  } catch {
    text = `a ${typeof value} that cannot be printed`;
  }
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

/**
 * The text, or its head and tail with a note of how much was left out between them: no longer than `charsMax`
 * and a few words.
 */
export function cutText(text: string, charsMax: number): string {
  if (text.length <= charsMax) return text;
  const tail = Math.floor(charsMax / 4);
  const left = text.length - charsMax;
  return `${text.slice(0, charsMax - tail)} ... (${left} characters left out) ... ${text.slice(text.length - tail)}`;
}

/** Depth and breadth are bounded, so that cycles and huge arrays end. */
function print(value: unknown, depth: number): string {
  if (typeof value === "string") return JSON.stringify(value.length > 1000 ? value.slice(0, 1000) : value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return `function ${value.name === "" ? "(anonymous)" : value.name}`;
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (typeof value !== "object" || value === null) return String(value);
  if (depth > 4) return "…";
  if (value instanceof Date) return `Date(${value.getTime()})`;
  if (value instanceof RegExp) return String(value);
  if (value instanceof Error) return `${value.name}(${JSON.stringify(value.message)})`;
  if (ArrayBuffer.isView(value)) return printBytes(value);
  if (Array.isArray(value)) {
    return `[${printItems(value.slice(0, ITEMS_SHOWN), value.length, depth)}]`;
  }
  if (value instanceof Set) {
    return `Set { ${printItems([...value].slice(0, ITEMS_SHOWN), value.size, depth)} }`;
  }
  if (value instanceof Map) {
    const pairs = [...value].slice(0, ITEMS_SHOWN);
    const texts = pairs.map(([key, item]) => `${print(key, depth + 1)} => ${print(item, depth + 1)}`);
    return `Map { ${texts.join(", ")}${value.size > ITEMS_SHOWN ? ", …" : ""} }`;
  }
  const fields = Object.entries(value).slice(0, ITEMS_SHOWN);
  const text = fields.map(([name, field]) => `${printName(name)}: ${print(field, depth + 1)}`).join(", ");
  const type: unknown = Object.getPrototypeOf(value)?.constructor?.name;
  const prefix = typeof type === "string" && type !== "Object" ? `${type} ` : "";
  return text === "" ? `${prefix}{}` : `${prefix}{ ${text} }`;
}

function printItems(items: readonly unknown[], count: number, depth: number): string {
  const texts = items.map((item) => print(item, depth + 1));
  return `${texts.join(", ")}${count > ITEMS_SHOWN ? ", …" : ""}`;
}

function printBytes(view: ArrayBufferView): string {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, Math.min(view.byteLength, 50));
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return `${view.constructor.name}(${view.byteLength})[${hex}${view.byteLength > 50 ? " …" : ""}]`;
}

function printName(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
}
