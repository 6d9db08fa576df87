import type { SheafError } from "../base/errors.ts";
import type { BundledJob } from "../bundle/bundle-job.ts";
import type { Outputs } from "../engine/commit.ts";
import type { CommittedPart } from "../engine/events.ts";
import type { JobDirectory } from "../engine/job-directory.ts";
import type { LiveWishes } from "../engine/live.ts";
import type { JobPlan } from "../engine/plan-job.ts";
import type { FailedTask, MadeRecords, MaterializedRecords } from "../engine/run-result.ts";
import type { IncrementalRun } from "../incremental/incremental-run.ts";
import type { JobSettings, KeptMap, TaskSpec } from "../task/task-spec.ts";
import type { JobOutline } from "../worker/messages.ts";
import type { FailedElsewhere } from "./local-executor.ts";
import type { WorkDirectory } from "./work-directory.ts";

/* What a run has come to, stage by stage: loaded, planned, driven, at its end. */

/** What is known of the job once a worker has loaded it. */
export interface LoadedRun {
  readonly jobId: string;
  readonly name: string;
  readonly bundle: BundledJob | null;
  readonly outline: JobOutline;
  readonly collections: readonly string[];
  /** null: no history is kept. */
  readonly directory: JobDirectory | null;
}

/** What its tasks share. */
export interface PlannedRun {
  readonly plan: JobPlan;
  readonly settings: JobSettings;
  readonly work: WorkDirectory;
  /** null: nobody looks on, and no source is to be stopped. */
  readonly live: LiveWishes | null;
  /** null: the run is no incremental one. */
  readonly incremental: IncrementalRun | null;
  /** What is taken over of an earlier run, by its number there. */
  readonly keptOf: (unit: number | undefined) => KeptMap | undefined;
}

/** What a run has come to, before it is made a RunResult. */
export type RunEnd =
  | { readonly status: "SUCCEEDED" }
  | { readonly status: "CANCELLED" }
  /** By a task, or by the job as a whole. */
  | { readonly status: "FAILED"; readonly cause: FailedTask }
  /** Outside of tasks. */
  | { readonly status: "FAILED"; readonly error: SheafError };

/** How the tasks of a job went. */
export interface DrivenRun {
  readonly outputs: Outputs;
  readonly parts: readonly CommittedPart[];
  /** Results kept for `records()`; null: none were to be. */
  readonly collected: readonly { readonly collection: string; readonly path: string }[] | null;
  readonly failedAttempts: readonly FailedTask[];
  /** Tasks given up within the allowed share: "map-00017". */
  readonly failedTasks: readonly string[];
  /** What the attempts that failed were to do, by attempt name: what a capsule is made of. */
  readonly failedSpecs: ReadonlyMap<string, TaskSpec>;
  /** What of them has failed the job, where that was on an engine. */
  readonly failedElsewhere: FailedElsewhere | null;
  /** As the last tasks had them. */
  readonly settings: JobSettings;
  readonly mapTasks: number;
  readonly made: MadeRecords | null;
  readonly materialized: MaterializedRecords | null;
}
