import { tmpdir } from "node:os";
import type { ErrorCode } from "../base/errors.ts";
import { SheafError, isSheafError } from "../base/errors.ts";
import { outputDigest } from "../engine/committed-output.ts";
import { failureOutsideTasks } from "../engine/error-report.ts";
import type { CommittedPart, RunStatus } from "../engine/events.ts";
import type { Forecast } from "../engine/forecast.ts";
import { sumStats } from "../engine/progress.ts";
import { readRecords } from "../engine/result.ts";
import { finishedEvent, resultOf } from "../engine/result.ts";
import type { FailedTask, MaterializedRecords, RunResult } from "../engine/run-result.ts";
import { RunFailure } from "../engine/run-result.ts";
import type { JobError, JobView } from "../protocol/job-view.ts";
import { discardTempOutput } from "../storage/atomic-output.ts";
import { asShortage } from "../storage/fs-error.ts";
import { makeTempDirectory, removeAtExit } from "../storage/temp-directory.ts";
import { taskFailure } from "../worker/failure.ts";
import type { ApiClient } from "./api-client.ts";
import type { LocalOutput } from "./fetch-results.ts";
import { commitFetched, fetchCollected, placeFetchedRecords } from "./fetch-results.ts";
import { keepFailure } from "./keep-failure.ts";
import type { EventRelay, WatchEnd } from "./watch-job.ts";

/** How a job on a cluster went, before it is made a RunResult. */
export interface ClusterOutcome {
  readonly status: RunStatus;
  /** As the coordinator knows it at the end; null when it never got there. */
  readonly view: JobView | null;
  readonly jobId: string;
  readonly name: string;
  /** Absolute path on this machine; null: none was asked for. */
  readonly output: string | null;
  /** Likewise, of the records that its maps were given. Default: none. */
  readonly materialize?: string | null;
  readonly parts: readonly CommittedPart[];
  /** What records() reads. */
  readonly collected: readonly { readonly collection: string; readonly path: string }[] | null;
  readonly error: RunFailure | null;
  /** What was predicted of it. Default: nothing. */
  readonly forecast?: Forecast | null;
  /** Removes what records() reads. */
  dispose(): Promise<void>;
}

/** The result, and the last event of the run. `elapsedMs`: its time, by default since `relay` began. */
export function finishClusterRun(
  outcome: ClusterOutcome,
  relay: EventRelay,
  elapsedMs: number = relay.elapsedMs,
): RunResult {
  const { view, status, error, parts, jobId, name, output } = outcome;
  const collections = view?.collections ?? [];
  let { collected } = outcome;
  const result = resultOf({
    status,
    jobId,
    name,
    output,
    counters: view?.counters ?? {},
    stats: { ...(view?.stats ?? sumStats([], [], 0)), elapsedMs },
    phases: relay.phases,
    mapTasks: view?.mapTasks ?? 0,
    reduceTasks: view?.reduceTasks ?? 0,
    workers: view?.bidding?.used ?? 0,
    parts,
    hotKeys: (view?.hotKeys ?? []).map(({ collection, key, values, share }) => ({
      collection: collections.indexOf(collection),
      name: collection,
      key,
      values,
      share,
    })),
    skew: view?.skew ?? [],
    badRecords: view?.badRecords ?? 0,
    emptyFiles: view?.emptyFiles ?? null,
    sample: view?.sample ?? 1,
    sameAs: view?.sameAs ?? null,
    estimates: view?.estimates ?? [],
    forecast: outcome.forecast ?? null,
    incremental: view?.incremental ?? null,
    materialized: status === "SUCCEEDED" ? materializedOf(outcome) : null,
    made: view?.made === undefined ? null : { tasks: [], ...view.made },
    failedAttempts: relay.failedAttempts,
    failedTasks: view?.failedTasks ?? [],
    error,
    records: (collection) => readRecords({ collected, collections }, collection),
    dispose: async () => {
      collected = null;
      await outcome.dispose();
    },
  });
  relay.emit(finishedEvent(result));
  return result;
}

function materializedOf({ view, materialize = null }: ClusterOutcome): MaterializedRecords | null {
  if (view?.materialized === undefined) return null;
  const { parts } = view.materialized;
  const directory = materialize ?? view.materialized.directory;
  const records = parts.reduce((sum, part) => sum + part.records, 0);
  return directory === null ? null : { directory, records, parts };
}

/** Why the job failed at the coordinator, as a run on this machine would tell it. */
export function failureOf(error: JobError, attempts: readonly FailedTask[]): RunFailure {
  const { code, message, hint, task, attempt, host, report } = error;
  const known = attempts.find((one) => one.task === task && one.attempt === attempt);
  const made = {
    task: task ?? "",
    attempt: attempt ?? 0,
    failure: taskFailure(code as ErrorCode, message, { hint }),
    capsule: null,
  };
  return new RunFailure(code as ErrorCode, message, {
    ...(hint === null ? {} : { hint }),
    failed: known ?? (task === null ? null : made),
    report,
    details: { task, attempt, host },
  });
}

/** What a cancelled run rejects with. */
function cancelledFailure(message: string): RunFailure {
  return new RunFailure("CANCELLED", message, { failed: null, report: message });
}

/** What is to be had of a job that is over. */
export interface Wishes {
  /** Where its result files are committed on this machine; null: they are in place, or not wanted. */
  readonly fetch: LocalOutput | null;
  /** The same of the records that its maps have kept. Default: they are in place, or not wanted. */
  readonly fetchRecords?: LocalOutput | null;
  /** Directory the results are in afterwards, for the result. */
  readonly output: string | null;
  /** Whether records() is to read them. */
  readonly collect: boolean;
  readonly signal: AbortSignal | undefined;
  /** Where a failed job is kept, with what it takes to replay it. Default: nowhere. */
  readonly stateDirectory?: string | null;
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
    const isFetched = wishes.fetch !== null || (wishes.fetchRecords ?? null) !== null || wishes.collect;
    if (view?.state === "SUCCEEDED" && (end === "finished" || !isFetched)) {
      return {
        ...about,
        ...(await fetchResults(api, view, relay, wishes)),
        status: "SUCCEEDED",
        error: null,
      };
    }
    if (view?.state === "FAILED" && view.error !== null) {
      const warn = (message: string): void => relay.emit({ kind: "warning", message });
      await keepFailure(api, view, wishes.stateDirectory ?? null, warn, wishes.signal);
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
  { fetch, fetchRecords = null, collect, signal }: Wishes,
): Promise<Pick<ClusterOutcome, "parts" | "collected" | "dispose">> {
  let parts: readonly CommittedPart[] = view.parts;
  const beside =
    fetchRecords === null ? undefined : () => placeFetchedRecords(api, view, fetchRecords, signal);
  if (fetch !== null && (view.sameAs === undefined || fetch.has !== outputDigest(view)))
    parts = await relay.phase("commit", () => commitFetched(api, view, fetch, { signal, beside }));
  else await (await beside?.())?.done();
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
