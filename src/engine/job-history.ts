import { readFileSync, readdirSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { SheafError } from "../base/errors.ts";
import { suggest } from "../base/suggest.ts";
import { isAlive } from "../storage/remove-directory.ts";
import type { JobRecord } from "./job-directory.ts";

/** A job directory and its record. */
export interface KeptJob {
  readonly directory: string;
  readonly record: JobRecord;
}

export interface JobHandle extends KeptJob {
  /** Full task name ("map-00017") when the handle named one. */
  readonly task: string | null;
}

/** $SHEAF_STATE, else $XDG_STATE_HOME/sheaf, else ~/.local/state/sheaf. */
export function defaultStateDirectory(
  environment: Readonly<Record<string, string | undefined>>,
  home: string,
): string {
  if (environment["SHEAF_STATE"]) return environment["SHEAF_STATE"];
  if (environment["XDG_STATE_HOME"]) return join(environment["XDG_STATE_HOME"], "sheaf");
  return join(home, ".local", "state", "sheaf");
}

/**
 * The kept jobs, latest first; [] when there are none. Directories without a readable record are left out.
 */
export async function listJobs(stateDirectory: string): Promise<KeptJob[]> {
  const jobs = jobIds(stateDirectory).map((id) => readJob(stateDirectory, id));
  return jobs.filter((job) => job !== null);
}

/**
 * The job a handle names (see job-directory.ts for handles).
 * @throws SheafError NOT_FOUND when there is none, or when the beginning of an id fits several.
 */
export async function findJob(stateDirectory: string, handle: string): Promise<JobHandle> {
  const { latestOf, id, task } = parseHandle(handle);
  const found = latestOf === null ? byId(stateDirectory, id) : latest(stateDirectory, latestOf);
  return { ...found, task };
}

/** What a handle says: an id or the beginning of one, or (`latestOf`) the latest job, "" being any name. */
export function parseHandle(handle: string): { latestOf: string | null; id: string; task: string | null } {
  const [, name = handle, phase, number] = /^(.*?)(?::(sample|map|reduce)-(\d+))?$/.exec(handle) ?? [];
  const task = phase === undefined ? null : `${phase}-${String(Number(number)).padStart(5, "0")}`;
  const latestOf = name === "@" || name.startsWith("@?") ? name.slice(2) : null;
  return { latestOf, id: name, task };
}

/** @throws SheafError USAGE for the handle of a task; `what` is the option that takes jobs only */
export function wholeJobHandle(handle: string, what: string): string {
  if (parseHandle(handle).task === null && handle !== "") return handle;
  throw new SheafError("USAGE", `${what}: "${handle}" does not name a job`, {
    hint: "Give a job's id, the beginning of one, @ (the latest) or @?NAME.",
  });
}

/** @param names of the jobs there are */
export function noJobNamed(name: string, names: Iterable<string>): SheafError {
  const near = suggest(name, names);
  return new SheafError("NOT_FOUND", `no job named "${name}" is kept`, {
    hint: near === undefined ? "`sheaf jobs` lists the jobs that are kept." : `Did you mean "@?${near}"?`,
  });
}

export function noSuchJob(id: string): SheafError {
  return new SheafError("NOT_FOUND", `no job "${id}" is kept`, {
    hint: "`sheaf jobs` lists the jobs that are kept; @ is the latest one.",
  });
}

/** @param ids those that begin so */
export function severalJobs(prefix: string, ids: readonly string[]): SheafError {
  return new SheafError("NOT_FOUND", `"${prefix}" begins ${ids.length} job ids`, {
    hint: `Give more of it: ${ids.slice(0, 3).join(", ")}${ids.length > 3 ? ", ..." : ""}`,
  });
}

function latest(stateDirectory: string, name: string): KeptJob {
  const names = new Set<string>();
  for (const id of jobIds(stateDirectory)) {
    const job = readJob(stateDirectory, id);
    if (job === null) continue;
    if (name === "" || job.record.name === name) return job;
    names.add(job.record.name);
  }
  if (name !== "") throw noJobNamed(name, names);
  throw new SheafError("NOT_FOUND", "no job has run yet", {
    hint: "`sheaf jobs` lists the jobs that are kept.",
  });
}

function byId(stateDirectory: string, prefix: string): KeptJob {
  const own = jobIds(stateDirectory).filter((id) => id.startsWith(prefix));
  // The runs that are steps of pipelines have ids, too.
  const state = own.length === 0 && prefix !== "" ? stateOfStep(stateDirectory, prefix) : stateDirectory;
  const ids = own.length === 0 ? jobIds(state).filter((id) => id.startsWith(prefix)) : own;
  const exact = ids.find((id) => id === prefix);
  if (prefix !== "" && ids.length > 1 && exact === undefined) throw severalJobs(prefix, ids);
  const id = exact ?? ids[0];
  const job = prefix === "" || id === undefined ? null : readJob(state, id);
  if (job === null) throw noSuchJob(prefix);
  return job;
}

/** Below the job directory of a pipeline: the history of its steps. */
export const stepsDirectory = "steps";

/** The state directory of the pipeline that has a step with such an id. */
function stateOfStep(stateDirectory: string, prefix: string): string {
  const states = jobIds(stateDirectory).map((id) => join(stateDirectory, "jobs", id, stepsDirectory));
  return states.find((state) => jobIds(state).some((id) => id.startsWith(prefix))) ?? stateDirectory;
}

/** Latest first. */
function jobIds(stateDirectory: string): string[] {
  try {
    return readdirSync(join(stateDirectory, "jobs")).sort().reverse();
  } catch {
    return [];
  }
}

function readJob(stateDirectory: string, id: string): KeptJob | null {
  return keptJob(join(stateDirectory, "jobs", id));
}

/** The job of that directory; null when there is none, or its record cannot be read now. */
export function keptJob(directory: string): KeptJob | null {
  try {
    const record = JSON.parse(readFileSync(join(directory, "job.json"), "utf8")) as JobRecord;
    return { directory, record: truthful(record) };
  } catch {
    return null;
  }
}

/** A job whose process is gone did not get to say how it ended. */
function truthful(record: JobRecord): JobRecord {
  if (record.status !== "RUNNING" || record.host !== hostname() || isAlive(record.pid)) return record;
  return {
    ...record,
    status: "FAILED",
    exception: record.exception ?? "The process that ran this job was killed.",
  };
}
