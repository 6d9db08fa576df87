import { SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import type { Key } from "../job/key.ts";
import { DATA_HINT, describeInstance, isArraySubclass, isPlainObject } from "../job/plain-data.ts";

/** What a line, or a row, is made of: key and value, or the value alone (the key where there is none). */
export type RowShape = "pair" | "record";

export interface LayoutOptions {
  /** The writer's name, for messages. */
  readonly format: string;
  readonly shape: RowShape;
  /** true: a header names the columns. Names: those are the columns, the key's first. */
  readonly header: boolean | readonly string[];
  /** Names of the columns of values that are objects. Default: those of the first one. */
  readonly columns: readonly string[] | undefined;
}

const NAMES_SHOWN = 300;

/**
 * Lays the results of one output file out in columns. The first result says which columns there are, where no
 * option does; from then on the fields of objects are looked up by their names, so that each lands under its
 * own, whatever order it comes in.
 */
export class RowLayout {
  readonly #options: LayoutOptions;
  /** Columns of the key; -1 before the first result. */
  #keys = -1;
  /** Columns of the value. */
  #values = 0;
  /** Fields of values that are objects; undefined where values are anything else. */
  #fields: readonly string[] | undefined;
  /** The names of all columns; undefined when nothing is known of them. */
  names: readonly string[] | undefined;

  /** @throws SheafError JOB_INVALID when a name is there twice */
  constructor(options: LayoutOptions) {
    this.#options = options;
    const { header, shape, columns, format } = options;
    // Without a key's columns, those of the value are all there are.
    this.names = typeof header !== "boolean" ? header : header && shape === "record" ? columns : undefined;
    const twice = duplicate(typeof header === "boolean" ? [] : header);
    if (twice === undefined) return;
    throw new SheafError("JOB_INVALID", `${format}: two columns are called ${JSON.stringify(twice)}`, {
      hint: "Give every column of `header` a name of its own.",
    });
  }

  get started(): boolean {
    return this.#keys >= 0;
  }

  /** True where a row may have any columns: there is no header, and values are no objects. */
  get free(): boolean {
    return this.#options.header === false && this.#fields === undefined && this.#options.shape === "pair";
  }

  /** True where a key and a value that are no arrays or objects make a row of two columns, as they should. */
  get simple(): boolean {
    const isPair = this.#options.shape === "pair" && this.#fields === undefined;
    return isPair && (this.free || (this.#keys === 1 && this.#values === 1));
  }

  /** What files of one output must agree on; undefined while nothing is known, or nothing has to. */
  get agreement(): string | undefined {
    return this.started && !this.free ? JSON.stringify(this.names) : undefined;
  }

  /** Takes the columns from the first result. @throws SheafError VALUE_INVALID */
  start(key: Key, result: unknown): void {
    const { header, shape, columns, format } = this.#options;
    const value = shape === "record" && result === undefined ? key : result;
    const keys = shape === "record" ? [] : keyNames(key);
    const own = isPlainObject(value) ? Object.keys(value) : undefined;
    const rest = typeof header === "boolean" ? columns : header.slice(keys.length);
    const fields = own === undefined ? undefined : (rest ?? own);
    const names = typeof header === "boolean" ? [...keys, ...(fields ?? valueNames(value))] : header;
    const twice = header === false ? undefined : duplicate(names);
    if (twice !== undefined) {
      throw invalid(
        `${format}: two columns would be called ${JSON.stringify(twice)}: that of the key, and a field`,
        `Rename the field, or write ${format}({ shape: "record" }) to leave the key out.`,
      );
    }
    this.#keys = keys.length;
    this.#values = names.length - keys.length;
    this.#fields = fields;
    this.names = names;
  }

  /** The columns of a result, each in its place. REQUIRES start(). @throws SheafError VALUE_INVALID */
  row(key: Key, result: unknown): readonly unknown[] {
    const isRecord = this.#options.shape === "record";
    const columns = this.#columnsOf(isRecord && result === undefined ? key : result);
    if (isRecord) return this.#counted(0, columns);
    if (!Array.isArray(key)) return [key, ...this.#counted(1, columns)];
    return [...(key as readonly Key[]), ...this.#counted(key.length, columns)];
  }

  #counted(keys: number, columns: readonly unknown[]): readonly unknown[] {
    if (this.#options.header === false) return columns;
    if (keys === this.#keys && columns.length === this.#values) return columns;
    const { format } = this.#options;
    const told = (key: number, value: number): string =>
      `${key + value} columns${key === 0 ? "" : ` (${key} of the key, ${value} of the value)`}`;
    throw invalid(
      `${format}: a result has ${told(keys, columns.length)}, the header ${told(this.#keys, this.#values)}: ${shown(this.names)}`,
      `Give all results the same columns, or write ${format}({ header: false }).`,
    );
  }

  #columnsOf(value: unknown): readonly unknown[] {
    if (isPlainObject(value)) {
      const wanted = this.#fields;
      if (wanted === undefined)
        throw this.#mixed("an object after others that were none", Object.keys(value));
      const names = Object.keys(value);
      let same = names.length === wanted.length ? 0 : -1;
      while (same >= 0 && same < names.length) same = names[same] === wanted[same] ? same + 1 : -1;
      return same >= 0 ? Object.values(value) : this.#byName(value, names, wanted);
    }
    if (this.#fields !== undefined) throw this.#mixed(printValue(value), undefined);
    if (value === undefined) return [];
    return Array.isArray(value) ? plainArray(value) : [value];
  }

  #byName(
    value: Readonly<Record<string, unknown>>,
    names: readonly string[],
    wanted: readonly string[],
  ): readonly unknown[] {
    const { header, columns } = this.#options;
    // Where the columns were asked for by name, a field that a result lacks is an empty one.
    const isAskedFor = typeof header !== "boolean" || columns !== undefined;
    const lacks = !isAskedFor && wanted.some((name) => !Object.hasOwn(value, name));
    const strange = names.some((name) => !wanted.includes(name) && value[name] !== undefined);
    if (lacks || strange) throw this.#mixed(undefined, names);
    return wanted.map((name) => (Object.hasOwn(value, name) ? value[name] : undefined));
  }

  #mixed(what: string | undefined, names: readonly string[] | undefined): SheafError {
    const { format } = this.#options;
    const fields = names === undefined ? undefined : `the fields ${shown(names)}`;
    const said =
      what === undefined ? `has ${fields}` : `is ${what}${fields === undefined ? "" : `, with ${fields}`}`;
    const columns = this.#fields === undefined ? "" : `, the columns are ${shown(this.#fields)}`;
    return invalid(
      `${format}: a result ${said}${columns}`,
      "Give all results the same fields, null where there is nothing, or use jsonl().",
    );
  }
}

/** True for what is one column whatever the layout. */
export function isScalar(value: unknown): boolean {
  return typeof value === "object" ? value === null : value !== undefined;
}

/** @throws SheafError VALUE_INVALID for an instance of a class that extends Array */
function plainArray(value: readonly unknown[]): readonly unknown[] {
  if (!isArraySubclass(value)) return value;
  throw invalid(
    `a value cannot be ${describeInstance(value)}: the output format has no form for it`,
    DATA_HINT,
  );
}

function keyNames(key: Key): string[] {
  return Array.isArray(key) ? numbered("key", key.length) : ["key"];
}

function valueNames(value: unknown): string[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? numbered("value", value.length) : ["value"];
}

function numbered(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${name}${i + 1}`);
}

function duplicate(names: readonly string[]): string | undefined {
  return names.find((name, i) => names.indexOf(name) !== i);
}

function shown(names: readonly string[] | undefined): string {
  return printValue(names, NAMES_SHOWN);
}

function invalid(message: string, hint: string): SheafError {
  return new SheafError("VALUE_INVALID", message, { hint });
}
