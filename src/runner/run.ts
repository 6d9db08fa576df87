import { SheafError } from "../base/errors.ts";
import type { Job } from "../job/define.ts";
import type { RunOptions, RunResult } from "./options.ts";

/**
 * Runs a job on this machine and resolves when its output is committed.
 *
 * `job` is the path or file URL of a job file (its default export is the job): that is the way to all cores, since
 * workers load the file too. A Job object runs on this thread, unless `options.file` names the file it comes from.
 * @throws RunFailure (a SheafError) with the first real cause when the job fails or is cancelled; nothing is then left
 * behind but its job directory.
 */
export async function run(job: Job | string | URL, options: RunOptions = {}): Promise<RunResult> {
  const result = await runJob(job, options);
  result.throwIfFailed();
  return result;
}

/**
 * As run(), but a failed or cancelled job is a result (`status`, `error`) too.
 * @throws SheafError USAGE for options that make no sense; everything else is in the result.
 */
export async function runJob(_job: Job | string | URL, _options: RunOptions = {}): Promise<RunResult> {
  throw new SheafError("INTERNAL", "the local runner is not there yet");
}
