import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SheafError, isSheafError } from "../base/errors.ts";
import { bundleJob } from "../bundle/bundle-job.ts";
import type { BundledJob } from "../bundle/bundle-job.ts";
import { bundleWithExport } from "../bundle/step-bundle.ts";
import { choiceExport, type StepChoice } from "../steps/step-choice.ts";
import { asSheafError, errnoOf } from "../storage/fs-error.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import { makeTempDirectory } from "../storage/temp-directory.ts";

/** The code of a job while a run needs it. */
export interface RunBundle {
  readonly bundle: BundledJob;
  /** Removes what was only made for this run. */
  dispose(): Promise<void>;
}

/** A step of a pipeline as a run of its own, which is told what its pipeline was bundled to. */
export interface StepRun extends StepChoice {
  readonly bundle: BundledJob;
  /** Where the bundle of this step is put. */
  readonly directory: string;
}

/** The bundle that is the job of one step. */
function bundleOfStep({ bundle, directory, ...value }: StepRun): RunBundle {
  const made = bundleWithExport(bundle, { name: choiceExport, value: value satisfies StepChoice }, directory);
  return { bundle: made, dispose: () => Promise.resolve() };
}

/**
 * Bundles a job file. Bundles are kept with the history; without one (`stateDirectory` null), or where that
 * cannot be written, the bundle is made for this run only.
 * @param step which step of a pipeline is the job; what its pipeline was bundled to is used again
 * @throws SheafError as bundleJob; DISK_FULL and the like
 */
export async function bundleForRun(
  file: string,
  stateDirectory: string | null,
  external: readonly string[],
  step?: StepRun,
): Promise<RunBundle> {
  if (step !== undefined) return bundleOfStep(step);
  if (stateDirectory !== null) {
    try {
      const bundle = await bundleJob(file, { outDirectory: join(stateDirectory, "bundles"), external });
      return { bundle, dispose: () => Promise.resolve() };
    } catch (error) {
      // A state directory that cannot be written is no reason not to run.
      if (isSheafError(error) || errnoOf(error) === undefined) throw error;
    }
  }
  const outDirectory = await makeTempDirectory(tmpdir());
  const dispose = (): Promise<void> => removeDirectory(outDirectory);
  try {
    return { bundle: await bundleJob(file, { outDirectory, cache: false, external }), dispose };
  } catch (error) {
    await dispose();
    if (errnoOf(error) === undefined) throw error;
    throw asSheafError(error, { path: outDirectory, doing: "write" });
  }
}

/** A file was taken for that of a job, since it says neither what it is (mayBePipeline). */
export function hiddenPipeline(file: string): SheafError {
  return new SheafError("JOB_LOAD", `${file}: the default export is a pipeline that another file makes`, {
    hint: "Run that other file, or say in this one what it is: a comment with the word pipeline will do.",
  });
}

/**
 * Whether a file may be that of a pipeline, by its text: whoever makes one says so, and who only passes on
 * what another file makes says nothing of jobs. False for a file that cannot be read, which others tell.
 */
export function mayBePipeline(file: string): boolean {
  try {
    const text = readFileSync(file, "utf8");
    return /pipeline/i.test(text) || !/\bjob\b/.test(text);
  } catch {
    return false;
  }
}
