import { SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { isPlainObject } from "./plain-data.ts";
import type { Reader } from "./reader.ts";

/**
 * What is made of a file of side data: its text (without a byte order mark), the JSON value it holds, its
 * bytes as they lie, or the path of a copy on the machine that runs the task. Text and JSON are UTF-8, and
 * decompressed. Default: "json" when the name ends in ".json" (".json.gz" ...), else "text".
 */
export type AuxForm = "text" | "json" | "bytes" | "path";

/** One file of side data. */
export interface AuxFile {
  /** Relative to the job file, or absolute; or a file URL. */
  readonly file: string;
  readonly as?: AuxForm;
}

/** Several: a Map of what they hold, by their paths as the job names them ("lists/a.txt"). */
export interface AuxFiles {
  /** Files, directories, patterns. */
  readonly files: string | readonly string[];
  readonly as?: AuxForm;
}

/** What `aux` may hold, by name: files, tables, and anything else as it is. */
export type AnyAux = Readonly<Record<string, AuxFile | AuxFiles | {} | null | undefined>>;

/** Side data that is made of files when a worker first needs it. */
export interface AuxSource<out T> {
  readonly sheaf: "aux";
  /** Never there: carries the type. */
  readonly "~loaded"?: T;
}

/** What rows of a table can be found by: what a Map compares by value. */
export type AuxKey = string | number | bigint | boolean;

export interface ByOptions {
  /**
   * What happens when several rows have one key: it is an error that names two of them (default), the first
   * or the last of them counts, or each key has a list of its rows.
   */
  readonly duplicates?: "error" | "first" | "last" | "list";
}

/** Where rows have no type, any field may be asked for; rows that are arrays have numbers. */
type FieldOf<R> = unknown extends R ? string : R extends readonly unknown[] ? number : keyof R & string;
type KeyIn<R, F> = unknown extends R
  ? AuxKey
  : R extends readonly (infer E)[]
    ? Extract<E, AuxKey>
    : F extends keyof R
      ? Extract<R[F], AuxKey>
      : never;

/** Rows of side data: a list in the order of the files, or by key. */
export interface AuxTable<R> extends AuxSource<readonly R[]> {
  /** All rows, in order: what a table is without it, too. */
  list(): AuxSource<readonly R[]>;
  /**
   * The rows by a field, or by what a function makes of each: a text, a number, a bigint or a boolean. "1"
   * and 1 are different keys.
   */
  by<F extends FieldOf<R>>(
    field: F,
    options: ByOptions & { readonly duplicates: "list" },
  ): AuxSource<ReadonlyMap<KeyIn<R, F>, readonly R[]>>;
  by<F extends FieldOf<R>>(field: F, options?: ByOptions): AuxSource<ReadonlyMap<KeyIn<R, F>, R>>;
  by<K extends AuxKey>(
    key: (row: R) => K,
    options: ByOptions & { readonly duplicates: "list" },
  ): AuxSource<ReadonlyMap<K, readonly R[]>>;
  by<K extends AuxKey>(key: (row: R) => K, options?: ByOptions): AuxSource<ReadonlyMap<K, R>>;
}

/** `ctx.aux` of a job whose `aux` is A. */
export type LoadedAux<A> = { readonly [N in keyof A]: Loaded<A[N]> };

type Loaded<T> =
  T extends AuxSource<infer V>
    ? V
    : T extends { readonly files: string | readonly string[]; readonly as?: infer F }
      ? ReadonlyMap<string, Content<F>>
      : T extends { readonly file: string; readonly as?: infer F }
        ? Content<F>
        : T;

type Content<F> = F extends "bytes" ? Uint8Array : F extends "text" | "path" ? string : unknown;

/** How a table is read, and what is made of its rows. */
export interface TablePlan {
  readonly paths: readonly string[];
  readonly reader: Reader<unknown>;
  /** Left out: a list. */
  readonly key?: string | number | ((row: unknown) => unknown);
  readonly duplicates: NonNullable<ByOptions["duplicates"]>;
}

/** A table as `aux` has it. Plain fields, so that one made by another copy of sheaf is known, too. */
interface MadeTable extends AuxSource<unknown> {
  readonly table: TablePlan;
}

/** An entry of `aux` as it is loaded. */
export type AuxEntry =
  | { readonly kind: "value"; readonly value: unknown }
  | { readonly kind: "file"; readonly path: string; readonly as: AuxForm | undefined }
  | { readonly kind: "files"; readonly paths: readonly string[]; readonly as: AuxForm | undefined }
  | ({ readonly kind: "table" } & TablePlan);

const FORMS: readonly unknown[] = ["text", "json", "bytes", "path", undefined];
const DUPLICATES: readonly unknown[] = ["error", "first", "last", "list", undefined];

/**
 * Side data that is read with a reader: `aux: { cities: table("cities.bin", myReader()).by("zip") }`.
 * `csv("cities.csv", { ... })` is short for `table("cities.csv", csv({ ... }))`; so with tsv, jsonl,
 * jsonArray and text. Compressed files are decompressed.
 * @param paths files, directories and patterns, relative to the job file or absolute
 * @throws SheafError JOB_INVALID
 */
export function table<R>(paths: string | readonly string[], reader: Reader<R>): AuxTable<R> {
  const all = pathsOf(paths);
  if (all === null) {
    const hint = 'Give a path, or a list of them: csv("customers.csv", { ... }).';
    throw new SheafError("JOB_INVALID", `aux: ${printValue(paths)} is no path`, { hint });
  }
  if (typeof reader !== "object" || reader === null || typeof reader.decoder !== "function") {
    throw new SheafError("JOB_INVALID", `aux: ${printValue(reader)} is no reader of ${all.join(", ")}`, {
      hint: "Give one, called: table(path, fixedLength(100)).",
    });
  }
  const plan: TablePlan = { paths: all, reader, duplicates: "error" };
  const rows: MadeTable & Pick<AuxTable<R>, "list"> = {
    ...made(plan),
    list: () => made(plan) as AuxSource<readonly R[]>,
  };
  const by = (key: TablePlan["key"], options: ByOptions = {}): AuxSource<unknown> =>
    made(keyed(plan, key, options));
  return Object.freeze({ ...rows, by }) as unknown as AuxTable<R>;
}

function made(plan: TablePlan): MadeTable {
  return Object.freeze({ sheaf: "aux" as const, table: Object.freeze(plan) });
}

function keyed(plan: TablePlan, key: unknown, { duplicates = "error" }: ByOptions): TablePlan {
  const of = plan.paths.join(", ");
  if (!["string", "number", "function"].includes(typeof key)) {
    throw new SheafError("JOB_INVALID", `aux: the rows of ${of} cannot be found by ${printValue(key)}`, {
      hint: 'Give a field or a function: .by("id"), .by((row) => row.id).',
    });
  }
  if (!DUPLICATES.includes(duplicates)) {
    throw new SheafError("JOB_INVALID", `aux: duplicates cannot be ${printValue(duplicates)} (${of})`, {
      hint: 'It is one of "error", "first", "last", "list".',
    });
  }
  return { ...plan, key: key as NonNullable<TablePlan["key"]>, duplicates };
}

function pathsOf(given: unknown): readonly string[] | null {
  const paths: readonly unknown[] = Array.isArray(given) ? given : [given];
  const isList = paths.length > 0 && paths.every((path) => typeof path === "string" && path !== "");
  return isList ? (paths as readonly string[]) : null;
}

/** What an entry of `aux` is. One that is neither files nor a table is a value. */
export function auxEntry(given: unknown): AuxEntry {
  const value = given as Readonly<Record<string, unknown>>;
  if (typeof given !== "object" || given === null) return { kind: "value", value: given };
  if (value["sheaf"] === "aux" && typeof value["table"] === "object") {
    return { kind: "table", ...(value["table"] as TablePlan) };
  }
  const as = value["as"] as AuxForm | undefined;
  if (!isPlainObject(given) || !FORMS.includes(as)) return { kind: "value", value: given };
  const only = Object.keys(given).every((name) => ["file", "files", "as"].includes(name));
  if (typeof given["file"] === "string") return { kind: "file", path: given["file"], as };
  const paths = only ? pathsOf(given["files"]) : null;
  return paths === null ? { kind: "value", value: given } : { kind: "files", paths, as };
}

/** Files that an entry is made of, as the job names them. */
export function auxPathsOf(entry: AuxEntry): readonly string[] {
  return entry.kind === "value" ? [] : entry.kind === "file" ? [entry.path] : entry.paths;
}

/**
 * Why an entry of `aux` makes no sense, and what to do; null when it does.
 * @param value what the job gives by that name
 */
export function auxProblem(value: unknown): { readonly problem: string; readonly hint: string } | null {
  if (typeof value === "function" || typeof value === "symbol") {
    const hint =
      "Data travels to other threads: values, or files by { file: path }. Import functions instead.";
    return { problem: `${printValue(value)} is no data`, hint };
  }
  if (typeof value !== "object" || value === null) return null;
  const { decoder, file, files, as } = value as Readonly<Record<string, unknown>>;
  if (typeof decoder === "function") {
    const hint = 'Say of which file: csv("customers.csv", { ... }), or table("customers.csv", reader).';
    return { problem: "a reader without a path", hint };
  }
  const isFile = typeof file === "string" || pathsOf(files) !== null;
  if (isFile && isPlainObject(value) && !FORMS.includes(as)) {
    return {
      problem: `as cannot be ${printValue(as)}`,
      hint: 'It is one of "text", "json", "bytes", "path".',
    };
  }
  if (file === "") return { problem: "its path is empty", hint: "Give a path: { file: 'stop-words.txt' }." };
  if (file instanceof URL) {
    return { problem: "its file is a URL object", hint: "Give its text: { file: url.href }." };
  }
  const inner = isPlainObject(value) ? Object.entries(value).find(([, one]) => isTable(one)) : undefined;
  if (inner === undefined) return null;
  return {
    problem: `the table ${inner[0]} lies in another value`,
    hint: "Give it a name of its own in aux.",
  };
}

function isTable(value: unknown): boolean {
  return auxEntry(value).kind === "table";
}
