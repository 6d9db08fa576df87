import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { SheafError } from "../base/errors.ts";
import { mayBePipeline } from "../engine/job-bundle.ts";
import type { JobRunOptions } from "../engine/options.ts";
import type { Job } from "../job/job-plan.ts";
import type { Runner } from "../runners/runners.ts";
import { isPipeline, type Pipeline } from "../steps/pipeline.ts";

/** How the results of a pipeline are given out. */
export interface PipelineWishes {
  /** The output is a directory that will be removed: nothing that has to last lies beside it. */
  readonly passing?: boolean;
}

/**
 * The runner as it is; for what may be a pipeline one that runs those, too. Files that are sure to be a job's
 * cost nothing.
 * @throws SheafError USAGE for a pipeline without its file
 */
export async function runnerFitFor<O extends JobRunOptions>(
  job: Job | Pipeline | string | URL,
  options: Pick<JobRunOptions, "file" | "steps">,
  runner: Runner<O>,
  wishes: PipelineWishes = {},
): Promise<Runner<O>> {
  const file = fileOf(job, options);
  if (file === null && isPipeline(job)) {
    throw new SheafError("USAGE", "run(pipeline): a pipeline is run from its file", {
      hint: 'Give the file: run(new URL("./pipeline.ts", import.meta.url)), the pipeline being its default export.',
    });
  }
  if (options.steps === undefined && (file === null || !mayBePipeline(file))) return runner;
  const { withPipelines } = await import("./run-pipeline.ts");
  return withPipelines(runner, wishes);
}

/** The file that a run is of; null for an object without one. */
export function fileOf(
  job: Job | Pipeline | string | URL,
  { file }: Pick<JobRunOptions, "file">,
): string | null {
  const given = typeof job === "string" || job instanceof URL ? job : file;
  if (given === undefined) return null;
  return given instanceof URL || given.startsWith("file://") ? fileURLToPath(given) : resolve(given);
}

export function noPipeline(file: string): SheafError {
  return new SheafError("USAGE", `${file} is no pipeline: it has no steps to choose from`, {
    hint: "Leave out --only, --from and --until.",
  });
}
