import { SheafError } from "../base/errors.ts";
import { suggest } from "../base/suggest.ts";
import type { DecodeContext } from "../job/reader.ts";
import { quotePath } from "../storage/fs-error.ts";
import { COLUMN_TYPE_NAMES, columnParser, type Columns } from "./columns.ts";

export interface RowMaker {
  /** Fields a record must have; null when it may have any number. */
  readonly count: number | null;
  /** The row of one record's fields. Throws an Error (without place) when they do not fit. */
  make(fields: string[]): unknown;
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
 * @throws SheafError JOB_INVALID for a column type that does not exist, at definition
 */
export function checkColumns(columns: Columns | undefined, reader: string): void {
  for (const [name, type] of Object.entries(columns ?? {})) {
    if (columnParser(type) !== undefined) continue;
    throw new SheafError(
      "JOB_INVALID",
      `${reader}: column ${JSON.stringify(name)}: no type "${String(type)}"`,
      {
        hint: `Types are ${COLUMN_TYPE_NAMES.join(", ")}, with "?" behind where fields may be empty, or functions.`,
      },
    );
  }
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
    return names === undefined ? { count: null, make: (fields) => fields } : objectRows(names, context);
  }
  const wanted = Object.keys(columns);
  const present = names ?? wanted;
  const places = wanted.map((name) => placeOf(name, present, context));
  const parsers = wanted.map((name) => columnParser(columns[name]!)!);
  const make = (fields: string[]): unknown => {
    checkCount(fields, present.length);
    const row: Record<string, unknown> = {};
    for (let i = 0; i < wanted.length; i++) {
      const name = wanted[i]!;
      try {
        setField(row, name, parsers[i]!(fields[places[i]!]!));
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        throw new Error(`column ${JSON.stringify(name)}: ${why}`, { cause: error });
      }
    }
    return row;
  };
  return { count: present.length, make };
}

function objectRows(names: readonly string[], context: DecodeContext): RowMaker {
  for (const name of names) placeOf(name, names, context);
  const make = (fields: string[]): unknown => {
    checkCount(fields, names.length);
    const row: Record<string, string> = {};
    for (let i = 0; i < names.length; i++) setField(row, names[i]!, fields[i]!);
    return row;
  };
  return { count: names.length, make };
}

function checkCount(fields: readonly string[], count: number): void {
  if (fields.length !== count)
    throw new Error(`the record has ${fields.length} fields, the columns are ${count}`);
}

function placeOf(name: string, names: readonly string[], context: DecodeContext): number {
  const place = names.indexOf(name);
  const where = `${quotePath(context.path)}: column ${JSON.stringify(name)}`;
  const details = { path: context.path, offset: 0 };
  if (place === -1) {
    const near = suggest(name, names);
    const all = names
      .slice(0, 50)
      .map((each) => JSON.stringify(each))
      .join(", ");
    throw new SheafError("RECORD_INVALID", `${where} is not in the header: ${all}`, {
      hint:
        near === undefined ? "Check the names of the columns and the delimiter." : `Did you mean "${near}"?`,
      details,
    });
  }
  if (names.indexOf(name, place + 1) === -1) return place;
  throw new SheafError("RECORD_INVALID", `${where} is in the header twice`, {
    hint: "Give the columns names of your own: { header: [names] }.",
    details,
  });
}

// Assigning to a column named "__proto__" would not make a field of it.
function setField(row: Record<string, unknown>, name: string, value: unknown): void {
  if (name !== "__proto__") row[name] = value;
  else Object.defineProperty(row, name, { value, enumerable: true, configurable: true, writable: true });
}
