import { isUtf8 } from "node:buffer";
import { describeThrown, SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { suggest } from "../base/suggest.ts";
import type { DecodeContext } from "../job/reader.ts";
import { quotePath } from "../storage/fs-error.ts";
import { COLUMN_TYPE_NAMES, columnParser, type Columns } from "./columns.ts";
import { notUtf8 } from "./invalid-text.ts";

export interface RowMaker {
  /** Fields a record must have; null when it may have any number. */
  readonly count: number | null;
  /** Of each field's place, which of the values it is that a row is made of; -1: of none. null: all are. */
  readonly slots: Int32Array | null;
  /** The row of these values. Throws an Error (without place) when they do not fit. */
  make(values: string[]): unknown;
}

/** The row of one record's fields, the wanted ones among them. @throws Error as `make` does */
export function rowOf(rows: RowMaker, fields: string[]): unknown {
  if (rows.count !== null) checkCount(fields.length, rows.count);
  const { slots } = rows;
  if (slots === null) return rows.make(fields);
  const values: string[] = [];
  for (let place = 0; place < fields.length; place++)
    if (slots[place] !== -1) values[slots[place]!] = fields[place]!;
  return rows.make(values);
}

export interface TableShape {
  /**
   * true: the file's first line names the columns; false: it is a row like any other; names: there is a first
   * line, and these are used in place of what it says.
   */
  readonly header: boolean | readonly string[];
  /**
   * Columns wanted, by name, with their types. With `header: false` they stand for the file's columns, in
   * order.
   */
  readonly columns: Columns | undefined;
}

/**
 * @throws SheafError JOB_INVALID, at definition, for a column type that does not exist, and for names whose
 * order nobody knows where only their order says which column each is
 */
export function checkColumns({ columns, header }: TableShape, reader: string): void {
  const names = Object.keys(columns ?? {});
  if (header === false && names.some(isIndex) && !arePlaces(names)) {
    throw new SheafError(
      "JOB_INVALID",
      `${reader}: without a header the order of columns says which each is, and an object has names that are whole numbers first, in order of size: ${JSON.stringify(names)}`,
      {
        hint: 'Put a letter before such names ("y2024"), or leave columns out and take the fields by place.',
      },
    );
  }
  for (const [name, type] of Object.entries(columns ?? {})) {
    if (columnParser(type) !== undefined) continue;
    throw new SheafError(
      "JOB_INVALID",
      `${reader}: column ${JSON.stringify(name)}: no type ${printValue(type)}`,
      {
        hint: `Types are ${COLUMN_TYPE_NAMES.join(", ")}, with "?" behind where fields may be empty, or functions.`,
      },
    );
  }
}

/** Whether it is one of the names that an object has before all others, whatever order they were given in. */
function isIndex(name: string): boolean {
  return /^(?:0|[1-9]\d{0,9})$/.test(name) && Number(name) < 2 ** 32 - 1;
}

/** Whether each name is the column's own place, counted from 0 or 1. */
function arePlaces(names: readonly string[]): boolean {
  const first = Number(names[0]);
  return names.length === 1 || (first <= 1 && names.every((name, i) => name === String(first + i)));
}

/**
 * How rows are made in one file. Arrays of strings without names; objects otherwise, with every column as a
 * string when no types are given.
 * @param names what the file's header says; undefined when it has none
 * @throws SheafError RECORD_INVALID when the header lacks a wanted column or has one twice
 */
export function rowMaker(
  shape: TableShape,
  names: readonly string[] | undefined,
  context: DecodeContext,
): RowMaker {
  const { columns } = shape;
  if (columns === undefined) {
    return names === undefined
      ? { count: null, slots: null, make: (fields) => fields }
      : objectRows(shape, names, context);
  }
  const wanted = Object.keys(columns);
  const present = names ?? wanted;
  const places = wanted.map((name) => placeOf(name, present, context));
  const parsers = wanted.map((name) => columnParser(columns[name]!)!);
  const slots = new Int32Array(present.length).fill(-1);
  for (const [slot, place] of places.entries()) slots[place] = slot;
  const empty = emptyRow(wanted);
  const make = (values: string[]): unknown => {
    const row = { ...empty };
    for (let i = 0; i < wanted.length; i++) {
      const name = wanted[i]!;
      try {
        row[name] = parsers[i]!(values[i]!);
      } catch (error) {
        const why = describeThrown(error);
        throw new Error(`column ${JSON.stringify(name)}: ${why}`, { cause: error });
      }
    }
    return row;
  };
  return { count: present.length, slots, make };
}

function objectRows(shape: TableShape, names: readonly string[], context: DecodeContext): RowMaker {
  const [only = ""] = names;
  if (names.length === 1 && shape.header === true && only.trim() === "") {
    throw new SheafError("RECORD_INVALID", `${quotePath(context.path)}: the first line names no column`, {
      hint: "The header must be the first line: remove what stands before it, or name the columns: { header: [names] }.",
      details: { path: context.path, offset: 0 },
    });
  }
  if (names.length === 1 && shape.header === true && /[;\t|]/.test(only)) {
    throw new SheafError(
      "RECORD_INVALID",
      `${quotePath(context.path)}: the header is one column: ${JSON.stringify(only)}`,
      {
        hint: `${delimiterHint(only)} If it is one column, name it: { header: [name] }.`,
        details: { path: context.path, offset: 0 },
      },
    );
  }
  for (const name of names) placeOf(name, names, context);
  const empty = emptyRow(names);
  const make = (fields: string[]): unknown => {
    const row = { ...empty };
    for (let i = 0; i < names.length; i++) row[names[i]!] = fields[i]!;
    return row;
  };
  return { count: names.length, slots: null, make };
}

/** @throws Error (without place) where a record has more or fewer fields */
export function checkCount(fields: number, count: number): void {
  if (fields !== count) throw new Error(`the record has ${fields} fields, the columns are ${count}`);
}

function placeOf(name: string, names: readonly string[], context: DecodeContext): number {
  const place = names.indexOf(name);
  const where = `${quotePath(context.path)}: column ${JSON.stringify(name)}`;
  const details = { path: context.path, offset: 0 };
  if (place === -1) {
    const all = names
      .slice(0, 50)
      .map((each) => JSON.stringify(each))
      .join(", ");
    throw new SheafError("RECORD_INVALID", `${where} is not in the header: ${all}`, {
      hint: hintOf(name, names),
      details,
    });
  }
  if (names.indexOf(name, place + 1) === -1) return place;
  throw new SheafError("RECORD_INVALID", `${where} is in the header twice`, {
    hint: "Give the columns names of your own: { header: [names] }.",
    details,
  });
}

/** What to do about a column that is not in the header. */
function hintOf(name: string, names: readonly string[]): string {
  if (names.length === 1 && /[;\t|,]/.test(names[0]!)) return delimiterHint(names[0]!);
  const bare = names.find((one) => plain(one) === plain(name));
  if (bare !== undefined) {
    const what = bare.trim() === bare ? "in other letters" : "with blanks around it";
    return `The header has it ${what}, as ${JSON.stringify(bare)}: write it so, or name the columns yourself: { header: [names] }.`;
  }
  const near = suggest(name, names);
  return near === undefined
    ? "Check the names of the columns and the delimiter."
    : `Did you mean ${JSON.stringify(near)}?`;
}

/** For a header of one name that has the delimiters of other formats inside. */
function delimiterHint(only: string): string {
  const found = [";", "\t", "|", ","].find((one) => only.includes(one)) ?? ",";
  const text = JSON.stringify(found);
  const reader =
    found === "," ? "csv()" : found === "\t" ? "tsv({ header: true })" : `csv({ delimiter: ${text} })`;
  return `With ${text} inside it looks like input for ${reader}.`;
}

function plain(name: string): string {
  return name.trim().toLowerCase();
}

/**
 * The first line of a file, which names its columns.
 * @param replace what is not UTF-8 in it becomes U+FFFD
 * @throws SheafError RECORD_INVALID for what is not UTF-8
 */
export function headerText(context: DecodeContext, replace: boolean): string {
  const line = context.header ?? new Uint8Array(0);
  if (!replace && !isUtf8(line)) throw notUtf8(context, 0, line).error;
  return Buffer.from(line).toString("utf8");
}

/**
 * Refuses a header in which lines seem to end with a "\r" alone, or with "\r\r\n".
 * @param lineEnd of the reader
 */
export function checkHeaderText(header: string, lineEnd: string, context: DecodeContext): void {
  const other = lineEnd === "\n" ? "\r" : "\n";
  const found = header.indexOf(other);
  if (found === -1) return;
  const seen = JSON.stringify(other);
  const isLast = found === header.length - 1;
  throw new SheafError(
    "RECORD_INVALID",
    `${quotePath(context.path)}: the header has ${seen} ${isLast ? "at its end" : "inside"}, so lines seem to end in more ways than one`,
    {
      hint: isLast
        ? `Take ${seen} out of the file: tr -d '${other === "\r" ? "\\r" : "\\n"}' < FILE | sheaf run job.ts -`
        : `Make all line ends of the file the same; where they are, give the reader { lineEnd: ${seen} }.`,
      details: { path: context.path, offset: 0 },
    },
  );
}

/**
 * What rows are copies of: a copy with its fields in place is made faster than field by field. A field may be
 * called "__proto__", which is one because it is defined, not assigned.
 */
function emptyRow(names: readonly string[]): Record<string, unknown> {
  const row: Record<string, unknown> = {};
  const field = { value: undefined, enumerable: true, configurable: true, writable: true };
  for (const name of names) Object.defineProperty(row, name, field);
  return row;
}
