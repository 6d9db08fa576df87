import { tmpdir } from "node:os";
import { SheafError, isSheafError } from "../base/errors.ts";
import { failureOutsideTasks } from "../engine/error-report.ts";
import { RunFailure } from "../engine/options.ts";
import type { CommittedPart } from "../engine/options.ts";
import type { JobView } from "../protocol/job-view.ts";
import { makeTempDirectory, removeAtExit } from "../runner/work-directory.ts";
import { discardTempOutput } from "../storage/atomic-output.ts";
import { asShortage } from "../storage/fs-error.ts";
import type { ApiClient } from "./api-client.ts";
import { cancelledFailure, failureOf } from "./cluster-result.ts";
import type { ClusterOutcome } from "./cluster-result.ts";
import { commitFetched, fetchCollected } from "./commit-fetched.ts";
import type { LocalOutput } from "./commit-fetched.ts";
import type { EventRelay } from "./event-relay.ts";
import type { WatchEnd } from "./watch-job.ts";

/** What is to be had of a job that is over. */
export interface Wishes {
  /** Where its result files are committed on this machine; null: they are in place, or not wanted. */
  readonly fetch: LocalOutput | null;
  /** Directory the results are in afterwards, for the result. */
  readonly output: string | null;
  /** Whether records() is to read them. */
  readonly collect: boolean;
  readonly signal: AbortSignal | undefined;
}

/** Finds out how a job that was watched has ended, and fetches what is wanted of it. Never rejects. */
export async function settleJob(
  api: ApiClient,
  job: string,
  end: WatchEnd,
  relay: EventRelay,
  wishes: Wishes,
): Promise<ClusterOutcome> {
  const base = { view: null, jobId: job, name: job, output: wishes.output, dispose: () => Promise.resolve() };
  const nothing = { ...base, parts: [], collected: null };
  try {
    const view = await api.job(job, end === "finished" ? {} : { retryMs: 0 }).catch((error: unknown) => {
      if (end === "finished") throw error;
      return null;
    });
    const about = { ...nothing, view, name: view?.name ?? job };
    const isFetched = wishes.fetch !== null || wishes.collect;
    if (view?.state === "SUCCEEDED" && (end === "finished" || !isFetched)) {
      return {
        ...about,
        ...(await fetchResults(api, view, relay, wishes)),
        status: "SUCCEEDED",
        error: null,
      };
    }
    if (view?.state === "FAILED" && view.error !== null) {
      return { ...about, status: "FAILED", error: failureOf(view.error, relay.failedAttempts) };
    }
    return { ...about, status: "CANCELLED", error: cancelledFailure(cancelledText(view, end)) };
  } catch (error) {
    return { ...nothing, ...notSettled(error, wishes.signal) };
  }
}

/** How a run ends that has thrown. */
export function notSettled(
  error: unknown,
  signal: AbortSignal | undefined,
): Pick<ClusterOutcome, "status" | "error"> {
  if (signal?.aborted === true) {
    return { status: "CANCELLED", error: cancelledFailure("the job was cancelled; nothing was written") };
  }
  if (error instanceof RunFailure) return { status: "FAILED", error };
  const known = isSheafError(error)
    ? error
    : (asShortage(error) ?? new SheafError("INTERNAL", `sheaf failed: ${String(error)}`, { cause: error }));
  return { status: "FAILED", error: failureOutsideTasks(known) };
}

async function fetchResults(
  api: ApiClient,
  view: JobView,
  relay: EventRelay,
  { fetch, collect, signal }: Wishes,
): Promise<Pick<ClusterOutcome, "parts" | "collected" | "dispose">> {
  let parts: readonly CommittedPart[] = view.parts;
  if (fetch !== null) {
    parts = await relay.phase("commit", () => commitFetched(api, view, fetch, signal));
  }
  if (!collect) return { parts, collected: null, dispose: () => Promise.resolve() };
  const directory = await makeTempDirectory(tmpdir());
  const release = removeAtExit(directory);
  const dispose = async (): Promise<void> => {
    release();
    await discardTempOutput(directory);
  };
  try {
    return { parts, collected: await fetchCollected(api, view, directory, signal), dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

function cancelledText(view: JobView | null, end: WatchEnd): string {
  if (end === "left") return "this client has left; the job may still run";
  return view?.error?.message ?? "the job was cancelled; nothing was written";
}
