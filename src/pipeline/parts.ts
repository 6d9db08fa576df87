import type { BundledJob } from "../bundle/bundle-job.ts";
import type { EventLog } from "../engine/event-log.ts";
import type { JobDirectory } from "../engine/job-directory.ts";
import type { JobRunOptions, RunOptions } from "../engine/options.ts";
import type { RunResult } from "../engine/run-result.ts";
import type { StepOutline } from "../worker/messages.ts";
import type { PipelineJournal } from "./journal.ts";
import type { GraphStep, Wanted } from "./plan.ts";
import type { PipelineBegun, PipelineState } from "./state.ts";

/** All that a run of a pipeline, from its beginning or going on, is made of. */
export interface PipelineParts {
  readonly begun: PipelineBegun;
  /** What was done before. */
  readonly state: PipelineState;
  readonly journal: PipelineJournal;
  readonly events: EventLog;
  /** null: no history is kept. */
  readonly directory: JobDirectory | null;
  /** What is only of this run of it lies here, and the history of steps. */
  readonly place: string;
  readonly steps: readonly StepOutline[];
  readonly graph: readonly GraphStep[];
  readonly wanted: Wanted;
  readonly bundle: BundledJob;
  /** Of each step's code. */
  readonly code: Readonly<Record<string, string>>;
  /** As surroundingsOf. */
  readonly surroundings: readonly (readonly [name: string, sha256: string])[];
  /** Where the output goes; null: nowhere. */
  readonly output: string | null;
  /** It is removed when it has been given out. */
  readonly passing: boolean;
  /** Absolute texts of the steps that read files. */
  readonly inputs: Readonly<Record<string, readonly string[]>>;
  /** Of the run, signal and credentials too. */
  readonly options: RunOptions;
  run(options: JobRunOptions): Promise<RunResult>;
}
