import { readRecords } from "../engine/commit.ts";
import type { CommittedPart, FailedTask, RunResult, RunStatus } from "../engine/options.ts";
import { RunFailure } from "../engine/options.ts";
import { emptyStats } from "../engine/progress.ts";
import { finishedEvent, resultOf } from "../engine/result.ts";
import type { ErrorCode } from "../base/errors.ts";
import type { JobError, JobView } from "../protocol/job-view.ts";
import { taskFailure } from "../worker/failure.ts";
import type { EventRelay } from "./event-relay.ts";

/** How a job on a cluster went, before it is made a RunResult. */
export interface ClusterOutcome {
  readonly status: RunStatus;
  /** As the coordinator knows it at the end; null when it never got there. */
  readonly view: JobView | null;
  readonly jobId: string;
  readonly name: string;
  /** Absolute path on this machine; null: none was asked for. */
  readonly output: string | null;
  readonly parts: readonly CommittedPart[];
  /** What records() reads. */
  readonly collected: readonly { readonly collection: string; readonly path: string }[] | null;
  readonly error: RunFailure | null;
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
    stats: { ...(view?.stats ?? emptyStats), elapsedMs },
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
export function cancelledFailure(message: string): RunFailure {
  return new RunFailure("CANCELLED", message, { failed: null, report: message });
}
