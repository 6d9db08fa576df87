import { SheafError, describeThrown, isSheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { suggest } from "../base/suggest.ts";
import { findCompression } from "../format/find-compression.ts";
import { type BatchReader, readPiece } from "../format/read-split.ts";
import type { AuxKey, TablePlan } from "../job/aux.ts";
import type { Reader } from "../job/reader.ts";
import { quotePath } from "../storage/fs-error.ts";
import type { PlannedFile } from "../storage/read-range.ts";

/** Entries that a Map may have in V8. */
const mapEntriesMax = 2 ** 24;

/** What is asked of whoever reads side data. */
export interface AuxReading {
  /** Called every now and then, with how many bytes of content have been read since it was called last. */
  took(bytes: number): void;
}

/** Where a row begins. */
interface Place {
  readonly file: PlannedFile;
  readonly offset: number;
}

/** The row that is looked at is the last one wanted. */
const enough = Symbol("enough");

/**
 * The rows of a table: a list, or a Map by key.
 * @param name the entry's, for messages
 * @throws SheafError RECORD_INVALID, KEY_INVALID, USER_CODE with file and line
 */
export async function loadTable(
  name: string,
  plan: TablePlan,
  files: readonly PlannedFile[],
  reading: AuxReading,
): Promise<readonly unknown[] | ReadonlyMap<unknown, unknown>> {
  const table = new Table(name, plan, files, reading);
  return plan.key === undefined ? table.list() : table.byKey(plan.key);
}

class Table {
  readonly #name: string;
  readonly #plan: TablePlan;
  readonly #files: readonly PlannedFile[];
  readonly #reading: AuxReading;

  constructor(name: string, plan: TablePlan, files: readonly PlannedFile[], reading: AuxReading) {
    this.#name = name;
    this.#plan = plan;
    this.#files = files;
    this.#reading = reading;
  }

  async list(): Promise<unknown[]> {
    const rows: unknown[] = [];
    await this.#each((row) => void rows.push(row));
    return rows;
  }

  async byKey(key: NonNullable<TablePlan["key"]>): Promise<Map<AuxKey, unknown>> {
    const rows = new Map<AuxKey, unknown>();
    const { duplicates } = this.#plan;
    let twice: { readonly key: AuxKey; readonly place: Place } | null = null;
    await this.#each((row, file, offset) => {
      const found = keyOf(row, key);
      if (typeof found !== "string" && !isKey(found)) throw this.#noKey(row, key, found);
      const before = rows.get(found);
      if (before === undefined && !rows.has(found)) {
        if (rows.size === mapEntriesMax) throw this.#tooMany();
        rows.set(found, duplicates === "list" ? [row] : row);
      } else if (duplicates === "list") (before as unknown[]).push(row);
      else if (duplicates === "last") rows.set(found, row);
      else if (duplicates === "error") {
        twice = { key: found, place: { file, offset } };
        return enough;
      }
      return undefined;
    });
    if (twice !== null) throw await this.#duplicate(key, twice);
    return rows;
  }

  /** Reads all rows, up to the one for which `take` says so. What it throws gets the row's place. */
  async #each(take: (row: unknown, file: PlannedFile, offset: number) => unknown): Promise<void> {
    for (const file of this.#files) {
      // As in the input of a job: there is nothing in it, not a header without columns.
      if (file.fileBytes === 0) continue;
      const batches = await openWhole(this.#plan.reader, file);
      let position = 0;
      try {
        for (let batch = await batches.next(); batch !== null; batch = await batches.next()) {
          const { records, offsets, bad } = batch;
          if (bad.length > 0) throw await this.#at({ file, offset: bad[0]!.offset }, bad[0]!.error);
          for (let i = 0; i < records.length; i++) {
            const offset = offsets[i]!;
            try {
              if (take(records[i], file, offset) === enough) return;
            } catch (error) {
              throw await this.#at({ file, offset }, error);
            }
          }
          this.#reading.took(batches.position - position);
          position = batches.position;
        }
      } finally {
        await batches.close();
      }
    }
  }

  /** What went wrong, and with which line of which file. */
  async #at(place: Place, error: unknown): Promise<SheafError> {
    const known = isSheafError(error) ? error : null;
    const { name } = place.file;
    const where = await this.#textOf(place);
    // Readers begin with the place as an offset.
    const why = (known?.message ?? describeThrown(error)).replace(`${quotePath(name)}:${place.offset}: `, "");
    const hint = known?.hint?.replace(/,? (?:or|else) set such records aside with --max-bad/, "");
    return new SheafError(known?.code ?? "USER_CODE", `aux.${this.#name}: ${where}: ${why}`, {
      hint: hint ?? "The function given to by() threw. Correct it, or the row.",
      cause: error,
      details: { path: name, offset: place.offset },
    });
  }

  /** "customers.csv, line 7"; of what is no text the offset. */
  async #textOf(place: Place): Promise<string> {
    const { content, encoding } = this.#plan.reader;
    const path = quotePath(place.file.name);
    if (content === undefined && encoding === undefined) return `${path}, byte ${place.offset}`;
    return `${path}, line ${await lineOf(this.#plan.reader, place)}`;
  }

  async #duplicate(
    key: NonNullable<TablePlan["key"]>,
    twice: { readonly key: AuxKey; readonly place: Place },
  ): Promise<SheafError> {
    let first: Place = twice.place;
    await this.#each((row, file, offset) => {
      const found = keyOf(row, key);
      // As a Map compares: 0 and -0 are one key.
      if (found !== twice.key) return undefined;
      first = { file, offset };
      return enough;
    });
    const [one, other] = [await this.#textOf(first), await this.#textOf(twice.place)];
    const what = typeof key === "function" ? "key" : String(key);
    return new SheafError(
      "RECORD_INVALID",
      `aux.${this.#name}: two rows have the ${what} ${printValue(twice.key)}: ${one} and ${other}`,
      {
        hint:
          'Correct the rows, or say which counts: .by(..., { duplicates: "first" }), "last", or "list" for all of ' +
          "them.",
        details: { path: twice.place.file.name, offset: twice.place.offset },
      },
    );
  }

  #noKey(row: unknown, key: NonNullable<TablePlan["key"]>, found: unknown): SheafError {
    if (typeof key !== "function" && !hasField(row, key)) {
      const names = typeof row === "object" && row !== null ? Object.keys(row) : [];
      const near = suggest(String(key), names);
      const there = names.length === 0 ? "" : ` There are: ${names.slice(0, 20).join(", ")}.`;
      return new SheafError("KEY_INVALID", `the row has no field ${printValue(key)}`, {
        hint:
          near === undefined ? `Name a field that rows have.${there}` : `Did you mean ${printValue(near)}?`,
      });
    }
    const what = typeof key === "function" ? "what by() was given made" : `the field ${printValue(key)} is`;
    return new SheafError("KEY_INVALID", `${what} ${printValue(found)}, which is no key of side data`, {
      hint:
        "Make it a text, a number, a bigint or a boolean: .by((row) => `${row.a}/${row.b}`). Other values are " +
        "compared by identity in a Map, and would never be found.",
    });
  }

  #tooMany(): SheafError {
    return new SheafError("LIMIT_EXCEEDED", `there are more than ${mapEntriesMax} keys, the most of a Map`, {
      hint: "Read it as one of several inputs of the job, and join by key.",
    });
  }
}

function keyOf(row: unknown, key: NonNullable<TablePlan["key"]>): unknown {
  if (typeof key === "function") return key(row);
  return hasField(row, key) ? (row as Readonly<Record<string | number, unknown>>)[key] : undefined;
}

function hasField(row: unknown, key: string | number): boolean {
  return typeof row === "object" && row !== null && Object.hasOwn(row, key);
}

function isKey(value: unknown): value is AuxKey {
  if (typeof value === "number") return !Number.isNaN(value);
  return typeof value === "string" || typeof value === "bigint" || typeof value === "boolean";
}

/** The records of a whole file. */
export async function openWhole<R>(reader: Reader<R>, file: PlannedFile): Promise<BatchReader<R>> {
  const { path, name, fileBytes, mtimeMs } = file;
  const compression = await findCompression({ path, name, bytes: fileBytes, mtimeMs }, reader);
  return readPiece(reader, { path, name, start: 0, end: fileBytes, fileBytes, mtimeMs, compression });
}

/** The number of the line in which a record begins, from 1. */
async function lineOf({ framing, encoding }: Reader<unknown>, { file, offset }: Place): Promise<number> {
  const end =
    framing.kind === "quoted"
      ? (framing.newline ?? 10)
      : framing.kind === "delimiter"
        ? framing.delimiter.at(-1)!
        : 10;
  let lines = 1;
  const counter: Reader<never> = {
    kind: "lines",
    framing: { kind: "stream" },
    ...(encoding !== undefined && { encoding }),
    decoder: () => ({
      decode(bytes, at) {
        const before = bytes.subarray(0, Math.max(0, offset - at));
        for (let i = before.indexOf(end); i !== -1; i = before.indexOf(end, i + 1)) lines++;
      },
    }),
  };
  const batches = await openWhole(counter, file);
  try {
    while (batches.position < offset && (await batches.next()) !== null);
  } finally {
    await batches.close();
  }
  return lines;
}
