import { Date } from "../base/own-globals.ts";
import { isPromise } from "../job/plain-data.ts";
import { ISO_DATE_FORMS, parseIsoDate } from "./iso-date.ts";

/** What a column's text is read as. */
export interface ColumnTypes {
  string: string;
  /**
   * Decimal, with fraction and exponent if need be; finite. Written as an integer, it must be one that a
   * double holds for certain (up to 2^53 - 1).
   */
  number: number;
  /** A whole number up to 2^53 - 1, which a double holds exactly. */
  integer: number;
  bigint: bigint;
  /** true, false, t, f, yes, no, 1, 0, in any case. */
  boolean: boolean;
  /** An ISO 8601 date, or date and time; UTC where no offset is given. */
  date: Date;
}

type TypeName = keyof ColumnTypes;

/**
 * A type by name, a "?" behind it where an empty field means null; or a function from text that throws on a
 * wrong one.
 */
export type ColumnType = TypeName | `${TypeName}?` | ((text: string) => unknown);

export type Columns = Readonly<Record<string, ColumnType>>;

export type ColumnValue<T> = T extends TypeName
  ? ColumnTypes[T]
  : T extends `${infer N extends TypeName}?`
    ? ColumnTypes[N] | null
    : T extends (text: string) => infer V
      ? V
      : never;

/** The record type that columns make. */
export type RowOf<C extends Columns> = { readonly [N in keyof C]: ColumnValue<C[N]> };

const NUMBER = /^[ \t]*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[ \t]*$/;
const INTEGER = /^[ \t]*[-+]?\d+[ \t]*$/;
const TRUE = /^(?:true|t|yes|1)$/i;
const FALSE = /^(?:false|f|no|0)$/i;

const POWERS_OF_TEN = Array.from({ length: 16 }, (_, digits) => 10 ** digits);

/**
 * The number that a text of up to 15 digits says; NaN for any other text. Exact: both sides of the division
 * are, and it rounds once (Clinger, "How to read floating point numbers accurately", 1990).
 */
function shortNumber(text: string): number {
  const { length } = text;
  if (length > 17) return Number.NaN;
  const isNegative = text.charCodeAt(0) === 45;
  let value = 0;
  let digits = 0;
  let point = -1;
  for (let at = isNegative ? 1 : 0; at < length; at++) {
    const digit = text.charCodeAt(at) - 48;
    if (digit >= 0 && digit <= 9) {
      value = value * 10 + digit;
      digits++;
    } else if (digit === -2 && point === -1) point = digits;
    else return Number.NaN;
  }
  if (digits === 0 || digits > 15) return Number.NaN;
  if (point !== -1) value /= POWERS_OF_TEN[digits - point]!;
  return isNegative ? -value : value;
}

/** Message without place: whoever knows the column and the record adds them. */
class ColumnError extends Error {}

function wrong(text: string, what: string): ColumnError {
  const shown = text.length > 60 ? `${text.slice(0, 60)}...` : text;
  return new ColumnError(`${JSON.stringify(shown)} is not ${what}`);
}

const PARSERS: { readonly [N in TypeName]: (text: string) => ColumnTypes[N] } = {
  string: (text) => text,
  number: (text) => {
    const short = shortNumber(text);
    if (!Number.isNaN(short)) return short;
    const value = NUMBER.test(text) ? Number(text) : Number.NaN;
    if (!Number.isFinite(value)) throw wrong(text, "a number");
    if (Math.abs(value) > Number.MAX_SAFE_INTEGER && INTEGER.test(text)) {
      throw wrong(text, 'a number that can be kept exactly: integers beyond 2^53 take the type "bigint"');
    }
    return value;
  },
  integer: (text) => {
    const value = INTEGER.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(value))
      throw wrong(text, 'an integer up to 2^53 (the type "bigint" takes any)');
    return value;
  },
  bigint: (text) => {
    if (!INTEGER.test(text)) throw wrong(text, "an integer");
    return BigInt(text.trim().replace(/^\+/, ""));
  },
  boolean: (text) => {
    if (TRUE.test(text)) return true;
    if (FALSE.test(text)) return false;
    throw wrong(text, "true or false");
  },
  date: (text) => {
    const ms = parseIsoDate(text);
    if (Number.isNaN(ms)) throw wrong(text, `a date of the calendar in ISO 8601 (${ISO_DATE_FORMS})`);
    return new Date(ms);
  },
};

/** What user code made of a record, unless it only comes later: records are read without waiting. */
export function atOnce<T>(made: T, by: string): T {
  if (!isPromise(made)) return made;
  throw new Error(`${by} gave a promise: do what takes time in map, which may be async`);
}

/** The function that reads a column's text; undefined for a name that is no type. */
export function columnParser(type: ColumnType): ((text: string) => unknown) | undefined {
  if (typeof type === "function") return (text) => atOnce(type(text), "its function");
  const nullable = type.endsWith("?");
  const name = nullable ? type.slice(0, -1) : type;
  if (!Object.hasOwn(PARSERS, name)) return undefined;
  const parser = PARSERS[name as TypeName];
  return nullable ? (text) => (text === "" ? null : parser(text)) : parser;
}

/** Names that columnParser knows, for messages. */
export const COLUMN_TYPE_NAMES: readonly string[] = Object.keys(PARSERS);
