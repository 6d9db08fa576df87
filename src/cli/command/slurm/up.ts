import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { SheafError } from "../../../base/errors.ts";
import { notStarted } from "../cluster/processes.ts";
import type { SlurmCommands, SlurmJob, SlurmLook } from "./commands.ts";
import type { PilotRecord, SlurmFiles, Submitted } from "./files.ts";
import { stepEnvironment } from "./pilot.ts";
import { batchScript } from "./script.ts";

/** How often the directory is looked at, and Slurm is asked: a controller that many ask gets slow. */
const lookMs = 250;
const askMsMin = 1_000;
const askMsMax = 15_000;
/** From the start of the job until the pilot has written where it is, network file systems included. */
const startMsMax = 180_000;
/** From then on, for agents to join. */
const joinMsMax = 90_000;

export interface SlurmUp {
  readonly files: SlurmFiles;
  readonly slurm: SlurmCommands;
  readonly nodes: number;
  readonly graceMs: number;
  /** Arguments of `sheaf slurm pilot`, without the number of nodes. */
  readonly pilot: readonly string[];
  /** For sbatch, before the script. */
  readonly passed: readonly string[];
  readonly nowMs: () => number;
  readonly say: (text: string) => void;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The batch script that would be submitted. */
export function scriptOf({ files, nodes, graceMs, pilot }: SlurmUp, mark = "sheaf"): string {
  return batchScript({ directory: files.directory, nodes, graceMs, mark, pilot });
}

/**
 * Submits the pilot as a batch job.
 * @throws SheafError USAGE for options that would make another job of it; as SlurmCommands.submit
 */
export async function submitPilot(up: SlurmUp): Promise<Submitted> {
  const { files, slurm, passed, graceMs } = up;
  for (const word of passed) refusePassed(word);
  files.prepare();
  files.write("pilot", null);
  const mark = `sheaf:${randomBytes(6).toString("hex")}`;
  writeFileSync(files.script, scriptOf(up, mark), { mode: 0o700 });
  const job = await slurm.submit([...passed, files.script], mark);
  const submitted: Submitted = { version: 1, ...job, inside: false, graceMs, stop: false };
  files.write("submitted", submitted);
  return submitted;
}

/** Options of sbatch that make more jobs of the script, or something else than a job. */
function refusePassed(word: string): void {
  const [, name] = /^(-[aNW]|--(?:array|nodes|wait|wrap|test-only|parsable)(?==|$))/.exec(word) ?? [];
  if (name === undefined) return;
  const isNodes = name === "-N" || name === "--nodes";
  throw new SheafError("USAGE", `${name} cannot be passed to sbatch here`, {
    hint: isNodes
      ? "Give sheaf slurm up --nodes N, before the --."
      : "The script is one job that runs until sheaf slurm down; leave it out.",
  });
}

/**
 * Starts the pilot as a step of the allocation that this process is in, on its first node.
 * @returns what was started, and how to learn that srun has ended: its exit in words
 */
export function startInside(up: SlurmUp, job: string): { submitted: Submitted; ended: () => string | null } {
  const { files, env, graceMs } = up;
  if (up.passed.length > 0) {
    throw new SheafError("USAGE", "inside of an allocation nothing can be passed to sbatch", {
      hint: "Leave out what stands behind --: the allocation is as it was asked for.",
    });
  }
  files.prepare();
  files.write("pilot", null);
  writeFileSync(files.script, scriptOf(up), { mode: 0o700 });
  const submitted: Submitted = { version: 1, job, cluster: null, inside: true, graceMs, stop: false };
  files.write("submitted", submitted);
  const step = [
    "--nodes=1",
    "--ntasks=1",
    "--overlap",
    "--cpu-bind=none",
    "--export=ALL",
    "--job-name=sheaf",
  ];
  const args = [`--jobid=${job}`, ...step, "--unbuffered", "/bin/sh", files.script];
  const log = openSync(files.log(job), "a", 0o600);
  let ended: string | null = null;
  try {
    const child = spawn("srun", args, {
      detached: true,
      stdio: ["ignore", log, log],
      env: stepEnvironment(env),
    });
    child.once("error", (error) => (ended ??= error.message));
    child.once("exit", (code, signal) => (ended ??= signal ?? `exit code ${code}`));
    child.unref();
  } finally {
    closeSync(log);
  }
  return { submitted, ended: () => ended };
}

/**
 * Waits until the pilot's agents have joined.
 * @returns what the pilot says; fewer agents than nodes when some did not come in time
 * @throws SheafError UNREACHABLE when the job ends before, with what its log says last
 */
export async function waitForPilot(
  up: SlurmUp,
  submitted: Submitted,
  ended: () => string | null,
  signal: AbortSignal,
): Promise<PilotRecord> {
  const { files, slurm, nowMs, say } = up;
  const state = new Look(slurm, submitted, nowMs, say);
  let knownMs: number | null = null;
  for (;;) {
    signal.throwIfAborted();
    const record = files.pilot(submitted);
    if (record !== null) {
      knownMs ??= nowMs();
      const isLate = nowMs() - knownMs > joinMsMax;
      if (record.joined >= record.nodes || (record.joined > 0 && isLate)) return record;
      if (isLate) throw notUp(up, submitted, `no agent has joined within ${joinMsMax / 1000} s`);
    }
    const how = ended();
    if (how !== null) throw notUp(up, submitted, `srun ended with ${how}`);
    const over = await state.ask();
    if (over !== null) throw notUp(up, submitted, over);
    if (record === null && state.runningMs() > startMsMax) {
      throw notUp(up, submitted, `it runs, but has written nothing to ${files.directory}`);
    }
    await pause(lookMs, undefined, { signal }).catch(() => undefined);
  }
}

/** Asks Slurm now and then for the state of a job, and tells people when it changes. */
class Look {
  readonly #slurm: SlurmCommands;
  readonly #job: Submitted;
  readonly #nowMs: () => number;
  readonly #say: (text: string) => void;
  #askMs = askMsMin;
  #nextMs = 0;
  #told = "";
  #runsSinceMs: number | null = null;

  constructor(slurm: SlurmCommands, job: Submitted, nowMs: () => number, say: (text: string) => void) {
    this.#slurm = slurm;
    this.#job = job;
    this.#nowMs = nowMs;
    this.#say = say;
  }

  /** How it ended, in words; null while it has not, or nobody knows. */
  async ask(): Promise<string | null> {
    if (this.#nowMs() < this.#nextMs) return null;
    const look = await this.#slurm.look(this.#job);
    const text = tellOf(look);
    this.#askMs = text === this.#told ? Math.min(askMsMax, this.#askMs * 1.5) : askMsMin;
    this.#nextMs = this.#nowMs() + this.#askMs;
    if (text !== this.#told) this.#say(`job ${this.#job.job}: ${text}`);
    this.#told = text;
    if (look.kind === "ended" || (look.kind === "there" && look.state.includes("COMPLETING"))) return text;
    if (look.kind === "there" && look.state === "RUNNING") this.#runsSinceMs ??= this.#nowMs();
    return null;
  }

  runningMs(): number {
    return this.#runsSinceMs === null ? 0 : this.#nowMs() - this.#runsSinceMs;
  }
}

/** The state of a job for people. */
export function tellOf(look: SlurmLook): string {
  switch (look.kind) {
    case "unknown":
      return `Slurm does not answer (${look.why}); asking again`;
    case "ended":
      if (look.state === null) return "Slurm knows no such job any more";
      return look.exitCode === null || look.exitCode === "0:0"
        ? look.state
        : `${look.state}, exit code ${look.exitCode.replace(/:0$/, "")}`;
    case "there":
      return look.reason === null || look.state !== "PENDING" ? look.state : `${look.state} (${look.reason})`;
  }
}

function notUp({ files }: SlurmUp, { job }: SlurmJob, why: string): SheafError {
  const log = files.log(job);
  if (hasText(log)) return notStarted(`the cluster of job ${job} (${why})`, log);
  return new SheafError("UNREACHABLE", `the cluster of job ${job} did not start: ${why}`, {
    hint:
      `There is no log at ${log}. Nodes must see that directory and write to it: ` +
      "give one of a file system that they share, --state DIR.",
  });
}

function hasText(path: string): boolean {
  try {
    return readFileSync(path).length > 0;
  } catch {
    return false;
  }
}
