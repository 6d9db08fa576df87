import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../../base/clock.ts";
import { SheafError, describeThrown } from "../../../base/errors.ts";
import { builtUrl } from "../../../base/package-places.ts";
import type { TlsFiles } from "../../../security/tls.ts";
import { ensurePrivateDirectory } from "../../../storage/private-directory.ts";
import { isAlive } from "../../../storage/remove-directory.ts";
import { stopRemoteAgent } from "./remote.ts";

/** A process that `sheaf cluster up` started. */
export interface ClusterProcess extends ProcessMark {
  /** "coordinator", or the agent's name. */
  readonly name: string;
  /** Machine it was started on by ssh; null: this one. */
  readonly ssh: string | null;
  readonly log: string;
  /** The command it was started with, here; absent on other machines. */
  readonly args?: readonly string[];
}

/** cluster.json: what was started, the coordinator first. */
export interface ClusterRecord {
  readonly version: 1;
  readonly url: string;
  /** Files with which a client of this machine shows who it is; absent without TLS. */
  readonly tls?: TlsFiles;
  readonly processes: readonly ClusterProcess[];
}

/** Where the logs and the record are, in the state directory of a cluster. */
export class ClusterFile {
  readonly directory: string;
  readonly #path: string;

  constructor(stateDirectory: string) {
    this.directory = join(stateDirectory, "cluster");
    this.#path = join(this.directory, "cluster.json");
  }

  prepare(): void {
    ensurePrivateDirectory(this.directory, "OUTPUT_UNWRITABLE");
  }

  /** Where the certificates are that were made for it. */
  get certificates(): string {
    return join(this.directory, "certs");
  }

  log(name: string): string {
    return join(this.directory, `${name}.log`);
  }

  /** null when no cluster was started. @throws SheafError STATE_CORRUPT */
  read(): ClusterRecord | null {
    let text: string;
    try {
      text = readFileSync(this.#path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
    try {
      const record = JSON.parse(text) as ClusterRecord;
      if (record.version === 1 && Array.isArray(record.processes)) return record;
    } catch {
      // Told below.
    }
    throw new SheafError("STATE_CORRUPT", `${this.#path} is not what sheaf cluster up writes`, {
      hint: "End the processes by hand (ps shows them as sheaf coordinator and sheaf agent), and remove the file.",
    });
  }

  write(record: ClusterRecord): void {
    const aside = `${this.#path}.new`;
    writeFileSync(aside, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600 });
    renameSync(aside, this.#path);
  }

  remove(): void {
    rmSync(this.#path, { force: true });
  }
}

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
  const main = fileURLToPath(new URL("cli/main.js", builtUrl));
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

/** Beyond the grace time, for what ends then. */
const moreMs = 10_000;

export interface DownOptions {
  readonly file: ClusterFile;
  readonly force: boolean;
  /** How long agents may finish what runs. */
  readonly graceMs: number;
  readonly say: (text: string) => void;
}

/**
 * Ends what `cluster up` has started: agents first, and when all are gone the coordinator.
 * @returns how many processes were ended; 0 when there was no cluster
 * @throws SheafError UNREACHABLE naming what is still there; the record of the cluster is then kept
 */
export async function clusterDown({ file, force, graceMs, say }: DownOptions): Promise<number> {
  const record = file.read();
  if (record === null) return 0;
  const agents = record.processes.filter(({ name }) => name !== "coordinator");
  const coordinator = record.processes.filter(({ name }) => name === "coordinator");
  const left: string[] = [];
  for (const group of [agents, coordinator]) {
    const ends = await Promise.allSettled(group.map((one) => end(one, force, graceMs)));
    for (const [index, done] of ends.entries()) {
      const { name, pid, ssh } = group[index]!;
      const where = ssh === null ? `pid ${pid}` : `pid ${pid} on ${ssh}`;
      if (done.status === "fulfilled" && done.value) say(`${name} has ended`);
      else
        left.push(
          `${name} (${where})${done.status === "rejected" ? `: ${describeThrown(done.reason)}` : ""}`,
        );
    }
    if (left.length > 0 && !force) break;
  }
  if (left.length === 0) {
    file.remove();
    return record.processes.length;
  }
  throw new SheafError("UNREACHABLE", `still there: ${left.join("; ")}`, {
    hint: force
      ? "End them by hand."
      : "Wait for what they run, or end them at once: sheaf cluster down --force.",
  });
}

/** True when it is gone. */
async function end(one: ClusterProcess, force: boolean, graceMs: number): Promise<boolean> {
  const withinMs = force ? moreMs : graceMs + moreMs;
  if (one.ssh !== null) return stopRemoteAgent(one.ssh, one.pid, force ? "KILL" : "TERM", withinMs);
  signalProcess(one, force ? "SIGKILL" : "SIGTERM");
  return until(() => !isRunning(one), withinMs);
}
