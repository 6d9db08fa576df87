import type { IncrementalReport } from "../incremental/run-notes.ts";
import type { EstimatedColumn } from "../job/estimate.ts";
import type { EmptyFiles } from "../task/empty-files.ts";
import type { PartialCollection } from "../task/fold-states.ts";
import type { TaskFailure, TaskStats } from "../task/task-spec.ts";
import type { Isolation } from "../worker/worker.ts";
import type { NearMaps } from "./near-maps.ts";

export type RunStatus = "SUCCEEDED" | "FAILED" | "CANCELLED";

/** One step of a pipeline, as job.json has it. */
export interface StepRecord {
  readonly name: string;
  readonly kind: string;
  /** Steps that are done before it begins. */
  readonly needs: readonly string[];
  /** "done": in an earlier run, and used again. "left out": not wanted of this run. */
  readonly status: RunStatus | "RUNNING" | "waiting" | "done" | "left out";
  /** Why it ran in the last run of the pipeline; null when it did not. */
  readonly why: string | null;
  /** How often it has run in this pipeline. */
  readonly run: number;
  /** The job that its last run was; null when it was none. */
  readonly jobId: string | null;
  readonly elapsedMs: number | null;
  readonly recordsIn: number;
  readonly recordsOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly counters: Readonly<Record<string, number>>;
  /** Its output is part of the pipeline's, or was kept. */
  readonly kept: boolean;
}

/** One committed output file. */
export interface CommittedPart {
  /** Path relative to the output directory: "part-00000.tsv", "byAge/part-00003.csv.gz". */
  readonly file: string;
  /** Collection name, "" for a job without collections. */
  readonly collection: string;
  readonly partition: number;
  readonly bytes: number;
  readonly records: number;
  /** Eight lower-case hex digits. */
  readonly crc32c: string;
  /** Bytes of its header, the line that names the columns, before compression. Default: none. */
  readonly headerBytes?: number;
}

export interface PhaseTiming {
  readonly phase: RunPhase;
  readonly tasks: number;
  readonly elapsedMs: number;
}

/** The stages of a run, in order; `sample` only for total order. */
export type RunPhase = "load" | "plan" | "sample" | "map" | "reduce" | "commit";

/** One phase as it stands, for a progress line. */
export interface PhaseProgress {
  readonly phase: "sample" | "map" | "reduce";
  readonly tasks: number;
  readonly finished: number;
  readonly running: number;
  /** 0 to 1, finished tasks and the running ones' shares. */
  readonly fraction: number;
  readonly recordsIn: number;
  readonly bytesIn: number;
  readonly recordsOut: number;
  readonly spillBytes: number;
}

/** The results so far, of those attempts that count. */
export interface PartialResult {
  /** Records that they are made of. */
  readonly records: number;
  /** Map tasks that have finished, and that run and have told of themselves. */
  readonly finished: number;
  readonly running: number;
  /** Since the first of them began. */
  readonly elapsedMs: number;
  /** Those with aggregators, in the job's order. */
  readonly collections: readonly PartialCollection[];
}

/**
 * What happened, in one union; plain data, so that `--json` prints it as it is. `atMs` counts from the run's
 * start. `step` is the step of a pipeline in which it happened; it is left out for all else.
 */
export type RunEvent = { readonly atMs: number; readonly step?: string } & RunEventBody;

export type RunEventBody =
  /** The job is loaded and has its id; nothing has been read yet. */
  | {
      readonly kind: "job-started";
      readonly jobId: string;
      readonly name: string;
      /** Job file, null for a Job object. */
      readonly file: string | null;
      /** Content hash of the bundle, null for a Job object. */
      readonly code: string | null;
      readonly directory: string | null;
      readonly output: string | null;
      readonly isolation: Isolation;
    }
  | {
      readonly kind: "planned";
      readonly files: number;
      readonly bytes: number;
      readonly mapTasks: number;
      readonly reduceTasks: number;
      readonly partitions: Readonly<Record<string, number>>;
      readonly workersMax: number;
      /** Of an incremental run. */
      readonly incremental?: {
        /** As in IncrementalReport. */
        readonly full: string | null;
        /** Map tasks that an earlier run has done, and bytes of input that need not be read. */
        readonly keptTasks: number;
        readonly keptBytes: number;
      };
    }
  /** With `explain`, of each task before any of them begins. */
  | {
      readonly kind: "task-explained";
      readonly task: string;
      /** False: what an earlier run has made of it is taken over. */
      readonly runs: boolean;
      readonly why: string;
      /**
       * What it reads: "logs/a.log", "logs/a.log, bytes 0 to 1024 of 4096", "logs/a.log and 3 more files".
       */
      readonly input: string;
    }
  | { readonly kind: "phase-started"; readonly phase: RunPhase; readonly tasks: number }
  | { readonly kind: "phase-finished"; readonly phase: RunPhase; readonly elapsedMs: number }
  /** About four times a second while tasks run. */
  | {
      readonly kind: "progress";
      readonly phases: readonly PhaseProgress[];
      readonly workers: number;
      readonly badRecords: number;
    }
  | {
      readonly kind: "attempt-started";
      readonly task: string;
      readonly attempt: number;
      readonly worker: number;
    }
  | {
      readonly kind: "attempt-finished";
      readonly task: string;
      readonly attempt: number;
      readonly stats: TaskStats;
    }
  /** `lost`: the worker went away or the system failed; that does not use up the task's attempts. */
  | {
      readonly kind: "attempt-failed";
      readonly task: string;
      readonly attempt: number;
      readonly outcome: "failed" | "lost";
      readonly failure: TaskFailure;
      readonly willRetry: boolean;
    }
  | {
      readonly kind: "attempt-cancelled";
      readonly task: string;
      readonly attempt: number;
      readonly reason: string;
    }
  /** What user code printed or logged; whole lines, without the last newline. */
  | {
      readonly kind: "log";
      /** "" while the job file was being loaded. */
      readonly task: string;
      readonly attempt: number;
      readonly stream: "log" | "stdout" | "stderr";
      readonly text: string;
    }
  | { readonly kind: "warning"; readonly message: string }
  /** Nothing is planned before that: "the success of JOB". Told again when it changes. */
  | { readonly kind: "waiting"; readonly for: string }
  /** An engine runs the job: its name for it there, and the page that shows it; null: there is none. */
  | { readonly kind: "hosted"; readonly engine: string; readonly id: string; readonly url: string | null }
  /** An engine has started the maps, attempts that failed among them. */
  | ({ readonly kind: "maps-placed" } & NearMaps)
  /**
   * What the job's aggregators have made of the records so far, about once a second; only where it was asked
   * for (`live`).
   */
  | ({ readonly kind: "partial" } & PartialResult)
  /** A generated source makes no more records: its time is over, or its stop condition is true. */
  | {
      readonly kind: "source-stopped";
      readonly by: "time" | "until";
      /** Records made when that was decided; tasks end a moment later. */
      readonly records: number;
    }
  /** A pipeline knows which of its steps will run. */
  | {
      readonly kind: "steps-planned";
      readonly steps: readonly {
        readonly name: string;
        readonly needs: readonly string[];
        /** Why it runs; null: what an earlier run of it wrote is used. */
        readonly why: string | null;
      }[];
      /** Names of what the result holds: STEP, or STEP/COLLECTION. */
      readonly collections: readonly string[];
    }
  /** How far a transfer is, about four times a second. */
  | {
      readonly kind: "transferred";
      readonly files: number;
      readonly filesDone: number;
      readonly bytes: number;
      readonly bytesDone: number;
    }
  /** Told with `step`; `run` counts the runs of the step in this pipeline. */
  | { readonly kind: "step-started"; readonly run: number; readonly why: string }
  | {
      readonly kind: "step-finished";
      readonly run: number;
      readonly status: RunStatus;
      readonly recordsIn: number;
      readonly recordsOut: number;
      readonly elapsedMs: number;
      /** The first line of why it failed; null when it did not. */
      readonly message: string | null;
    }
  | {
      readonly kind: "job-finished";
      readonly jobId: string;
      readonly status: RunStatus;
      readonly output: string | null;
      readonly parts: readonly CommittedPart[];
      /** Of a job on a cluster whose list is longer than an event may be: how many more there are. */
      readonly moreParts?: number;
      readonly counters: Readonly<Record<string, number>>;
      readonly stats: TaskStats;
      readonly badRecords: number;
      /** null when every file that was read to its end gave a record. */
      readonly emptyFiles: EmptyFiles | null;
      /** The share of the records that was read; left out: all of them. */
      readonly sample?: number;
      /** With `once`: the earlier job whose output this is. Left out: it ran. */
      readonly sameAs?: string;
      /** With `estimate`: what the values of the results are. */
      readonly estimates?: readonly EstimatedColumn[];
      /** Of a job that generates its records. Without `tasks` where there are more than 10,000. */
      readonly made?: {
        readonly records: number;
        readonly tasks?: readonly number[];
        readonly stoppedBy: "time" | "until" | null;
      };
      /** Of an incremental run. */
      readonly incremental?: IncrementalReport;
      /** null when it succeeded. */
      readonly error: {
        readonly code: string;
        readonly message: string;
        readonly hint: string | null;
        readonly task: string | null;
        readonly attempt: number | null;
        /** The one-screen text. */
        readonly report: string;
      } | null;
    };

/** "map-00017", "reduce-00003", "sample-00000". */
export function taskName(kind: "sample" | "map" | "reduce", index: number): string {
  return `${kind}-${String(index).padStart(5, "0")}`;
}
