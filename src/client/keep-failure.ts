import { describeThrown, isSheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { JobDirectory, newRecord, openState } from "../engine/job-directory.ts";
import { recordedStats } from "../engine/progress.ts";
import { pruneJobs } from "../engine/prune-jobs.ts";
import type { JobView } from "../protocol/job-view.ts";
import { isId } from "../security/ids.ts";
import type { ApiClient } from "./api-client.ts";
import { fetchCapsule } from "./replay-cluster.ts";

/**
 * Keeps a job of a cluster that has failed in the history of this machine, with the capsule of the task that
 * failed it, so that it can be shown and replayed when the cluster is gone. What keeps it from that is told
 * and nothing else.
 */
export async function keepFailure(
  api: ApiClient,
  view: JobView,
  stateDirectory: string | null,
  warn: (message: string) => void,
  signal?: AbortSignal,
): Promise<void> {
  const task = view.error?.task ?? null;
  const state = task === null ? null : openState(stateDirectory, warn);
  if (task === null || state === null) return;
  const { job: jobId, name, submitter, host, file, code, inputs, output, group, project } = view;
  // It becomes the name of a directory.
  if (!isId("job", jobId)) return warn(`the coordinator names a job "${jobId.slice(0, 40)}", which is no id`);
  const record = newRecord({
    jobId,
    name,
    submitter,
    host,
    file,
    code,
    inputs,
    output,
    startTime: view.startTime ?? view.submitTime,
    currentPhase: "finished",
    group,
    project,
    settings: { once: view.runOnce, force: view.force },
  });
  const directory = new JobDirectory(state, record, warn);
  let capsules: string[] = [];
  try {
    await fetchCapsule(api, jobId, task, directory.path, signal);
    capsules = [task];
  } catch (error) {
    if (!isSheafError(error) || error.code !== "NOT_FOUND")
      warn(`what ${task} failed on could not be fetched: ${describeThrown(error)}`);
  }
  const { counters, stats, elapsedMs, endTime, badRecords, mapTasks, reduceTasks, error } = view;
  directory.finish({
    status: "FAILED",
    counters,
    ...(stats === null ? {} : recordedStats(stats)),
    elapsedMs,
    endTime,
    badRecords,
    mapTasks,
    reduceTasks,
    exception: error?.report ?? null,
    capsules,
  });
  await pruneJobs(state, limits.jobsKept);
}
