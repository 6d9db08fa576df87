/*
 * What is kept of every job, in the state directory ($SHEAF_STATE, else $XDG_STATE_HOME/sheaf, else
 * ~/.local/state/sheaf), the last 100 jobs:
 *
 *   bundles/<hash>/job.mjs, job.mjs.map     bundled job files by content; shared by the jobs that ran them
 *   jobs/<jobId>/
 *     job.json                    the record (JobRecord): name, submitter, times, status, settings, inputs, output,
 *                                 counters, exception
 *     jobconfig.json              how the job was resolved: settings, splits, tasks, workers
 *     result                      INCOMPLETE, FAIL or OK, and a newline
 *     app/job.mjs, job.mjs.map    the code that ran (absent for a Job object)
 *     app.log                     general progress, one line an event, for people
 *     events.jsonl                the same for machines: RunEvents, without `progress` and `log`
 *     progress/map-00003.json     last known progress of a task (written at most once a second, and at its end)
 *     consolidated-progress.json  the last `progress` event
 *     logs/map-00003.log          what the task printed and logged, at most 1 MiB; only when it did
 *     capsules/map-00003/         a failed task: capsule.json (Capsule in capsule.ts) and, for reduces, its inputs
 *
 * A job id is "<UTC date>-<UTC time>-<name>-<4 random letters>": it sorts by start time. Handles name jobs on the
 * command line: an id or the beginning of one, "@" the latest, "@?name" the latest of that name; "<handle>:map-17"
 * names a task of it, so "@:map-17" is a task of the latest job.
 */
import type { RunStatus } from "./options.ts";

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
  readonly settings: Readonly<Record<string, unknown>>;
}

export const jobsKept = 100;
