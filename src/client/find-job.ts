import { SheafError, isSheafError } from "../base/errors.ts";
import { settings } from "../base/limits.ts";
import { suggest } from "../base/suggest.ts";
import type { JobSummary } from "../protocol/job-view.ts";
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
  const parsed = /^(.*?)(?::(sample|map|reduce)-(\d+))?$/.exec(handle);
  const name = parsed?.[1] ?? handle;
  const task =
    parsed?.[2] === undefined ? null : `${parsed[2]}-${String(Number(parsed[3])).padStart(5, "0")}`;
  const isLatest = name === "@" || name.startsWith("@?");
  return { job: await (isLatest ? latest(api, name.slice(2)) : byId(api, name)), task };
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
  const near = suggest(
    name,
    others.jobs.map((job) => job.name),
  );
  throw new SheafError("NOT_FOUND", `no job named "${name}" is kept`, {
    hint: near === undefined ? "`sheaf jobs` lists the jobs that are kept." : `Did you mean "@?${near}"?`,
  });
}

async function byId(api: ApiClient, prefix: string): Promise<string> {
  if (!/^[a-z0-9][a-z0-9-]*$/.test(prefix)) throw noSuchJob(prefix);
  try {
    return (await api.job(prefix)).job;
  } catch (error) {
    if (!isSheafError(error) || (error.code !== "NOT_FOUND" && error.code !== "USAGE")) throw error;
  }
  const { jobs } = await api.jobs({ limit: jobsLookedAt });
  const fitting = jobs.filter(({ job }: JobSummary) => job.startsWith(prefix));
  if (fitting[0] === undefined) throw noSuchJob(prefix);
  if (fitting.length === 1) return fitting[0].job;
  throw new SheafError("NOT_FOUND", `"${prefix}" is the beginning of ${fitting.length} job ids`, {
    hint: `Give more of it: ${fitting
      .slice(0, 3)
      .map(({ job }) => job)
      .join(", ")}${fitting.length > 3 ? " ..." : ""}`,
  });
}

function noSuchJob(prefix: string): SheafError {
  return new SheafError("NOT_FOUND", `no job "${prefix}" is kept`, {
    hint: "`sheaf jobs` lists the jobs that are kept; @ is the latest one.",
  });
}
