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
  let failures = 0;
  const waitAgain = async (why: string): Promise<void> => {
    const afterMs = Math.min(limits.watchAgainMs, Math.max(1_000, rules.intervalMs) * 2 ** failures++);
    doors.tell({ kind: "again", afterMs, why });
    await doors.pause(afterMs);
  };
  while (!signal.aborted) {
    let now: Look;
    try {
      now = await doors.look();
    } catch (error) {
      before = null;
      await waitAgain(describeThrown(error));
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
        await waitAgain("the run failed");
        continue;
      }
    } else if (rules.drain && ![...now.files].some(isOpen)) return "ended";
    failures = 0;
    // Also after a run: what two looks saw alike is whole only if there was time between them.
    await doors.pause(rules.intervalMs);
  }
  return "ended";
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
