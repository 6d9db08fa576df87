import { SheafError, isSheafError } from "../base/errors.ts";
import { settings } from "../base/limits.ts";
import { noJobNamed, noSuchJob, parseHandle, severalJobs } from "../engine/job-history.ts";
import type { ApiClient } from "./api-client.ts";

/** Jobs looked through for the beginning of an id. */
const jobsLookedAt = settings.listed.max;

export interface ClusterJobHandle {
  readonly job: string;
  /** Full task name ("map-00017") when the handle named one. */
  readonly task: string | null;
}

/**
 * The job of a cluster that a handle names, as engine/job-history.ts has it for this machine: an id or the
 * beginning of one, "@" the latest, "@?name" the latest of that name; with ":map-17" a task of it.
 * @throws SheafError NOT_FOUND when there is none, or when the beginning of an id fits several
 */
export async function findClusterJob(api: ApiClient, handle: string): Promise<ClusterJobHandle> {
  const { latestOf, id, task } = parseHandle(handle);
  return { job: await (latestOf === null ? byId(api, id) : latest(api, latestOf)), task };
}

async function latest(api: ApiClient, name: string): Promise<string> {
  const { jobs } = await api.jobs({ limit: 1, ...(name === "" ? {} : { name }) });
  if (jobs[0] !== undefined) return jobs[0].job;
  if (name === "") {
    throw new SheafError("NOT_FOUND", "no job has been submitted yet", {
      hint: `Submit one: sheaf run JOB --on ${api.url}`,
    });
  }
  const others = await api.jobs({ limit: 100 });
  throw noJobNamed(
    name,
    others.jobs.map((job) => job.name),
  );
}

async function byId(api: ApiClient, prefix: string): Promise<string> {
  if (!/^[a-z0-9][a-z0-9-]*$/.test(prefix)) throw noSuchJob(prefix);
  try {
    return (await api.job(prefix)).job;
  } catch (error) {
    if (!isSheafError(error) || (error.code !== "NOT_FOUND" && error.code !== "USAGE")) throw error;
  }
  const { jobs } = await api.jobs({ limit: jobsLookedAt });
  const [first, ...others] = jobs.map(({ job }) => job).filter((job) => job.startsWith(prefix));
  if (first === undefined) throw noSuchJob(prefix);
  if (others.length > 0) throw severalJobs(prefix, [first, ...others]);
  return first;
}
