import { SheafError } from "../base/errors.ts";
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
export function defaultStateDirectory(environment: NodeJS.ProcessEnv, home: string): string {
  if (environment["SHEAF_STATE"]) return environment["SHEAF_STATE"];
  if (environment["XDG_STATE_HOME"]) return `${environment["XDG_STATE_HOME"]}/sheaf`;
  return `${home}/.local/state/sheaf`;
}

/** The kept jobs, latest first; [] when there are none. Directories without a readable record are left out. */
export async function listJobs(_stateDirectory: string): Promise<KeptJob[]> {
  return [];
}

/**
 * The job a handle names (see job-directory.ts for handles).
 * @throws SheafError NOT_FOUND when there is none, or when the beginning of an id fits several.
 */
export async function findJob(_stateDirectory: string, handle: string): Promise<JobHandle> {
  throw new SheafError("NOT_FOUND", `no job ${handle}`);
}
