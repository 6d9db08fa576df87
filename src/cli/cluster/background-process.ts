import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { SheafError } from "../../base/errors.ts";
import { systemClock } from "../../base/clock.ts";
import { isAlive } from "../../storage/remove-directory.ts";

const lookMs = 50;
const logLinesShown = 8;

/** A process of this machine, told from a later one that got the same id. */
export interface ProcessMark {
  readonly pid: number;
  /** When it started, in ticks since the machine did; null where the system does not tell. */
  readonly startTicks: string | null;
}

/**
 * Starts this very sheaf in the background, with its output in a log file. It outlives this command and hears
 * no Ctrl-C of its terminal.
 */
export async function startInBackground(
  args: readonly string[],
  log: string,
  env: NodeJS.ProcessEnv,
): Promise<ProcessMark> {
  const main = fileURLToPath(new URL("../main.js", import.meta.url));
  const fd = openSync(log, "a", 0o600);
  try {
    const child = spawn(process.execPath, [main, ...args], {
      detached: true,
      stdio: ["ignore", fd, fd],
      env,
    });
    const pid = await new Promise<number>((resolve, reject) => {
      child.once("spawn", () => resolve(child.pid!));
      child.once("error", reject);
    });
    child.unref();
    return { pid, startTicks: startTicksOf(pid) };
  } finally {
    closeSync(fd);
  }
}

/** Whether that process still runs. */
export function isRunning({ pid, startTicks }: ProcessMark): boolean {
  if (!isAlive(pid)) return false;
  const now = startTicksOf(pid);
  return now !== "ended" && (startTicks === null || now === null || now === startTicks);
}

/** Does nothing to a process that is another by now. */
export function signalProcess(mark: ProcessMark, signal: NodeJS.Signals): void {
  if (!isRunning(mark)) return;
  try {
    process.kill(mark.pid, signal);
  } catch {
    // It ended in between.
  }
}

/** True when it is so within the time. */
export async function until(isSo: () => boolean | Promise<boolean>, withinMs: number): Promise<boolean> {
  const endMs = systemClock.nowMs() + withinMs;
  while (!(await isSo())) {
    if (systemClock.nowMs() > endMs) return false;
    await pause(lookMs);
  }
  return true;
}

/** The error of a process that ended, or did not get as far as it should, with what it said last. */
export function notStarted(what: string, log: string): SheafError {
  return new SheafError("UNREACHABLE", `${what} did not start`, {
    hint: `It said last:\n${tailOf(log)}\nAll of it is in ${log}.`,
  });
}

function tailOf(log: string): string {
  try {
    const lines = readFileSync(log, "utf8").trimEnd().split("\n");
    return lines
      .slice(-logLinesShown)
      .map((line) => `  ${line}`)
      .join("\n");
  } catch {
    return "  (it said nothing)";
  }
}

/** Field 22 of /proc/PID/stat, behind the name in parentheses; "ended" for a zombie. */
function startTicksOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? "ended" : (fields[19] ?? null);
  } catch {
    return null;
  }
}
