import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { systemClock } from "../base/clock.ts";
import { isSheafError } from "../base/errors.ts";
import type { SheafError } from "../base/errors.ts";
import { bundleJob } from "../bundle/bundle-job.ts";
import type { BundledJob } from "../bundle/bundle-job.ts";
import { formatFailure, mapFailure } from "../engine/error-report.ts";
import { openState } from "../engine/job-directory.ts";
import { RunFailure } from "../engine/options.ts";
import type { ResolvedOptions } from "../engine/resolve-options.ts";
import { makeTempDirectory } from "../runner/work-directory.ts";
import { errnoOf } from "../storage/fs-error.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import type { JobOutline } from "../worker/messages.ts";
import { WorkerPool } from "../worker/pool.ts";
import { startWorkerThread } from "../worker/worker-thread.ts";

/** A job file as a cluster gets it. */
export interface LoadedJob {
  readonly outline: JobOutline;
  readonly bundle: BundledJob;
  /** Removes what was only made for this run. */
  dispose(): Promise<void>;
}

/**
 * Bundles a job file and has a worker of this machine tell what job it is: the coordinator never loads the
 * code.
 * @param log what the job file printed while it was loaded
 * @throws SheafError JOB_LOAD, JOB_INVALID ... ; a RunFailure with its report when the file itself threw
 */
export async function loadOutline(
  file: string,
  resolved: ResolvedOptions,
  log: (stream: "log" | "stdout" | "stderr", text: string) => void,
): Promise<LoadedJob> {
  const pool = new WorkerPool({
    startWorker: startWorkerThread,
    isolation: "thread",
    heapBytes: resolved.heapBytes,
    noProgressMs: resolved.noProgressMs,
    clock: systemClock,
    listener: {
      attemptEnded: () => undefined,
      log: (_id, stream, text) => log(stream, text),
      stray: () => undefined,
    },
  });
  // The worker starts while the job is bundled.
  pool.prewarm(0);
  try {
    const state = openState(resolved.stateDirectory, (message) => log("stderr", `warning: ${message}`));
    const { bundle, dispose } = await bundleOf(file, { stateDirectory: state, external: resolved.external });
    const answer = await pool.load(pathToFileURL(bundle.path).href, resolved.attempts);
    if ("outline" in answer) return { outline: answer.outline, bundle, dispose };
    const error = await loadFailure(answer.failure, bundle);
    await dispose();
    throw error;
  } finally {
    await pool.close();
  }
}

async function bundleOf(
  file: string,
  { stateDirectory, external }: Pick<ResolvedOptions, "stateDirectory" | "external">,
): Promise<Pick<LoadedJob, "bundle" | "dispose">> {
  if (stateDirectory !== null) {
    try {
      const bundle = await bundleJob(file, { outDirectory: join(stateDirectory, "bundles"), external });
      return { bundle, dispose: () => Promise.resolve() };
    } catch (error) {
      // A state directory that cannot be written is no reason not to run.
      if (isSheafError(error) || errnoOf(error) === undefined) throw error;
    }
  }
  const directory = await makeTempDirectory(tmpdir());
  const dispose = () => removeDirectory(directory);
  try {
    return { bundle: await bundleJob(file, { outDirectory: directory, cache: false, external }), dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function loadFailure(failure: TaskFailure, bundle: BundledJob): Promise<SheafError> {
  const mapped = await mapFailure(failure, bundle.path);
  const report = formatFailure(failure, { task: "", attempt: 0, mapped, replay: null });
  return new RunFailure(failure.code, failure.message, {
    ...(failure.hint === null ? {} : { hint: failure.hint }),
    failed: { task: "", attempt: 0, failure, capsule: null },
    report,
  });
}
