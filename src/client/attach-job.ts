import { systemClock } from "../base/clock.ts";
import { SheafError } from "../base/errors.ts";
import type { RunEvent } from "../engine/events.ts";
import type { RunResult } from "../engine/options.ts";
import type { JobView } from "../protocol/job-view.ts";
import type { ApiClient } from "./api-client.ts";
import { finishClusterRun } from "./cluster-result.ts";
import type { LocalOutput } from "./commit-fetched.ts";
import { EventRelay } from "./event-relay.ts";
import { settleJob } from "./settle-job.ts";
import { watchJob } from "./watch-job.ts";

export interface AttachOptions {
  /** Only look: the job is not stopped with this client. */
  readonly watch: boolean;
  /** Where the result files go, for a job whose output is not shared; null: they stay. */
  readonly output: LocalOutput | null;
  /** Whether records() is to read the results. */
  readonly collect: boolean;
  readonly signal: AbortSignal;
  readonly onEvent: (event: RunEvent) => void;
}

/**
 * Follows a job from its beginning to its end, as if this client had submitted it.
 * @throws SheafError NOT_FOUND; USAGE for results the job does not keep; UNREACHABLE
 */
export async function attachToJob(api: ApiClient, job: string, options: AttachOptions): Promise<RunResult> {
  const { watch, output, collect, signal } = options;
  const before = await api.job(job);
  checkWishes(before, output, collect);
  const isOver = before.endTime !== null;
  const isMine = !watch && !isOver;
  if (isMine) await api.attach(job, true);
  const heartbeatMs = isMine ? (await api.cluster()).heartbeatMs : null;
  const relay = new EventRelay(systemClock, options.onEvent);
  const end = await watchJob(api, job, relay, { heartbeatMs, signal, isFetched: output !== null });
  const wishes = { fetch: output, output: output?.path ?? before.output, collect, signal };
  const outcome = await settleJob(api, job, end, relay, wishes);
  // It began before this client came.
  return finishClusterRun(outcome, relay, outcome.view?.elapsedMs ?? undefined);
}

/**
 * The results of a job that has ended, as those of a run.
 * @throws SheafError USAGE when it has none: it runs, it failed, they were written elsewhere
 */
export async function resultsOf(
  api: ApiClient,
  job: string,
  options: Omit<AttachOptions, "watch" | "onEvent">,
): Promise<RunResult> {
  const view = await api.job(job);
  checkWishes(view, options.output, options.collect);
  if (view.state !== "SUCCEEDED") {
    throw new SheafError("NOT_FOUND", `job ${job} has no results: it is ${view.state}`, {
      hint: view.endTime === null ? `Wait for it: sheaf attach ${job}` : `See why: sheaf show ${job}`,
    });
  }
  const relay = new EventRelay(systemClock, undefined);
  const { output, collect, signal } = options;
  const wishes = { fetch: output, output: output?.path ?? view.output, collect, signal };
  return finishClusterRun(await settleJob(api, job, "finished", relay, wishes), relay);
}

/** @throws SheafError USAGE */
function checkWishes(view: JobView, output: LocalOutput | null, collect: boolean): void {
  if (view.output === null || (output === null && !collect)) return;
  throw new SheafError("USAGE", `the results of ${view.job} are not kept by the coordinator`, {
    hint: `They are in ${view.output}.`,
  });
}
