import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { SheafError } from "../base/errors.ts";
import { errnoOf } from "./fs-error.ts";
import { isAlive } from "./remove-directory.ts";

/** Who holds a lock. A process id alone may have been given to another process since. */
export interface Holder {
  readonly pid: number;
  /** When it began, as the system counts it; null where the system does not tell. */
  readonly began: string | null;
}

/**
 * Takes the lock file at `path`; one that a dead process has left is taken over. Returns what releases it.
 * @throws SheafError STATE_LOCKED when a living process holds it
 */
export function lockFile(path: string, what: string): () => void {
  const mine = JSON.stringify(holderOf(process.pid));
  const own = `${path}.${process.pid}`;
  writeFileSync(own, mine, { mode: 0o600 });
  try {
    while (!tryLink(own, path)) {
      const text = readText(path);
      const holder = parse(text);
      if (text !== null && holder !== null && isHeldBy(holder)) throw locked(path, what, holder.pid);
      setStaleAside(path, own, text);
    }
  } finally {
    rmSync(own, { force: true });
  }
  return () => {
    if (readText(path) === mine) rmSync(path, { force: true });
  };
}

function tryLink(own: string, path: string): boolean {
  try {
    linkSync(own, path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    throw error;
  }
}

/** Of several that find a stale lock one sets it aside; a lock that is not the stale one is put back. */
function setStaleAside(path: string, own: string, stale: string | null): void {
  const aside = `${own}.stale`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    throw error;
  }
  if (readText(aside) !== stale) tryLink(aside, path);
  rmSync(aside, { force: true });
}

function locked(path: string, what: string, pid: number): SheafError {
  return new SheafError("STATE_LOCKED", `${what} is in use by process ${pid} (${path})`, {
    hint: `Stop that process, or give this one a directory of its own with --state.`,
    details: { path, pid },
  });
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return null;
    throw error;
  }
}

/** Of what holderOf() made; null: there is no such file, or it says nothing. */
export function readHolder(path: string): Holder | null {
  return parse(readText(path));
}

function parse(text: string | null): Holder | null {
  try {
    const value = JSON.parse(text ?? "") as Partial<Holder>;
    return typeof value.pid === "number" ? { pid: value.pid, began: value.began ?? null } : null;
  } catch {
    return null;
  }
}

/** False: that process has ended. Where the system does not tell when it began, another may have its id. */
export function isHeldBy(holder: Holder): boolean {
  if (!isAlive(holder.pid)) return false;
  const now = holderOf(holder.pid);
  return holder.began === null || now.began === null || holder.began === now.began;
}

/** Names this start of the machine; null where the system does not tell. */
export function bootId(): string | null {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return null;
  }
}

export function holderOf(pid: number): Holder {
  try {
    const boot = bootId();
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the program's name in parentheses, which may hold anything; the 22nd is the time.
    const ticks = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
    return { pid, began: ticks === undefined || boot === null ? null : `${boot}:${ticks}` };
  } catch {
    return { pid, began: null };
  }
}
