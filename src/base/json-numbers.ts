import { SheafError } from "./errors.ts";

/**
 * What becomes of an integer beyond 2^53 - 1 in JSON, which a JavaScript number would round:
 * - "fail": the record is bad (RECORD_INVALID), naming the field;
 * - "bigint": it is a bigint, and those within stay numbers;
 * - "string": it is a string of its digits;
 * - "number": the nearest double, as JSON.parse has it: ids that differ may become the same.
 * A number with a fraction or an exponent is a double in any case.
 */
export type BigIntegers = "fail" | "bigint" | "string" | "number";

const BIG_INTEGERS: readonly BigIntegers[] = ["fail", "bigint", "string", "number"];

const TO_READER =
  'give the reader { bigints: "bigint" }, or "string", to keep it; "number" to have it rounded';

/** Digits of the shortest integer that may be beyond 2^53 - 1. */
const LONG = 16;
/** What a number that no double holds has, unless it has so many digits. */
const EXPONENT = /\d[eE]\+?\d{3}/;
const LARGE_NUMBER = /(?:^|[\s:,[])-?\d+(?:\.\d+)?[eE]\+?\d{3}/;
const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/y;

/**
 * The function that parses one JSON text. It throws a SyntaxError, or an Error for a number it refuses.
 * @param reader for the message
 * @param remedy what the message says to do about an integer that is refused
 * @throws SheafError JOB_INVALID when `big` is none of the choices
 */
export function jsonParser(big: BigIntegers, reader: string, remedy = TO_READER): (text: string) => unknown {
  if (!BIG_INTEGERS.includes(big)) {
    throw new SheafError("JOB_INVALID", `${reader}: bigints cannot be ${JSON.stringify(big)}`, {
      hint: `Choose one of ${BIG_INTEGERS.map((one) => `"${one}"`).join(", ")}.`,
    });
  }
  if (big === "number") return (text) => JSON.parse(text) as unknown;
  return (text) => {
    const value: unknown = JSON.parse(text);
    // The first pattern is the cheap one.
    const isSuspect = hasLongInteger(text) || (EXPONENT.test(text) && LARGE_NUMBER.test(text));
    return isSuspect ? exactly(text, value, big, remedy) : value;
  };
}

/**
 * Whether LONG digits in a row stand in valid JSON where an integer may. Looks at one character in LONG, and
 * at more only where it is a digit.
 */
function hasLongInteger(text: string): boolean {
  const { length } = text;
  for (let at = LONG - 1; at < length; at += LONG) {
    if (!isDigit(text.charCodeAt(at))) continue;
    let start = at;
    while (start > 0 && isDigit(text.charCodeAt(start - 1))) start--;
    let end = at + 1;
    while (end < length && isDigit(text.charCodeAt(end))) end++;
    if (end - start >= LONG) {
      const before = start === 0 ? "" : text[start - 1];
      // Behind a point they are a fraction, behind a quote a string begins with them.
      if (before !== "." && before !== '"') return true;
    }
    at = end - 1;
  }
  return false;
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

/** The value of a text that JSON.parse has found valid, with its big integers as asked for. */
function exactly(
  text: string,
  rounded: unknown,
  big: Exclude<BigIntegers, "number">,
  remedy: string,
): unknown {
  // No string of the text begins with this mark: zeros stand escaped in JSON, and it has one more of them.
  const mark = "\0".repeat(text.split("\\u0000").length);
  const marked = (token: string): string => JSON.stringify(mark + token);
  let first = "";
  const refused = withNumbers(text, (token) => {
    const isWhole = INTEGER.test(token);
    if (isWhole ? big !== "fail" || !isBigInteger(token) : Number.isFinite(Number(token))) return token;
    first ||= token;
    return marked(token);
  });
  // Of a field that comes twice the value has the last one only.
  if (first !== "") throw refusal(placeOf(JSON.parse(refused), mark) ?? { place: "", digits: first }, remedy);
  if (big === "fail") return rounded;
  const kept = withNumbers(text, (token) => {
    if (!isBigInteger(token)) return token;
    return big === "string" ? `"${token}"` : marked(token);
  });
  if (kept === text) return rounded;
  if (big === "string") return JSON.parse(kept) as unknown;
  return JSON.parse(kept, (_name, value: unknown) =>
    typeof value === "string" && value.startsWith(mark) ? BigInt(value.slice(mark.length)) : value,
  );
}

/**
 * Valid JSON with its numbers replaced. By hand: a pattern that takes whole strings overflows the stack in
 * one of megabytes.
 */
function withNumbers(text: string, by: (token: string) => string): string {
  let done = "";
  let from = 0;
  for (let at = 0; at < text.length;) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(text, at);
      continue;
    }
    NUMBER.lastIndex = at;
    const [token] = (code === MINUS || isDigit(code) ? NUMBER.exec(text) : null) ?? [];
    if (token === undefined) {
      at++;
      continue;
    }
    const other = by(token);
    if (other !== token) {
      done += text.slice(from, at) + other;
      from = at + token.length;
    }
    at += token.length;
  }
  return done + text.slice(from);
}

const QUOTE = 0x22;
const MINUS = 0x2d;
const BACKSLASH = 0x5c;

/** Where the string ends that begins at `start`: behind a quote with an even number of backslashes. */
function endOfString(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); ; quote = text.indexOf('"', quote + 1)) {
    let before = quote;
    while (text.charCodeAt(before - 1) === BACKSLASH) before--;
    if ((quote - before) % 2 === 0) return quote + 1;
  }
}

const INTEGER = /^-?\d+$/;

function isBigInteger(token: string): boolean {
  return token.length >= LONG && INTEGER.test(token) && !Number.isSafeInteger(Number(token));
}

/** Characters of a number that a message has. */
const TOLD_CHARS = 40;

function refusal(
  { place, digits }: { readonly place: string; readonly digits: string },
  remedy: string,
): Error {
  const field = place === "" ? "" : `${place}: `;
  const told = digits.length > TOLD_CHARS ? `${digits.slice(0, TOLD_CHARS)}...` : digits;
  if (INTEGER.test(digits))
    return new Error(`${field}the integer ${told} is beyond 2^53 and would be rounded (${remedy})`);
  return new Error(
    `${field}the number ${told} is larger than any that a double holds (1.8e308), and would be infinite ` +
      "(have it written as a text)",
  );
}

/** Where the first marked string of a value is, such as user.ids[3]. */
function placeOf(value: unknown, mark: string): { place: string; digits: string } | undefined {
  if (typeof value === "string") {
    return value.startsWith(mark) ? { place: "", digits: value.slice(mark.length) } : undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  for (const [name, member] of Object.entries(value)) {
    const found = placeOf(member, mark);
    if (found === undefined) continue;
    const step = Array.isArray(value) ? `[${name}]` : /^[\w$]+$/.test(name) ? name : JSON.stringify(name);
    const dot = found.place === "" || found.place.startsWith("[") ? "" : ".";
    return { ...found, place: step + dot + found.place };
  }
  return undefined;
}
