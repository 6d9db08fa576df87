import { SheafError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import type { IncrementalReport } from "../incremental/run-notes.ts";
import type { EstimatedColumn } from "../job/estimate.ts";
import type { Key } from "../job/key.ts";
import type { EmptyFiles } from "../task/empty-files.ts";
import type { TaskFailure, TaskStats } from "../task/task-spec.ts";
import type { CommittedPart, PhaseTiming, RunStatus, StepRecord } from "./events.ts";
import type { Forecast } from "./forecast.ts";
import type { HotKeyShare, Skew } from "./shuffle-tally.ts";

/** A failed attempt, as the report shows it. */
export interface FailedTask {
  /**
   * "map-00017"; "" when no task had begun (the job could not be loaded, the output could not be committed).
   */
  readonly task: string;
  /** From 1, as whoever ran the task counts its attempts; 0 where that is not known, or it was no task. */
  readonly attempt: number;
  readonly failure: TaskFailure;
  /** Capsule directory, for `sheaf replay`; null when none could be kept. */
  readonly capsule: string | null;
}

/** Records that a generated source has made. */
export interface MadeRecords {
  readonly records: number;
  /** By each task: what the option `made` takes, to make the same again. */
  readonly tasks: readonly number[];
  /** Why it made no more, though it had some: its time was over, or its stop condition was true. */
  readonly stoppedBy: "time" | "until" | null;
}

/** Records that were kept, see the option `materialize`. */
export interface MaterializedRecords {
  /** Absolute path of the dataset. */
  readonly directory: string;
  readonly records: number;
  readonly parts: readonly CommittedPart[];
}

export interface RunResult {
  readonly status: RunStatus;
  readonly jobId: string;
  readonly name: string;
  /** The job's directory, null when `stateDirectory` is null. */
  readonly directory: string | null;
  /** Absolute path of the output directory, null without `output`. */
  readonly output: string | null;
  /** Counters of the successful attempts, each task once. */
  readonly counters: Readonly<Record<string, number>>;
  /** Sums over the successful attempts. `elapsedMs` is the run's wall time, `cpuMs` the tasks' sum. */
  readonly stats: TaskStats;
  readonly phases: readonly PhaseTiming[];
  readonly mapTasks: number;
  readonly reduceTasks: number;
  /** Workers that were really started. */
  readonly workers: number;
  readonly parts: readonly CommittedPart[];
  /** The keys with most pairs, as far as they have a 16th or more of those of a map task. */
  readonly hotKeys: readonly HotKeyShare[];
  readonly skew: readonly Skew[];
  readonly badRecords: number;
  /**
   * Files that are not empty and gave no record, good or bad (a csv file with nothing but its header); null
   * when there are none. Files that were cut into several splits are not looked at, nor is any with `sample`.
   */
  readonly emptyFiles: EmptyFiles | null;
  /** The share of the records that was asked for by `sample`; 1 when all were read. */
  readonly sample: number;
  /** With `estimate` what the values of the results are, else empty. */
  readonly estimates: readonly EstimatedColumn[];
  /** What a generated source has made; null for a job that reads files. */
  readonly made: MadeRecords | null;
  /** null without `materialize`, and when the job did not succeed. */
  readonly materialized: MaterializedRecords | null;
  /** What was taken over from an earlier run, and is not in `stats`; null without `incremental`. */
  readonly incremental: IncrementalReport | null;
  /** What `sheaf plan` has predicted for this code and these files; null when it has not. */
  readonly forecast: Forecast | null;
  /** Attempts that failed or were lost, in order; the job may have succeeded in spite of them. */
  readonly failedAttempts: readonly FailedTask[];
  /** Tasks given up within `maxFailedTasks`: their records are missing from the output. */
  readonly failedTasks: readonly string[];
  /** With `once`: id of the earlier job whose output this is, since nothing had to be run. null: it ran. */
  readonly sameAs: string | null;
  /** Of a pipeline, in the order of its graph; of a job none. */
  readonly steps: readonly StepRecord[];
  /** Why the job did not succeed: the first real cause. null when it did. */
  readonly error: RunFailure | null;
  /**
   * The results as [key, value], in partition and key order; of one collection, or of the only one.
   * Can be called again until `dispose()`.
   * @throws SheafError USAGE without `collect`, or when no such collection exists.
   */
  records(collection?: string): AsyncIterable<[Key, unknown]>;
  /** Throws `error` unless the job succeeded. */
  throwIfFailed(): void;
  /** Removes what `records()` reads. Also done when the process exits. */
  dispose(): Promise<void>;
}

/** What run() rejects with. `code`, `message` and `hint` are those of the first real cause. */
export class RunFailure extends SheafError {
  /** The failed attempt; null when it was no task that failed. */
  readonly failure: TaskFailure | null;
  readonly task: string | null;
  readonly attempt: number | null;
  /**
   * One screen of text: message, place in the source, record, path:offset, key, task, last log lines, what
   * to do.
   */
  readonly report: string;

  constructor(
    code: ErrorCode,
    message: string,
    options: {
      readonly hint?: string;
      readonly cause?: unknown;
      readonly failed: FailedTask | null;
      readonly report: string;
      readonly details?: Readonly<Record<string, string | number | boolean | null>>;
    },
  ) {
    super(code, message, {
      ...(options.hint === undefined ? {} : { hint: options.hint }),
      ...(options.details === undefined ? {} : { details: options.details }),
      cause: options.cause,
    });
    this.failure = options.failed?.failure ?? null;
    this.task = options.failed?.task ?? null;
    this.attempt = options.failed?.attempt ?? null;
    this.report = options.report;
  }
}

/** The same failure, told otherwise. */
export function retold(error: RunFailure, message: string, report: string): RunFailure {
  const { code, hint, details, cause, failure, task, attempt } = error;
  return new RunFailure(code, message, {
    ...(hint === undefined ? {} : { hint }),
    details,
    cause,
    report,
    failed: failure === null ? null : { task: task ?? "", attempt: attempt ?? 0, failure, capsule: null },
  });
}
