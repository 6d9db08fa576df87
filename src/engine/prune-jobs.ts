import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { isAlive } from "../storage/remove-directory.ts";
import { keepMark, keepUntilFile } from "./job-directory.ts";
import type { JobRecord } from "./job-directory.ts";

const unusedBundleMs = 24 * 3_600_000;

/** Of jobs that are kept for a time of their own; null: of others, and where nobody can tell. */
function keptUntilMs(directory: string): number | null {
  try {
    const text = readFileSync(join(directory, keepUntilFile), "utf8");
    return /^\d+(?:\.\d+)?\n$/.test(text) ? Number(text) : null;
  } catch {
    return null;
  }
}

/** Others may wait for it, however many have come since. */
function runs(directory: string): boolean {
  try {
    if (readFileSync(join(directory, "result"), "utf8") !== "INCOMPLETE\n") return false;
    const { pid, host } = JSON.parse(readFileSync(join(directory, "job.json"), "utf8")) as JobRecord;
    return host === hostname() && isAlive(pid);
  } catch {
    return false;
  }
}

/**
 * Removes the job directories whose time is over, and of the others the oldest beyond those kept, then the
 * bundles no kept job has. Jobs that run are left. Never throws.
 */
export async function pruneJobs(stateDirectory: string, keep: number): Promise<void> {
  try {
    const jobs = join(stateDirectory, "jobs");
    const over: string[] = [];
    const others: string[] = [];
    for (const id of readdirSync(jobs).sort()) {
      const untilMs = keptUntilMs(join(jobs, id));
      if (untilMs === null) others.push(id);
      else if (untilMs <= systemClock.wallMs()) over.push(id);
    }
    const gone = [...over, ...others.slice(0, Math.max(0, others.length - keep))];
    if (gone.length === 0) return;
    for (const id of gone) {
      if (!runs(join(jobs, id))) await removeJob(join(jobs, id));
    }
    const bundles = join(stateDirectory, "bundles");
    for (const hash of readdirSync(bundles)) {
      // Job directories hold bundles by a second name. One just made may be about to get its own.
      const code = statSync(join(bundles, hash, "job.mjs"), { throwIfNoEntry: false });
      if (existsSync(join(bundles, hash, keepMark))) continue;
      if (code?.nlink !== 1 || systemClock.wallMs() - code.ctimeMs < unusedBundleMs) continue;
      await rm(join(bundles, hash), { recursive: true, force: true });
    }
  } catch {
    // Another process may prune at the same time.
  }
}

/** Removes a job's directory, and what a pipeline has left outside of it between its steps. */
export async function removeJob(directory: string): Promise<void> {
  const work = workOf(directory);
  const options = { recursive: true, force: true, maxRetries: 3 };
  if (work !== null) await rm(work, options);
  await rm(directory, options);
}

/** Where a pipeline has left what lay between its steps, when that is not in its job directory. */
function workOf(directory: string): string | null {
  try {
    const { work } = JSON.parse(readFileSync(join(directory, "job.json"), "utf8")) as Partial<JobRecord>;
    // Only what a pipeline calls so is removed.
    return work !== undefined && basename(work).includes(".sheaf-pipeline-") ? work : null;
  } catch {
    return null;
  }
}
