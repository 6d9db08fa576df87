import { SheafError } from "../base/errors.ts";
import { jobFilePath } from "../bundle/bundle-job.ts";
import type { Job } from "../job/define.ts";
import { LocalRun } from "./local-run.ts";
import type { JobSource } from "./local-run.ts";
import type { RunOptions, RunResult } from "./options.ts";
import { finishRun } from "./run-result.ts";
import { startWorkerInline } from "./worker-inline.ts";
import { startWorkerProcess } from "./worker-process.ts";
import { startWorkerThread } from "./worker-thread.ts";
import type { StartWorker } from "./worker.ts";

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
export async function runJob(job: Job | string | URL, options: RunOptions = {}): Promise<RunResult> {
  const source = sourceOf(job, options);
  const inlineJob = source.kind === "object" ? source.job : undefined;
  const starters: Readonly<Record<string, StartWorker>> = {
    thread: startWorkerThread,
    process: startWorkerProcess,
    inline: (start) => startWorkerInline(start, inlineJob),
  };
  const run = new LocalRun(source, options, (isolation) => starters[isolation]!);
  const outcome = await run.run();
  return finishRun(run, outcome);
}

function sourceOf(job: Job | string | URL, options: RunOptions): JobSource {
  if (typeof job === "string" || job instanceof URL) return { kind: "file", path: jobFilePath(job) };
  if (typeof job !== "object" || job === null || job.sheaf !== "job") {
    throw new SheafError("USAGE", "run(job): the job is neither a job() nor the path or URL of a job file", {
      hint: 'Give what job({...}) returned, or new URL("./job.ts", import.meta.url).',
    });
  }
  if (options.file !== undefined) return { kind: "file", path: jobFilePath(options.file) };
  if (options.isolate !== undefined && options.isolate !== "inline") {
    throw new SheafError("USAGE", `isolate: "${options.isolate}" needs the job's file; a Job object runs on this thread`, {
      hint: 'Give the file: run(new URL("./job.ts", import.meta.url)), where the job is the default export.',
    });
  }
  return { kind: "object", job };
}
