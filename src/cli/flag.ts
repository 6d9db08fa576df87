import { parseDuration } from "../base/duration.ts";
import { SheafError } from "../base/errors.ts";
import { settings } from "../base/limits.ts";
import { formatSize, parseSize } from "../base/size.ts";
import { suggest } from "../base/suggest.ts";
import { localPath } from "../storage/store.ts";

/** In the order help shows them. */
export const flagCategories = [
  "Input",
  "Output",
  "Job",
  "Execution",
  "Cluster",
  "Hadoop and Spark",
  "Display",
] as const;
export type FlagCategory = (typeof flagCategories)[number];

/** What help says of a flag besides its line. */
export interface FlagMore {
  /** What happens when it is not given, as people would say it: "256 MiB". */
  readonly default?: string;
  /** More sentences, for `--help` and the docs. */
  readonly details?: string;
}

/**
 * A flag as one value: help, completion and docs/cli.md are made from it. `T` is what a command gets to see,
 * including undefined when it need not be given.
 */
export interface Flag<out T> extends FlagMore {
  /** Without the dashes: "split-size". */
  readonly name: string;
  /** One letter, for `-w`. */
  readonly short?: string;
  /** What the argument is called in help: "SIZE". Absent for switches. */
  readonly placeholder?: string;
  /** One line, no full stop. */
  readonly doc: string;
  readonly category?: FlagCategory;
  /**
   * `switch`: no argument, `--no-name` is its opposite. `one`: an argument, once. `many`: may be repeated.
   * `optional`: an argument, but only behind "=", or none.
   */
  readonly arity: "switch" | "one" | "many" | "optional";
  /** How the argument is read; absent for switches. */
  readonly type?: FlagType<unknown>;
  /** The value for these arguments, in the order given; for a switch "true" or "false". Empty: not given. */
  bind(texts: readonly string[]): T;
}

export type FlagSet = Readonly<Record<string, Flag<unknown>>>;

/** The values a command gets for its flags. */
export type FlagValues<F extends FlagSet> = {
  readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never;
};

/** The flags, those of them in this category that are in none. */
export function inCategory<F extends FlagSet>(category: FlagCategory, flags: F): F {
  const entries = Object.entries(flags).map(([key, flag]) => [key, { category, ...flag }]);
  return Object.fromEntries(entries) as F;
}

/** On or off; undefined when neither was said. `term`: "-q, --quiet". */
export function switchFlag(term: string, doc: string, more: FlagMore = {}): Flag<boolean | undefined> {
  return {
    ...readTerm(term),
    doc,
    ...more,
    arity: "switch",
    bind: (texts) => (texts.length === 0 ? undefined : texts[0] === "true"),
  };
}

/**
 * A flag with an argument, "-o, --output DIR"; undefined when not given, so that the layer that owns the
 * default applies it.
 */
export function valueFlag<T>(
  term: string,
  type: FlagType<T>,
  doc: string,
  more: FlagMore = {},
): Flag<T | undefined> {
  const named = readTerm(term);
  const bind = (texts: readonly string[]): T | undefined =>
    texts.length === 0 ? undefined : type.parse(texts[0]!, `--${named.name}`);
  return { ...named, doc, ...more, type, arity: "one", bind };
}

/** A flag that may be given several times; empty when not given. */
export function repeatedFlag<T>(
  term: string,
  type: FlagType<T>,
  doc: string,
  more: FlagMore = {},
): Flag<readonly T[]> {
  const named = readTerm(term);
  const bind = (texts: readonly string[]): T[] => texts.map((one) => type.parse(one, `--${named.name}`));
  return { ...named, doc, ...more, type, arity: "many", bind };
}

/** A flag that may stand alone and then means `alone`: "--inspect[=PORT]". */
export function optionalFlag<T>(
  term: string,
  type: FlagType<T>,
  alone: T,
  doc: string,
  more: FlagMore = {},
): Flag<T | undefined> {
  const named = readTerm(term);
  const bind = ([given]: readonly string[]): T | undefined =>
    given === undefined ? undefined : given === "" ? alone : type.parse(given, `--${named.name}`);
  return { ...named, doc, ...more, type, arity: "optional", bind };
}

/** "-o, --output DIR" taken apart. */
function readTerm(term: string): Pick<Flag<unknown>, "name" | "short" | "placeholder"> {
  const [, short, name = "", optional, placeholder = optional] =
    /^(?:-(\w), )?--([\w-]+)(?:\[=(.+)\]| (.+))?$/.exec(term) ?? [];
  return {
    name,
    ...(short === undefined ? {} : { short }),
    ...(placeholder === undefined ? {} : { placeholder }),
  };
}

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

const stringType: FlagType<string> = { kind: "string", parse: nonEmpty };

/** A path, left as written: the code that opens it resolves it. Shells complete it. */
const pathType: FlagType<string> = {
  kind: "path",
  parse(text, what) {
    localPath(nonEmpty(text, what), what, "/");
    return text;
  },
};

/** A path, or an address of a storage. */
const placeType: FlagType<string> = { kind: "path", parse: nonEmpty };

/** Bytes, at least the minimum. */
function sizeType({ min }: { readonly min: number }): FlagType<number> {
  return {
    kind: "size",
    parse(text, what) {
      const bytes = parseSize(text, what);
      if (bytes >= min) return bytes;
      throw new SheafError("USAGE", `${what}: ${text} is too small`, {
        hint: `Give ${formatSize(min)} or more.`,
      });
    },
  };
}

/** Milliseconds. */
const durationType: FlagType<number> = { kind: "duration", parse: parseDuration };

/** A whole number between the bounds, both included. Underscores may group digits: 10_000_000. */
function integerType({ min, max }: { readonly min: number; readonly max?: number }): FlagType<number> {
  return {
    kind: "integer",
    parse(text, what) {
      const value = /^-?\d+(?:_\d+)*$/.test(text) ? Number(text.replaceAll("_", "")) : Number.NaN;
      if (Number.isSafeInteger(value) && value >= min && value <= (max ?? value)) return value;
      const bounds = max === undefined ? `${min} or more` : `${min} to ${max}`;
      const is = Number.isSafeInteger(value) ? `${text} is out of range` : `"${text}" is not a whole number`;
      throw new SheafError("USAGE", `${what}: ${is}`, { hint: `Give a whole number, ${bounds}.` });
    },
  };
}

/** A fraction above 0 and up to 1, written "0.01" or "1%". */
const fractionType: FlagType<number> = {
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
function choiceType<const T extends string>(choices: readonly T[]): FlagType<T> {
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

/** "name=value", cut at the first "=". The value stays text: the runner knows the parameter's type. */
const assignmentType: FlagType<readonly [name: string, value: string]> = {
  kind: "assignment",
  parse(text, what) {
    const at = text.indexOf("=");
    if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
    throw new SheafError("USAGE", `${what}: "${text}" is not name=value`, {
      hint: `Write ${what} name=value, for example ${what} year=2024.`,
    });
  },
};

const partitionCountType = integerType(settings.partitions);

/** "8" for every collection (then `collection` is undefined), "byCity=8" for one. */
const partitionsType: FlagType<{ readonly collection: string | undefined; readonly count: number }> = {
  kind: "partitions",
  parse(text, what) {
    const at = text.lastIndexOf("=");
    const collection = at > 0 ? text.slice(0, at) : undefined;
    return { collection, count: partitionCountType.parse(text.slice(at + 1), what) };
  },
};

/** A number of records, or a share of those read as text: "0.01%". */
const badBudgetType: FlagType<number | string> = {
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

/** How arguments may be read. */
export const types = {
  string: stringType,
  path: pathType,
  place: placeType,
  size: sizeType,
  duration: durationType,
  integer: integerType,
  fraction: fractionType,
  choice: choiceType,
  assignment: assignmentType,
  partitions: partitionsType,
  badBudget: badBudgetType,
};

/** 0.01 for "0.01" and for "1%"; NaN for anything else. */
function parseFraction(text: string): number {
  const match = /^\s*(\d*\.?\d+(?:e-?\d+)?)\s*(%?)\s*$/i.exec(text);
  return match === null ? Number.NaN : Number(match[1]) / (match[2] === "%" ? 100 : 1);
}

function nonEmpty(text: string, what: string): string {
  if (text !== "") return text;
  throw new SheafError("USAGE", `${what}: the argument is empty`, { hint: `Give ${what} a value.` });
}

/** A duration as a flag takes it: "60s". */
export function secondsText(setting: { readonly default: number }): string {
  return `${setting.default / 1000}s`;
}
