import { SheafError } from "../base/errors.ts";
import { settings } from "../base/limits.ts";
import { formatSize, parseSize } from "../base/size.ts";
import { suggest } from "../base/suggest.ts";
import { parseDuration } from "./duration.ts";

/** How the argument of a flag is read. */
export interface FlagType<out T> {
  readonly kind:
    | "string"
    | "integer"
    | "size"
    | "duration"
    | "fraction"
    | "choice"
    | "path"
    | "assignment"
    | "partitions"
    | "budget";
  /** What a shell may offer. */
  readonly choices?: readonly string[];
  /** @throws SheafError USAGE naming `what` (the flag) when the text does not fit. */
  parse(text: string, what: string): T;
}

export const stringType: FlagType<string> = { kind: "string", parse: nonEmpty };

/** A path, left as written: whoever opens it resolves it. Shells complete it. */
export const pathType: FlagType<string> = { kind: "path", parse: nonEmpty };

/** Bytes, at least the minimum. */
export function sizeType(minimum: number): FlagType<number> {
  return {
    kind: "size",
    parse(text, what) {
      const bytes = parseSize(text, what);
      if (bytes >= minimum) return bytes;
      throw new SheafError("USAGE", `${what}: ${text} is too small`, {
        hint: `Give ${formatSize(minimum)} or more.`,
      });
    },
  };
}

/** Milliseconds. */
export const durationType: FlagType<number> = { kind: "duration", parse: parseDuration };

/** A whole number between the bounds, both included. Underscores may group digits: 10_000_000. */
export function integerType(minimum: number, maximum: number = Number.MAX_SAFE_INTEGER): FlagType<number> {
  return {
    kind: "integer",
    parse(text, what) {
      const value = /^-?\d+(?:_\d+)*$/.test(text) ? Number(text.replaceAll("_", "")) : Number.NaN;
      if (Number.isSafeInteger(value) && value >= minimum && value <= maximum) return value;
      const bounds = maximum === Number.MAX_SAFE_INTEGER ? `${minimum} or more` : `${minimum} to ${maximum}`;
      const is = Number.isSafeInteger(value) ? `${text} is out of range` : `"${text}" is not a whole number`;
      throw new SheafError("USAGE", `${what}: ${is}`, { hint: `Give a whole number, ${bounds}.` });
    },
  };
}

/** A fraction above 0 and up to 1, written "0.01" or "1%". */
export const fractionType: FlagType<number> = {
  kind: "fraction",
  parse(text, what) {
    const value = parseFraction(text);
    if (value > 0 && value <= 1) return value;
    throw new SheafError("USAGE", `${what}: "${text}" is not a fraction above 0 and up to 1`, {
      hint: 'Give "0.01" or "1%".',
    });
  },
};

/** One of a few words; a misspelt one gets a suggestion. */
export function choiceType<const T extends string>(choices: readonly T[]): FlagType<T> {
  return {
    kind: "choice",
    choices,
    parse(text, what) {
      const found = choices.find((choice) => choice === text);
      if (found !== undefined) return found;
      const near = suggest(text, choices);
      throw new SheafError("USAGE", `${what}: "${text}" is not one of ${choices.join(", ")}`, {
        hint: near === undefined ? `Give one of ${choices.join(", ")}.` : `Did you mean ${near}?`,
      });
    },
  };
}

/** "name=value", cut at the first "=". The value stays text: whoever knows the parameter's type reads it. */
export const assignmentType: FlagType<readonly [name: string, value: string]> = {
  kind: "assignment",
  parse(text, what) {
    const at = text.indexOf("=");
    if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
    throw new SheafError("USAGE", `${what}: "${text}" is not name=value`, {
      hint: `Write ${what} name=value, for example ${what} year=2024.`,
    });
  },
};

const partitionCountType = integerType(1, settings.partitions.max);

/** "8" for every collection (then `collection` is undefined), "byCity=8" for one. */
export const partitionsType: FlagType<{ readonly collection: string | undefined; readonly count: number }> = {
  kind: "partitions",
  parse(text, what) {
    const at = text.lastIndexOf("=");
    const collection = at > 0 ? text.slice(0, at) : undefined;
    return { collection, count: partitionCountType.parse(text.slice(at + 1), what) };
  },
};

/** A number of records, or a share of those read as text: "0.01%". */
export const badBudgetType: FlagType<number | string> = {
  kind: "budget",
  parse(text, what) {
    if (/^\d+$/.test(text)) return Number(text);
    const share = text.endsWith("%") ? parseFraction(text) : Number.NaN;
    if (share >= 0 && share <= 1) return text;
    throw new SheafError("USAGE", `${what}: "${text}" is neither a number of records nor a percentage`, {
      hint: 'Give "100" or "0.01%".',
    });
  },
};

/** 0.01 for "0.01" and for "1%"; NaN for anything else. */
export function parseFraction(text: string): number {
  const match = /^\s*(\d*\.?\d+(?:e-?\d+)?)\s*(%?)\s*$/i.exec(text);
  return match === null ? Number.NaN : Number(match[1]) / (match[2] === "%" ? 100 : 1);
}

function nonEmpty(text: string, what: string): string {
  if (text !== "") return text;
  throw new SheafError("USAGE", `${what}: the argument is empty`, { hint: `Give ${what} a value.` });
}
