import { isSheafError } from "../base/errors.ts";
import { followEvents } from "./follow-events.ts";
import type { ApiClient } from "./api-client.ts";
import type { EventRelay } from "./event-relay.ts";
import { pauseFor } from "../base/retry.ts";

/** How long a cancelled job is waited for, and its coordinator looked for, ms. */
const cancelWaitMs = 10_000;

export interface WatchOptions {
  /** The coordinator stops the job when it has not heard of this client for five of these; null: detached. */
  readonly heartbeatMs: number | null;
  /** Aborted: the job is cancelled when it is this client's (`heartbeatMs`), and left alone otherwise. */
  readonly signal: AbortSignal | undefined;
  /** The job's results are fetched by this client: its commit is yet to come. */
  readonly isFetched: boolean;
}

/**
 * Why watching ended. "cancelled": by `signal`, and the coordinator knows; "left": it does not, or need not.
 */
export type WatchEnd = "finished" | "cancelled" | "left";

/**
 * Passes a job's events on until it is over, and keeps telling the coordinator that its client lives. The
 * last event (job-finished) is not passed on: what it says is for the caller to say, when the results are
 * there.
 * @throws SheafError UNREACHABLE when the coordinator is gone for good, and what it answers
 */
export async function watchJob(
  api: ApiClient,
  job: string,
  relay: EventRelay,
  options: WatchOptions,
): Promise<WatchEnd> {
  const end = new AbortController();
  const cancel = whenAborted(options.signal, async () => {
    const told = options.heartbeatMs !== null && (await cancelJob(api, job, reasonOf(options.signal), relay));
    // When it knows, the job's last event is on its way; it is not waited for longer than this.
    setTimeout(() => end.abort(), told ? cancelWaitMs : 0).unref();
    return told;
  });
  if (options.heartbeatMs !== null) void beat(api, job, options.heartbeatMs, end.signal);
  try {
    const events = followEvents(api, job, {
      signal: end.signal,
      lost: (error) =>
        relay.emit({
          kind: "warning",
          message: `lost the coordinator, looking for it again: ${error.message}`,
        }),
      back: () => relay.emit({ kind: "warning", message: "the coordinator is back" }),
    });
    for await (const { event } of events) {
      if (event.kind === "job-finished") return "finished";
      // What the coordinator calls its commit is not yet that of results which are fetched.
      const isCommit = "phase" in event && event.phase === "commit";
      if (!(isCommit && options.isFetched)) relay.pass(event);
    }
    return "finished";
  } catch (error) {
    if (!end.signal.aborted) throw error;
    return (await cancel.result()) ? "cancelled" : "left";
  } finally {
    cancel.release();
    end.abort();
  }
}

/** Asks the coordinator to cancel the job. True when it has heard. */
async function cancelJob(api: ApiClient, job: string, reason: string, relay: EventRelay): Promise<boolean> {
  try {
    await api.kill(job, reason, { retryMs: cancelWaitMs });
    return true;
  } catch (error) {
    const why = isSheafError(error) ? error.message : String(error);
    relay.emit({
      kind: "warning",
      message: `the coordinator could not be told to stop ${job}, which ends without its client: ${why}`,
    });
    return false;
  }
}

async function beat(api: ApiClient, job: string, everyMs: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    // A lost beat is made up for by the next one; what is wrong with the job is told by its events.
    await api
      .clientBeat(job, { signal, retryMs: 0, timeoutMs: Math.max(2_000, everyMs) })
      .catch(() => undefined);
    await pauseFor(everyMs, signal).catch(() => undefined);
  }
}

function reasonOf(signal: AbortSignal | undefined): string {
  const reason: unknown = signal?.reason;
  return reason instanceof Error ? reason.message : "cancelled by its client";
}

/** Calls `work` once when the signal is aborted, or has been. `result`: what it resolved to, else false. */
function whenAborted(
  signal: AbortSignal | undefined,
  work: () => Promise<boolean>,
): { result(): Promise<boolean>; release(): void } {
  let done: Promise<boolean> = Promise.resolve(false);
  const start = (): void => {
    done = work();
  };
  if (signal?.aborted === true) start();
  else signal?.addEventListener("abort", start, { once: true });
  return { result: () => done, release: () => signal?.removeEventListener("abort", start) };
}
