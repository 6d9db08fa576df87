import Database from "libsql";
import { chmodSync, closeSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { SheafError, describeThrown } from "../base/errors.ts";
import { asSheafError, errnoOf, quotePath } from "../storage/fs-error.ts";
import { ensurePrivateDirectory } from "../storage/private-directory.ts";
import { findWalDamage } from "./wal-check.ts";

export type Value = string | number | null;

/** The little of SQLite that the store uses. Everything is synchronous. */
export interface Sql {
  run(sql: string, values: readonly Value[]): void;
  rows(sql: string, values: readonly Value[]): Iterable<Readonly<Record<string, unknown>>>;
  /** All or nothing, and on disk when it returns. */
  transaction(work: () => void): void;
  close(): void;
}

const statementsMax = 64;

/**
 * Opens `<state>/coordinator.db` for this process alone: the lock is the operating system's, so that a
 * process that was killed holds none.
 * @throws SheafError STATE_LOCKED naming who has it, STATE_CORRUPT saying where it is damaged, DISK_FULL,
 * OUTPUT_UNWRITABLE
 */
export function openDatabase(stateDirectory: string, pid: number): Sql {
  const path = join(stateDirectory, "coordinator.db");
  const lockPath = join(stateDirectory, "coordinator.lock");
  ensurePrivateDirectory(stateDirectory, "OUTPUT_UNWRITABLE");
  try {
    const writes = join(stateDirectory, "coordinator.writes");
    for (const file of [lockPath, path, `${path}-wal`, `${path}-shm`, writes]) closeToOthers(file);
    // SQLite gives the files it puts beside one the mode of that one.
    for (const file of [lockPath, path]) createPrivate(file);
  } catch (error) {
    throw asSheafError(error, { path, doing: "create" });
  }
  const opened: Database.Database[] = [];
  const begin = (file: string): Database.Database => {
    const database = new Database(file);
    opened.push(database);
    return database;
  };
  try {
    const lock = begin(lockPath);
    lock.prepare("PRAGMA journal_mode=MEMORY").all();
    lock.exec("BEGIN EXCLUSIVE");
    // Before it is opened: SQLite takes in what it can of a damaged log.
    const damage = findWalDamage(`${path}-wal`);
    if (damage !== null) throw stateCorrupt(`${path}-wal`, damage);
    const database = begin(path);
    for (const setting of settings) database.prepare(`PRAGMA ${setting}`).all();
    checkPages(database, path);
    noteHolder(stateDirectory, pid);
    return sqlOf(database, path, () => {
      letGo(database);
      rmSync(holderFile(stateDirectory), { force: true });
      lock.exec("ROLLBACK");
      lock.close();
    });
  } catch (error) {
    for (const database of opened.reverse()) database.close();
    throw translated(error, path, stateDirectory);
  }
}

/** By its path: to open and close a file would give up the locks that this process has on it. */
function closeToOthers(file: string): void {
  const stats = statSync(file, { throwIfNoEntry: false });
  if (stats !== undefined && (stats.mode & 0o077) !== 0) chmodSync(file, 0o600);
}

function createPrivate(file: string): void {
  try {
    closeSync(openSync(file, "wx", 0o600));
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
  }
}

const settings = ["locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"];

/**
 * Statements that were prepared keep the connection until they are collected; so what it holds is given back
 * by hand: first the log, without which the lock cannot go.
 */
function letGo(database: Database.Database): void {
  try {
    for (const setting of ["journal_mode=DELETE", "locking_mode=NORMAL", "user_version"])
      database.prepare(`PRAGMA ${setting}`).all();
  } catch {
    // A log that stays is taken in at the next start.
  }
  database.close();
}

function checkPages(database: Database.Database, path: string): void {
  const rows = database.prepare("PRAGMA quick_check(5)").all() as { readonly quick_check?: unknown }[];
  const found = rows.map((row) => String(row.quick_check)).filter((text) => text !== "ok");
  if (found.length > 0) throw stateCorrupt(path, found.join("; "));
}

function sqlOf(database: Database.Database, path: string, close: () => void): Sql {
  const statements = new Map<string, Database.Statement>();
  const prepared = (sql: string): Database.Statement => {
    let statement = statements.get(sql);
    if (statement === undefined) {
      if (statements.size >= statementsMax) statements.clear();
      statements.set(sql, (statement = database.prepare(sql)));
    }
    return statement;
  };
  const guarded = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw translated(error, path, dirname(path));
    }
  };
  return {
    run: (sql, values) => guarded(() => void prepared(sql).run([...values])),
    rows: (sql, values) =>
      guarded(() => database.prepare(sql).iterate([...values]) as Iterable<Record<string, unknown>>),
    transaction: (work) =>
      guarded(() => {
        database.exec("BEGIN IMMEDIATE");
        try {
          work();
          database.exec("COMMIT");
        } catch (error) {
          if (database.inTransaction) database.exec("ROLLBACK");
          throw error;
        }
      }),
    close,
  };
}

function translated(error: unknown, path: string, stateDirectory: string): SheafError {
  if (error instanceof SheafError) return error;
  const code = sqliteCode(error);
  const said = describeThrown(error);
  if (code.startsWith("SQLITE_BUSY") || code.startsWith("SQLITE_LOCKED")) {
    return new SheafError(
      "STATE_LOCKED",
      `another coordinator uses ${quotePath(stateDirectory)}${holder(stateDirectory)}`,
      {
        hint: "Stop that one, or give this one a --state directory of its own.",
        cause: error,
      },
    );
  }
  if (code === "SQLITE_FULL") return fullDisk(path, error);
  if (code.startsWith("SQLITE_CORRUPT") || code === "SQLITE_NOTADB") return stateCorrupt(path, said, error);
  if (/disk is full|no space/i.test(said)) return fullDisk(path, error);
  if (errnoOf(error)?.startsWith("SQLITE") === false) return asSheafError(error, { path, doing: "write" });
  return new SheafError("OUTPUT_UNWRITABLE", `cannot write ${quotePath(path)}: ${said} (${code})`, {
    hint: "Check the disk, and that the directory can be written. Nothing was acknowledged that is not on disk.",
    retryable: true,
    cause: error,
  });
}

function fullDisk(path: string, cause: unknown): SheafError {
  return new SheafError("DISK_FULL", `cannot write ${quotePath(path)}: no space left on the device`, {
    hint: "Free some space: the coordinator goes on by itself. Nothing was acknowledged that is not on disk.",
    retryable: true,
    cause,
  });
}

/** Something in the state is not what was written. `where` says which file, table, row or byte. */
export function stateCorrupt(path: string, where: string, cause?: unknown): SheafError {
  return new SheafError("STATE_CORRUPT", `${quotePath(path)} is damaged: ${where}`, {
    hint:
      "Put back a copy, or move coordinator.db and coordinator.db-wal out of the state directory: the coordinator " +
      "then tells which jobs are lost, and clears what they have left.",
    cause,
  });
}

function sqliteCode(error: unknown): string {
  return errnoOf(error) ?? "";
}

function holderFile(stateDirectory: string): string {
  return join(stateDirectory, "coordinator.pid");
}

/** For the message of a second coordinator only: the lock itself is the database's. */
function noteHolder(stateDirectory: string, pid: number): void {
  try {
    writeFileSync(holderFile(stateDirectory), `${pid} ${hostname()}\n`, { mode: 0o600 });
  } catch {
    // Then that message names nobody.
  }
}

function holder(stateDirectory: string): string {
  try {
    const [pid, host] = readFileSync(holderFile(stateDirectory), "utf8").trim().split(" ");
    return ` (process ${pid} on ${host})`;
  } catch {
    return "";
  }
}
