import { appendFileSync, mkdirSync, realpathSync, renameSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { dirname, join } from "node:path";
import { describeThrown, isSheafError } from "../base/errors.ts";
/*
 * What is kept of every job, in the state directory ($SHEAF_STATE, else $XDG_STATE_HOME/sheaf, else
 * ~/.local/state/sheaf), the last 100 jobs:
 *
 *   bundles/<hash>.<sheaf>/     bundled job files by content and by where sheaf lies; shared by the jobs that
 *     job.mjs, job.mjs.map      ran them. portable.mjs is the bundle before it was made loadable there
 *   jobs/<jobId>/
 *     job.json                    the record (JobRecord): name, submitter, times, status, settings, inputs,
 * output,
 *                                 counters, exception
 *     jobconfig.json              how the job was resolved: settings, splits, tasks, workers
 *     result                      INCOMPLETE, FAIL or OK, and a newline
 *     app/job.mjs, job.mjs.map    the code that ran (absent for a Job object)
 *     app.log                     general progress, one line an event, for people
 *     events.jsonl                the same for machines: RunEvents, without `progress`, `partial` and `log`
 *     progress/map-00003.json     how a task ended: status, attempt, stats (of the first 1,000 tasks of a
 * phase)
 *     consolidated-progress.json  the last `progress` event
 *     partial.json                the last `partial` event, where there was one
 *     logs/map-00003.log          what the task printed and logged, at most 1 MiB; only when it did
 *     keep-until                  of a job with a time of its own: until when it is kept, ms
 *     capsules/map-00003/         a failed task: capsule.json (Capsule in capsule.ts) and, for reduces, its
 * inputs
 *
 * A job id is "<UTC date>-<UTC time with ms>-<name>-<4 random letters>": it sorts by start time. Handles name
 * jobs on
 * the command line: an id or the beginning of one, "@" the latest, "@?name" the latest of that name;
 * "<handle>:map-17"
 * names a task of it, so "@:map-17" is a task of the latest job.
 */
import { limits } from "../base/limits.ts";
import { toWireJson } from "../base/wire-json.ts";
import { linkOrCopy } from "../storage/link-or-copy.ts";
import { ensurePrivateDirectory } from "../storage/private-directory.ts";
import type { RunEvent, RunStatus, StepRecord } from "./events.ts";
import { nearMapsText } from "./near-maps.ts";
import type { MadeRecords } from "./run-result.ts";

/** job.json. Times are ISO 8601 UTC. */
export interface JobRecord {
  readonly jobId: string;
  readonly name: string;
  readonly status: RunStatus | "RUNNING";
  readonly submitter: string;
  readonly host: string;
  readonly pid: number;
  /** Absolute path of the job file; null for a Job object. */
  readonly file: string | null;
  /** Content hash of its bundle. */
  readonly code: string | null;
  /** Labels to find it by. Left out: none. */
  readonly group?: string | null;
  readonly project?: string | null;
  readonly inputs: readonly string[];
  readonly output: string | null;
  readonly startTime: string;
  readonly endTime: string | null;
  readonly elapsedMs: number | null;
  readonly currentPhase: string;
  readonly counters: Readonly<Record<string, number>>;
  readonly mapTasks: number;
  readonly reduceTasks: number;
  readonly recordsIn: number;
  readonly recordsOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly badRecords: number;
  /** The one-screen report of the first real cause; null unless FAILED. */
  readonly exception: string | null;
  /** Tasks that have a capsule: "map-00017". */
  readonly capsules: readonly string[];
  /** Of a job that generates its records, once it has ended; else left out. */
  readonly made?: MadeRecords;
  /** Of a pipeline, in the order of its graph. */
  readonly steps?: readonly StepRecord[];
  /** Of a pipeline: what lies between its steps, outside of the job directory. Removed with it. */
  readonly work?: string;
  readonly settings: Readonly<Record<string, unknown>>;
  /**
   * Of a whole output, for `--once`: what it follows from, as onceKey (null: it cannot be told), and its
   * outputDigest.
   */
  readonly once?: { readonly key: string | null; readonly digest: string } | null;
  /** Id of the earlier job whose output it has, since the same had been run before. */
  readonly sameAs?: string | null;
}

/** What is known of a job when its directory is made. */
export type NewRecord = Pick<
  JobRecord,
  | "jobId"
  | "name"
  | "submitter"
  | "host"
  | "file"
  | "code"
  | "group"
  | "project"
  | "inputs"
  | "output"
  | "startTime"
  | "currentPhase"
  | "settings"
>;

/** Who runs jobs here: the login name. */
export function submitter(): string {
  try {
    return userInfo().username;
  } catch {
    return process.env["USER"] ?? "unknown";
  }
}

/** job.json as it begins, written by this process. */
export function newRecord(known: NewRecord): JobRecord {
  return {
    ...known,
    status: "RUNNING",
    pid: process.pid,
    endTime: null,
    elapsedMs: null,
    counters: {},
    mapTasks: 0,
    reduceTasks: 0,
    recordsIn: 0,
    recordsOut: 0,
    bytesIn: 0,
    bytesOut: 0,
    badRecords: 0,
    exception: null,
    capsules: [],
  };
}

/**
 * Makes the state directory, and closes it to other users: jobs of theirs must not run as this user, nor
 * records be read. One that cannot be trusted is not used: null, and the reason is told.
 */
export function openState(stateDirectory: string | null, warn: (message: string) => void): string | null {
  if (stateDirectory === null) return null;
  let real: string;
  try {
    mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
    // A link of this user's to another disk is all right.
    real = realpathSync(stateDirectory);
  } catch {
    // Told when the job's directory is made.
    return stateDirectory;
  }
  try {
    ensurePrivateDirectory(real, "OUTPUT_UNWRITABLE");
    return stateDirectory;
  } catch (error) {
    const hint = isSheafError(error) && error.hint !== undefined ? ` (${error.hint})` : "";
    warn(`no history of this job is kept: ${describeThrown(error)}${hint}`);
    return null;
  }
}

const progressFilesMax = 1_000;
export const keepUntilFile = "keep-until";
/** In the directory of a bundle that is to stay. */
export const keepMark = "keep";

/** `random` gives numbers in [0, 1). */
export function makeJobId(name: string, wallMs: number, random: () => number): string {
  const time = new Date(wallMs)
    .toISOString()
    .replace(/[-:.Z]/g, "")
    .replace("T", "-");
  const slug = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 30);
  const letters = "abcdefghijkmnpqrstuvwxyz23456789";
  const tail = Array.from({ length: 4 }, () => letters[Math.floor(random() * letters.length)]).join("");
  return `${time}-${slug === "" ? "job" : slug}-${tail}`;
}

/**
 * Writes one job's directory. Nothing here may fail a job: the first error is told once, and from then on
 * nothing more
 * is written. Lines are gathered and written a few times a second.
 */
export class JobDirectory {
  readonly path: string;
  #record: JobRecord;
  readonly #warn: (message: string) => void;
  #broken = false;
  #pending: Record<string, string> = {};
  #timer: NodeJS.Timeout | null = null;
  #consolidated: string | null = null;
  #partial: string | null = null;
  #logged = new Map<string, number>();
  readonly #progressFiles = new Set<string>();

  constructor(stateDirectory: string, record: JobRecord, warn: (message: string) => void) {
    this.path = join(stateDirectory, "jobs", record.jobId);
    this.#record = record;
    this.#warn = warn;
    this.#try(() => {
      mkdirSync(this.path, { recursive: true });
      writeFileSync(join(this.path, "result"), "INCOMPLETE\n");
    });
    this.update({});
  }

  get record(): JobRecord {
    return this.#record;
  }

  update(changes: Partial<JobRecord>): void {
    this.#record = { ...this.#record, ...changes };
    this.#try(() => writeFileSync(join(this.path, "job.json"), `${toWireJson(this.#record, 2)}\n`));
  }

  /** Keeps the code that runs: by a second name of the bundle's files where that works. */
  keepBundle(bundle: string, forGood = false): void {
    this.#try(() => {
      if (forGood) writeFileSync(join(dirname(bundle), keepMark), "");
      mkdirSync(join(this.path, "app"), { recursive: true });
      for (const ending of ["", ".map"])
        linkOrCopy(`${bundle}${ending}`, join(this.path, "app", `job.mjs${ending}`));
    });
  }

  config(config: unknown): void {
    this.#try(() => writeFileSync(join(this.path, "jobconfig.json"), `${toWireJson(config, 2)}\n`));
  }

  /** A file of that name. */
  keep(name: string, text: string): void {
    this.#try(() => writeFileSync(join(this.path, name), text));
  }

  event(event: RunEvent): void {
    if (this.#broken) return;
    if (event.kind === "progress") {
      this.#consolidated = JSON.stringify(event);
    } else if (event.kind === "transferred") {
      return;
    } else if (event.kind === "log") {
      this.#log(event);
    } else if (event.kind === "partial") {
      this.#partial = JSON.stringify(event);
    } else {
      this.#append("events.jsonl", JSON.stringify(event));
      const line = appLogLine(event);
      if (line !== null) this.#append("app.log", `${(event.atMs / 1000).toFixed(3).padStart(9)} ${line}`);
      if (event.kind === "attempt-finished" || event.kind === "attempt-failed") this.#taskProgress(event);
    }
    this.#timer ??= setTimeout(() => this.flush(), 250).unref();
  }

  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const pending = this.#pending;
    this.#pending = {};
    this.#try(() => {
      for (const [file, text] of Object.entries(pending)) {
        if (file.startsWith("logs/")) mkdirSync(join(this.path, "logs"), { recursive: true });
        appendFileSync(join(this.path, file), text);
      }
      if (this.#consolidated !== null) {
        writeFileSync(join(this.path, "consolidated-progress.json"), `${this.#consolidated}\n`);
      }
      if (this.#partial !== null) writeFileSync(join(this.path, "partial.json"), `${this.#partial}\n`);
      this.#consolidated = null;
      this.#partial = null;
    });
  }

  /** The last word: record, `result`, and everything still waiting to be written. */
  finish(changes: Partial<JobRecord> & { readonly status: RunStatus }): void {
    this.flush();
    this.update(changes);
    const result = changes.status === "SUCCEEDED" ? "OK" : "FAIL";
    this.#try(() => writeFileSync(join(this.path, "result"), `${result}\n`));
  }

  /** Kept until then (wall clock), and no longer; said again when it has ended. */
  keepUntil(wallMs: number): void {
    this.#try(() => {
      const aside = join(this.path, `${keepUntilFile}.new`);
      writeFileSync(aside, `${wallMs}\n`);
      renameSync(aside, join(this.path, keepUntilFile));
    });
  }

  #taskProgress(event: Extract<RunEvent, { kind: "attempt-finished" | "attempt-failed" }>): void {
    if (!this.#progressFiles.has(event.task) && this.#progressFiles.size >= progressFilesMax) return;
    this.#progressFiles.add(event.task);
    this.#try(() => {
      if (this.#progressFiles.size === 1) mkdirSync(join(this.path, "progress"), { recursive: true });
      const { kind, atMs, ...rest } = event;
      const status = kind === "attempt-finished" ? "FINISHED" : event.willRetry ? "READY" : "FAILED";
      const fraction = kind === "attempt-finished" ? 1 : 0;
      writeFileSync(
        join(this.path, "progress", `${event.task}.json`),
        JSON.stringify({ status, fraction, atMs, ...rest }),
      );
    });
  }

  #log(event: Extract<RunEvent, { kind: "log" }>): void {
    const file = `logs/${event.task === "" ? "load" : event.task}.log`;
    const before = this.#logged.get(file) ?? 0;
    if (before > limits.taskLogBytesMax) return;
    this.#logged.set(file, before + event.text.length + 1);
    this.#append(file, event.text);
  }

  #append(file: string, line: string): void {
    this.#pending[file] = `${this.#pending[file] ?? ""}${line}\n`;
  }

  #try(action: () => void): void {
    if (this.#broken) return;
    try {
      action();
    } catch (error) {
      this.#broken = true;
      this.#warn(
        `the job directory ${this.path} cannot be written: the job goes on without it ` +
          `(${describeThrown(error)})`,
      );
    }
  }
}

function appLogLine(event: RunEvent): string | null {
  switch (event.kind) {
    case "job-started":
      return `job ${event.jobId} started`;
    case "planned":
      return `${event.bytes} bytes in ${event.files} files; ${event.mapTasks} + ${event.reduceTasks} tasks`;
    case "phase-started":
      return `${event.phase}: ${event.tasks} tasks`;
    case "phase-finished":
      return `${event.phase} done in ${Math.round(event.elapsedMs)} ms`;
    case "attempt-failed":
      return `${event.task} attempt ${event.attempt} ${event.outcome}: ${event.failure.message}`;
    case "attempt-cancelled":
      return `${event.task} attempt ${event.attempt} cancelled: ${event.reason}`;
    case "source-stopped":
      return `the source was stopped by ${event.by === "time" ? "its time" : "its condition"}`;
    case "task-explained":
      return `${event.task} ${event.runs ? "runs" : "is kept"}: ${event.why}`;
    case "warning":
      return `warning: ${event.message}`;
    case "waiting":
      return `waits for ${event.for}`;
    case "hosted":
      return `${event.engine} runs it as ${event.id}${event.url === null ? "" : `, ${event.url}`}`;
    case "maps-placed":
      return nearMapsText(event);
    case "job-finished":
      return event.error === null ? event.status : `${event.status}\n${event.error.report}`;
    case "steps-planned":
      return `steps: ${event.steps.map(({ name, why }) => `${name} (${why ?? "done before"})`).join(", ")}`;
    case "step-started":
      return `step ${event.step} begins: ${event.why}`;
    case "step-finished":
      return `step ${event.step} ${event.status}${event.message === null ? "" : `: ${event.message}`}`;
    case "attempt-started":
    case "attempt-finished":
    case "progress":
    case "transferred":
    case "partial":
    case "log":
      return null;
  }
}
