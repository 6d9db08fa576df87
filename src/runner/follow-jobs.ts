import { existsSync } from "node:fs";
import { SheafError } from "../base/errors.ts";
import { pauseFor } from "../base/retry.ts";
import type { KeptJob } from "../engine/job-history.ts";
import { findJob, keptJob, wholeJobHandle } from "../engine/job-history.ts";

/** A job's record is looked at this often: nobody tells of its end, since its process may be killed. */
const lookMs = 200;

/**
 * The jobs of this machine that handles name. To be called before the job that follows them has a record of
 * its own, which "@" would find.
 * @throws SheafError USAGE for the handle of a task, or where no history is kept; NOT_FOUND;
 * PREDECESSOR_FAILED for a job that will not succeed
 */
export async function findPredecessors(
  handles: readonly string[],
  stateDirectory: string | null,
): Promise<readonly KeptJob[]> {
  if (handles.length === 0) return [];
  if (stateDirectory === null) {
    throw new SheafError("USAGE", "after: no history of jobs is kept, so none can be waited for", {
      hint: "Give a state directory that can be used ($SHEAF_STATE), or leave `after` out.",
    });
  }
  const found = await Promise.all(
    handles.map((handle) => findJob(stateDirectory, wholeJobHandle(handle, "after"))),
  );
  for (const job of found) mayFollow(job);
  return found;
}

/**
 * Resolves when all of them have succeeded.
 * @throws SheafError PREDECESSOR_FAILED as soon as one of them cannot any more; the signal's reason
 */
export async function followJobs(
  jobs: readonly KeptJob[],
  signal: AbortSignal | undefined,
  waiting: (what: string) => void,
): Promise<void> {
  let open = jobs;
  let told = "";
  for (;;) {
    open = open.map(asItIsNow).filter((job) => !mayFollow(job));
    if (open.length === 0) return;
    const what = `the success of ${open.map(({ record }) => record.jobId).join(", ")}`;
    if (what !== told) waiting(what);
    told = what;
    await pauseFor(lookMs, signal);
  }
}

/** A record that is just being written cannot be read: it is looked at again. */
function asItIsNow(job: KeptJob): KeptJob {
  const now = keptJob(job.directory);
  if (now !== null) return now;
  if (existsSync(job.directory)) return job;
  throw predecessorFailed(job, "is not kept any more");
}

/** Whether it has succeeded; false: it runs. @throws SheafError PREDECESSOR_FAILED */
function mayFollow(job: KeptJob): boolean {
  const { status } = job.record;
  if (status === "FAILED" || status === "CANCELLED") throw predecessorFailed(job, `is ${status}`);
  return status === "SUCCEEDED";
}

function predecessorFailed({ record }: KeptJob, what: string): SheafError {
  return new SheafError(
    "PREDECESSOR_FAILED",
    `the job was to begin when ${record.jobId} has succeeded, which ${what}`,
    { hint: "Run that one again (`sheaf show` says why it did not succeed), then this one." },
  );
}
