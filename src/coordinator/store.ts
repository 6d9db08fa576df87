import { closeSync, constants, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { crc32c } from "../base/crc32.ts";
import { SheafError } from "../base/errors.ts";
import type { Journal } from "../engine/loop.ts";
import { type Fact, factKey } from "../scheduler/facts.ts";
import { quotePath } from "../storage/fs-error.ts";
import { stateCorrupt, openDatabase } from "./database.ts";
import type { Sql, Value } from "./database.ts";

/*
 * The tables of coordinator.db; docs/coordinator-state.md says what each column is. Every row carries the
 * CRC-32C of its key and text: SQLite checks its structure, not what stands in it.
 */

/** One row a job, by its id. */
const onePerJob = ["jobs", "submissions", "plans", "sums", "views"] as const;
/** Many rows a job. */
const manyPerJob = ["facts", "outputs", "splits", "added", "told"] as const;
const ofNoJob = ["meta", "agents", "discards", "bundles", "schedules"] as const;

export type OneTable = (typeof onePerJob)[number] | (typeof ofNoJob)[number];
export type ManyTable = (typeof manyPerJob)[number];

const schema = [
  ...[...onePerJob, ...ofNoJob].map(
    (table) =>
      `CREATE TABLE ${table}
         (key TEXT PRIMARY KEY, text TEXT NOT NULL, crc INTEGER NOT NULL) STRICT`,
  ),
  ...manyPerJob.flatMap((table) => [
    `CREATE TABLE ${table}
       (key TEXT PRIMARY KEY, job TEXT NOT NULL, text TEXT NOT NULL, crc INTEGER NOT NULL) STRICT`,
    `CREATE INDEX ${table}_by_job ON ${table} (job)`,
  ]),
];

type Write =
  | { readonly table: OneTable; readonly key: string; readonly text: string | null }
  | { readonly table: ManyTable; readonly key: string; readonly job: string; readonly text: string | null }
  | { readonly table: "job"; readonly job: string };

export interface Row {
  readonly key: string;
  readonly text: string;
}

/** Of the tables and of what stands in their rows; a coordinator refuses another one. */
export const formatVersion = "8";

/**
 * What has to outlive the coordinator. Changes are gathered by `put` and written by `flush`, all of them in
 * one transaction: when it throws, none of them is written, all of them are still there, and the next
 * `flush` tries again.
 */
export class StateStore implements Journal {
  readonly #sql: Sql;
  readonly #path: string;
  /** By table and key: of several changes of one row the last is written. */
  #pending = new Map<string, Write>();
  /** Version of sheaf that wrote the state last, before this one; null: it is new. */
  readonly writer: string | null;
  /**
   * Writes that the state has lost since they were acknowledged: the database is of an earlier moment. Until
   * `flushWhole` it stays so.
   */
  readonly writesLost: number;
  readonly #count: WriteCount;
  #writes = 0;

  /**
   * @param version of this sheaf, noted as the one that writes from now on
   * @throws SheafError as `open`; VERSION_MISMATCH for a state of another format; STATE_CORRUPT for a
   * database that is no state
   */
  constructor(
    stateDirectory: string,
    pid: number,
    version: string,
    open: typeof openDatabase = openDatabase,
  ) {
    this.#path = join(stateDirectory, "coordinator.db");
    this.#sql = open(stateDirectory, pid);
    this.#count = new WriteCount(join(stateDirectory, "coordinator.writes"));
    try {
      this.writer = this.#checkFormat(version);
      if (this.writer !== null) this.#writes = Number(this.get("meta", "writes") ?? 0);
      this.writesLost = Math.max(0, this.#count.noted - this.#writes);
      if (this.writer !== version) {
        this.put("meta", "schema", formatVersion);
        this.put("meta", "writer", version);
        // All at once: a state has all of its tables, or it is none.
        this.#flush(this.writer === null ? schema : []);
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get path(): string {
    return this.#path;
  }

  /** Before anything else is read: another format may have other tables. */
  #checkFormat(version: string): string | null {
    const names = [...this.#sql.rows("SELECT name FROM sqlite_master WHERE type = 'table'", [])];
    if (names.length === 0) return null;
    if (!names.some(({ name }) => name === "meta"))
      throw stateCorrupt(this.#path, "it has tables, and none of them is a coordinator's `meta`");
    const format = this.get("meta", "schema");
    const writer = this.get("meta", "writer") ?? "an earlier version";
    if (format === formatVersion) return writer;
    const of = format === null ? "of no known format" : `of format ${format}`;
    throw new SheafError(
      "VERSION_MISMATCH",
      `${quotePath(this.#path)} is ${of}, written by sheaf ${writer}; sheaf ${version} knows format ${formatVersion}`,
      {
        hint:
          `Start the coordinator with sheaf ${writer} and let its jobs end, or move the state directory ` +
          "away: this version then begins with an empty one.",
      },
    );
  }

  /** `text` null: the row goes. */
  put(table: OneTable, key: string, text: string | null): void {
    this.#add(`${table}\0${key}`, { table, key, text });
  }

  putOf(table: ManyTable, job: string, key: string, text: string | null): void {
    this.#add(`${table}\0${key}`, { table, job, key, text });
  }

  /** As a Journal: what the scheduler has to remember. A job's history is the coordinator's to forget. */
  keep(fact: Fact): void {
    if (fact.kind === "jobForgotten") return;
    const isGone =
      (fact.kind === "bar" && fact.bar === null) || (fact.kind === "handBar" && fact.reason === null);
    const job = "job" in fact ? fact.job : "";
    this.putOf("facts", job, factKey(fact), isGone ? null : JSON.stringify(fact));
  }

  /** All rows of the job go. */
  forget(job: string): void {
    this.#add(`job\0${job}`, { table: "job", job });
  }

  get hasPending(): boolean {
    return this.#pending.size > 0;
  }

  /** @throws SheafError DISK_FULL, OUTPUT_UNWRITABLE: then nothing has been written */
  flush(): void {
    if (this.#pending.size > 0) this.#flush([]);
  }

  /** As `flush`, after which nothing counts as lost any more. */
  flushWhole(): void {
    this.#writes = Math.max(this.#writes, this.#count.noted);
    this.#flush([]);
  }

  #flush(first: readonly string[]): void {
    const writes = this.#writes + 1;
    this.#sql.transaction(() => {
      for (const statement of first) this.#sql.run(statement, []);
      for (const write of this.#pending.values()) this.#write(write);
      this.#write({ table: "meta", key: "writes", text: String(writes) });
    });
    this.#writes = writes;
    this.#pending = new Map();
    this.#count.note(writes);
  }

  /** What is written, not what waits to be. @throws SheafError STATE_CORRUPT */
  get(table: OneTable | ManyTable, key: string): string | null {
    for (const row of this.#rows(table, "WHERE key = ?", [key])) return row.text;
    return null;
  }

  /** In no order. @throws SheafError STATE_CORRUPT */
  all(table: OneTable | ManyTable): Iterable<Row> {
    return this.#rows(table, "", []);
  }

  /** In no order. @throws SheafError STATE_CORRUPT */
  of(table: ManyTable, job: string): Iterable<Row> {
    return this.#rows(table, "WHERE job = ?", [job]);
  }

  close(): void {
    this.#count.close();
    this.#sql.close();
  }

  #add(id: string, write: Write): void {
    this.#pending.delete(id);
    this.#pending.set(id, write);
  }

  #write(write: Write): void {
    if (write.table === "job") {
      for (const table of onePerJob) this.#sql.run(`DELETE FROM ${table} WHERE key = ?`, [write.job]);
      for (const table of manyPerJob) this.#sql.run(`DELETE FROM ${table} WHERE job = ?`, [write.job]);
      return;
    }
    const { table, key, text } = write;
    if (text === null) {
      this.#sql.run(`DELETE FROM ${table} WHERE key = ?`, [key]);
      return;
    }
    const crc = crc32c(`${key}\0${text}`);
    const values: Value[] = "job" in write ? [key, write.job, text, crc] : [key, text, crc];
    const marks = values.map(() => "?").join(", ");
    this.#sql.run(`INSERT OR REPLACE INTO ${table} VALUES (${marks})`, values);
  }

  *#rows(table: OneTable | ManyTable, where: string, values: readonly Value[]): Generator<Row> {
    for (const row of this.#sql.rows(`SELECT key, text, crc FROM ${table} ${where}`, values)) {
      const { key, text, crc } = row;
      if (typeof key === "string" && typeof text === "string" && crc32c(`${key}\0${text}`) === crc) {
        yield { key, text };
        continue;
      }
      throw stateCorrupt(this.#path, `table ${table}, row ${JSON.stringify(key)}: its checksum does not fit`);
    }
  }
}

const countDigits = 16;

/**
 * How many writes there were, in a file of its own that is written after each of them: never ahead of the
 * database, and so, when it is found to be ahead, a sign that the database has lost some. When the power goes
 * it may be behind, which says nothing.
 */
class WriteCount {
  /** The highest. 0 when nothing was ever noted, or it cannot be read. */
  noted = 0;
  readonly #path: string;
  #file: number | null = null;

  constructor(path: string) {
    this.#path = path;
    try {
      const text = readFileSync(path, "latin1");
      if (/^\d{16}$/.test(text)) this.noted = Number(text);
    } catch {
      // It is made with the first write.
    }
  }

  note(writes: number): void {
    if (writes <= this.noted) return;
    this.noted = writes;
    try {
      const { O_WRONLY, O_CREAT, O_NOFOLLOW } = constants;
      this.#file ??= openSync(this.#path, O_WRONLY | O_CREAT | O_NOFOLLOW, 0o600);
      writeSync(this.#file, String(writes).padStart(countDigits, "0"), 0, "latin1");
    } catch {
      // A full disk: it stays behind until there is room again.
    }
  }

  close(): void {
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
  }
}
