import { SheafError } from "../base/errors.ts";

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

/** Digits of the shortest integer that may be beyond 2^53 - 1. */
const LONG = 16;
/** A string, or a number, of JSON. */
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g;

/**
 * The function that parses one JSON text. It throws a SyntaxError, or an Error for an integer it refuses.
 * @param reader for the message
 * @throws SheafError JOB_INVALID when `big` is none of the choices
 */
export function jsonParser(big: BigIntegers, reader: string): (text: string) => unknown {
  if (!BIG_INTEGERS.includes(big)) {
    throw new SheafError("JOB_INVALID", `${reader}: bigints cannot be ${JSON.stringify(big)}`, {
      hint: `Choose one of ${BIG_INTEGERS.map((one) => `"${one}"`).join(", ")}.`,
    });
  }
  if (big === "number") return (text) => JSON.parse(text) as unknown;
  return (text) => {
    const value: unknown = JSON.parse(text);
    return hasLongInteger(text) ? exactly(text, value, big) : value;
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
function exactly(text: string, rounded: unknown, big: BigIntegers): unknown {
  // No string of the text begins with this mark: zeros stand escaped in JSON, and it has one more of them.
  const mark = "\0".repeat(text.split("\\u0000").length);
  let found = false;
  const marked = text.replace(TOKEN, (token) => {
    if (!isBigInteger(token)) return token;
    found = true;
    return big === "string" ? `"${token}"` : JSON.stringify(mark + token);
  });
  if (!found) return rounded;
  if (big === "string") return JSON.parse(marked) as unknown;
  if (big === "bigint") {
    return JSON.parse(marked, (_name, value: unknown) =>
      typeof value === "string" && value.startsWith(mark) ? BigInt(value.slice(mark.length)) : value,
    );
  }
  const where = placeOf(JSON.parse(marked), mark) ?? { place: "", digits: "" };
  const field = where.place === "" ? "" : `${where.place}: `;
  throw new Error(
    `${field}the integer ${where.digits} is beyond 2^53 and would be rounded ` +
      '(give the reader { bigints: "bigint" }, or "string", to keep it; "number" to have it rounded)',
  );
}

function isBigInteger(token: string): boolean {
  return token.length >= LONG && /^-?\d+$/.test(token) && !Number.isSafeInteger(Number(token));
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
