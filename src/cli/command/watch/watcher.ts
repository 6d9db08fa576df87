import { describeThrown } from "../../../base/errors.ts";
import { limits } from "../../../base/limits.ts";
import { type Look, type SeenFile, wholeFiles } from "./arrivals.ts";
import type { BegunRun, Ledger } from "./ledger.ts";

/** How a run ended. `failed`: nothing was written, and it is tried again. `lost`: nobody knows yet. */
export type WatchedEnd = "done" | "failed" | "lost" | "stopped";

/** What a watcher does to the world. Time passes in `pause` only, so that a test can own it. */
export interface WatchDoors {
  look(): Promise<Look>;
  /** Runs the job on these files. @param name of the output directory below OUT */
  run(name: string, files: readonly string[]): Promise<WatchedEnd>;
  /**
   * Whether the output of a run that ended without a word is there. When it says no, it cannot come any more.
   */
  isThere(name: string): boolean;
  /** Waits; at once over when the watcher is to stop. */
  pause(ms: number): Promise<void>;
  /** A name that no run has had. @param number of the run, from 1 */
  nameOf(number: number): string;
  tell(note: WatchNote): void;
}

export type WatchNote =
  | { readonly kind: "watching"; readonly filesDone: number }
  | { readonly kind: "recovered"; readonly run: string; readonly files: number; readonly done: boolean }
  | { readonly kind: "taking"; readonly run: string; readonly files: number; readonly bytes: number }
  /** A run makes the one output that there is anew. What has changed since the last one. */
  | {
      readonly kind: "updating";
      readonly files: number;
      readonly added: number;
      readonly changed: number;
      readonly removed: number;
    }
  | { readonly kind: "again"; readonly afterMs: number; readonly why: string }
  | { readonly kind: "changed"; readonly path: string };

export interface WatchRules {
  readonly intervalMs: number;
  /** Whether a file that changes after its run is taken again. */
  readonly again: boolean;
  /** Whether to end when there is nothing left to do. */
  readonly drain: boolean;
}

/**
 * Runs a job on what comes into a directory until it is stopped, or with `drain` until nothing is left. One
 * run at a time; a file is in one run that is done, whenever this process ends.
 * @returns "stopped" when a run was cut short by the stop
 */
export async function watchDirectory(
  ledger: Ledger,
  doors: WatchDoors,
  rules: WatchRules,
  signal: AbortSignal,
): Promise<"ended" | "stopped"> {
  const { done } = ledger;
  recover(ledger, doors);
  doors.tell({ kind: "watching", filesDone: done.size });
  const told = new Set<string>();
  let before: Look | null = null;
  const patience = new Patience(doors, rules);
  while (!signal.aborted) {
    const now = await patience.look();
    if (now === null) {
      before = null;
      continue;
    }
    const isOpen = ([path, { signature }]: readonly [string, SeenFile]): boolean =>
      !done.has(path) || (rules.again && done.get(path) !== signature);
    if (!rules.again) tellChanged(now, done, told, doors);
    const due = wholeFiles(before, now).filter((path) => isOpen([path, now.files.get(path)!]));
    before = now;
    if (due.length > 0) {
      const end = await take(due.slice(0, limits.watchFilesMax), now, ledger, doors);
      if (end === "stopped") return "stopped";
      if (end !== "done") {
        await patience.wait("the run failed");
        continue;
      }
    } else if (rules.drain && ![...now.files].some(isOpen)) return "ended";
    patience.renew();
    // Also after a run: what two looks saw alike is whole only if there was time between them.
    await doors.pause(rules.intervalMs);
  }
  return "ended";
}

/** The doors of a watcher that keeps one output up to date. */
export type UpdateDoors = Pick<WatchDoors, "look" | "pause" | "tell"> & {
  /** Runs the job, incrementally, on all of these files. */
  run(files: readonly string[]): Promise<WatchedEnd>;
};

/**
 * Keeps one output that of all files that are whole: it is made anew, incrementally, when one has come,
 * changed or gone. What the output is of is known by its own state, so that a watcher begins with a run, and
 * may end at any time. As long as a file that is in the output is not whole, nothing is run: without it, or
 * with half of it, the output would be wrong.
 * @returns "stopped" when a run was cut short by the stop
 */
export async function updateOutput(
  doors: UpdateDoors,
  rules: Omit<WatchRules, "again">,
  signal: AbortSignal,
): Promise<"ended" | "stopped"> {
  let done: ReadonlyMap<string, string> | null = null;
  let before: Look | null = null;
  const patience = new Patience(doors, rules);
  doors.tell({ kind: "watching", filesDone: 0 });
  while (!signal.aborted) {
    const now = await patience.look();
    if (now === null) {
      before = null;
      continue;
    }
    const seen = new Set(wholeFiles(before, now));
    const isWhole = ([path, { signature }]: readonly [string, SeenFile]): boolean =>
      seen.has(path) || done?.get(path) === signature;
    const files = [...now.files].filter(isWhole).sort(([a], [b]) => (a < b ? -1 : 1));
    const isHeldUp =
      [...now.files].some((file) => done?.has(file[0]) === true && !isWhole(file)) ||
      // What one look alone does not see may be on its way to another name.
      [...(before?.files.keys() ?? [])].some((path) => done?.has(path) === true && !now.files.has(path));
    const whole = new Map(files.map(([path, { signature }]) => [path, signature]));
    const change = changeOf(done, whole);
    const isFirst = before === null;
    before = now;
    if (!isFirst && !isHeldUp && whole.size > 0 && change !== null) {
      doors.tell({ kind: "updating", files: whole.size, ...change });
      const end = await doors.run([...whole.keys()]);
      if (end === "stopped") return "stopped";
      if (end !== "done") {
        await patience.wait("the run failed");
        continue;
      }
      done = whole;
    } else if (rules.drain && !isFirst && !isHeldUp && whole.size === now.files.size) return "ended";
    patience.renew();
    await doors.pause(rules.intervalMs);
  }
  return "ended";
}

/** null: they are the same. */
function changeOf(
  done: ReadonlyMap<string, string> | null,
  whole: ReadonlyMap<string, string>,
): { readonly added: number; readonly changed: number; readonly removed: number } | null {
  let [added, changed] = [0, 0];
  for (const [path, signature] of whole) {
    if (done?.has(path) !== true) added++;
    else if (done.get(path) !== signature) changed++;
  }
  const removed = [...(done ?? new Map<string, string>()).keys()].filter((path) => !whole.has(path)).length;
  return added + changed + removed === 0 ? null : { added, changed, removed };
}

/** Waits longer and longer as long as nothing goes well. */
class Patience {
  readonly #doors: Pick<WatchDoors, "look" | "pause" | "tell">;
  readonly #intervalMs: number;
  #failures = 0;

  constructor(
    doors: Pick<WatchDoors, "look" | "pause" | "tell">,
    { intervalMs }: { readonly intervalMs: number },
  ) {
    this.#doors = doors;
    this.#intervalMs = intervalMs;
  }

  /** null: it could not, and has waited. */
  async look(): Promise<Look | null> {
    try {
      return await this.#doors.look();
    } catch (error) {
      await this.wait(describeThrown(error));
      return null;
    }
  }

  async wait(why: string): Promise<void> {
    const afterMs = Math.min(limits.watchAgainMs, Math.max(1_000, this.#intervalMs) * 2 ** this.#failures++);
    this.#doors.tell({ kind: "again", afterMs, why });
    await this.#doors.pause(afterMs);
  }

  renew(): void {
    this.#failures = 0;
  }
}

async function take(
  paths: readonly string[],
  now: Look,
  ledger: Ledger,
  doors: WatchDoors,
): Promise<WatchedEnd> {
  const seen = paths.map((path) => [path, now.files.get(path)!] as const);
  const name = doors.nameOf(ledger.runs + 1);
  const run: BegunRun = { name, files: seen.map(([path, { signature }]) => [path, signature]) };
  ledger.begin(run);
  const bytes = seen.reduce((sum, [, file]) => sum + file.bytes, 0);
  doors.tell({ kind: "taking", run: name, files: paths.length, bytes });
  const end = await doors.run(name, paths).catch((error: unknown) => {
    // Refused before it began, most often; but its output may be there already.
    ledger.end(doors.isThere(name));
    throw error;
  });
  const isDone = end === "done" || (end !== "failed" && doors.isThere(name));
  ledger.end(isDone);
  return isDone && end === "lost" ? "done" : end;
}

/** What a process before this one has begun: its output is there, or its files are open again. */
function recover(ledger: Ledger, doors: WatchDoors): void {
  const { left } = ledger;
  if (left === null) return;
  const done = doors.isThere(left.name);
  ledger.end(done);
  doors.tell({ kind: "recovered", run: left.name, files: left.files.length, done });
}

function tellChanged(
  now: Look,
  done: ReadonlyMap<string, string>,
  told: Set<string>,
  doors: WatchDoors,
): void {
  for (const [path, { signature }] of now.files) {
    const before = done.get(path);
    if (before === undefined || before === signature || told.has(`${path}\0${signature}`)) continue;
    told.add(`${path}\0${signature}`);
    doors.tell({ kind: "changed", path });
  }
}
