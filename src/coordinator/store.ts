import { crc32c } from "@node-rs/crc32";
import { join } from "node:path";
import { corrupt, openDatabase } from "./database.ts";
import type { Sql, Value } from "./database.ts";

/*
 * The tables of coordinator.db; docs/coordinator-state.md says what each column is. Every row carries the
 * CRC-32C of its key and text: SQLite checks its structure, not what stands in it.
 */

/** One row a job, by its id. */
const onePerJob = ["jobs", "submissions", "plans", "sums", "views"] as const;
/** Many rows a job. */
const manyPerJob = ["facts", "outputs"] as const;
const ofNoJob = ["meta", "agents", "discards"] as const;

export type OneTable = (typeof onePerJob)[number] | (typeof ofNoJob)[number];
export type ManyTable = (typeof manyPerJob)[number];

const schema = [
  ...[...onePerJob, ...ofNoJob].map(
    (table) =>
      `CREATE TABLE IF NOT EXISTS ${table}
         (key TEXT PRIMARY KEY, text TEXT NOT NULL, crc INTEGER NOT NULL) STRICT`,
  ),
  ...manyPerJob.flatMap((table) => [
    `CREATE TABLE IF NOT EXISTS ${table}
       (key TEXT PRIMARY KEY, job TEXT NOT NULL, text TEXT NOT NULL, crc INTEGER NOT NULL) STRICT`,
    `CREATE INDEX IF NOT EXISTS ${table}_by_job ON ${table} (job)`,
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

/** Of the tables; a coordinator refuses one it does not know. */
const schemaVersion = "1";

/**
 * What has to outlive the coordinator. Changes are gathered by `put` and written by `flush`, all of them in
 * one transaction: when it throws, none of them is written, all of them are still there, and the next
 * `flush` tries again.
 */
export class Store {
  readonly #sql: Sql;
  readonly #path: string;
  /** By table and key: of several changes of one row the last is written. */
  #pending = new Map<string, Write>();

  /** @throws SheafError as `open`; STATE_CORRUPT for a state of another version of sheaf */
  constructor(stateDirectory: string, pid: number, open: typeof openDatabase = openDatabase) {
    this.#path = join(stateDirectory, "coordinator.db");
    this.#sql = open(stateDirectory, pid);
    try {
      for (const statement of schema) this.#sql.run(statement, []);
      const version = this.get("meta", "schema");
      if (version === null) {
        this.put("meta", "schema", schemaVersion);
        this.flush();
      } else if (version !== schemaVersion) {
        throw corrupt(this.#path, `its tables are of version ${version}, this sheaf knows ${schemaVersion}`);
      }
    } catch (error) {
      this.#sql.close();
      throw error;
    }
  }

  /** `text` null: the row goes. */
  put(table: OneTable, key: string, text: string | null): void {
    this.#add(`${table}\0${key}`, { table, key, text });
  }

  putOf(table: ManyTable, job: string, key: string, text: string | null): void {
    this.#add(`${table}\0${key}`, { table, job, key, text });
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
    if (this.#pending.size === 0) return;
    this.#sql.transaction(() => {
      for (const write of this.#pending.values()) this.#write(write);
    });
    this.#pending = new Map();
  }

  /** What is written, not what waits to be. @throws SheafError STATE_CORRUPT */
  get(table: OneTable, key: string): string | null {
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
      throw corrupt(this.#path, `table ${table}, row ${JSON.stringify(key)}: its checksum does not fit`);
    }
  }
}
