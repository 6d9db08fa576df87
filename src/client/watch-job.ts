import type { Clock } from "../base/clock.ts";
import { systemClock } from "../base/clock.ts";
import { isSheafError, SheafError } from "../base/errors.ts";
import type { RetryWorld } from "../base/retry.ts";
import { pauseFor, pauseMs, pauseOrAbort } from "../base/retry.ts";
import type { PhaseTiming, RunEvent, RunEventBody, RunPhase } from "../engine/events.ts";
import type { FailedTask } from "../engine/run-result.ts";
import type { ApiClient, NumberedEvent } from "./api-client.ts";

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
  if (options.heartbeatMs !== null) beat(api, job, options.heartbeatMs, end.signal).catch(() => undefined);
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
    await pauseOrAbort(everyMs, signal);
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

export interface FollowOptions extends Partial<RetryWorld> {
  readonly signal?: AbortSignal;
  /** Number of the last event that is known. Default 0: from the beginning. */
  readonly after?: number;
  /** How long to look for a coordinator that is gone, ms. Default ten minutes. */
  readonly giveUpMs?: number;
  /** The connection is gone; it is tried again. Called once until it is back. */
  readonly lost?: (error: SheafError) => void;
  /** The connection is back, and no event was missed. */
  readonly back?: () => void;
}

/**
 * The events of a job to the last one (job-finished), over as many connections as it takes.
 * @throws SheafError what the coordinator answers (NOT_FOUND, UNAUTHORIZED ...); UNREACHABLE when it has been
 * gone for `giveUpMs`
 */
export async function* followEvents(
  api: ApiClient,
  job: string,
  options: FollowOptions = {},
): AsyncGenerator<NumberedEvent> {
  const { signal, clock = systemClock, random = Math.random, giveUpMs = 600_000 } = options;
  let after = options.after ?? 0;
  let gone: { readonly sinceMs: number; tries: number } | null = null;
  for (;;) {
    let error: SheafError;
    try {
      for await (const one of api.events(job, after, { ...(signal && { signal }), retryMs: 0 })) {
        if (gone !== null) options.back?.();
        gone = null;
        after = one.number;
        yield one;
        if (one.event.kind === "job-finished") return;
      }
      error = new SheafError("UNREACHABLE", `${api.url}: the connection was closed`, {
        hint: "The coordinator may be restarting.",
        retryable: true,
      });
    } catch (thrown) {
      if (!isSheafError(thrown) || !thrown.retryable) throw thrown;
      error = thrown;
    }
    if (gone === null) {
      gone = { sinceMs: clock.nowMs(), tries: 0 };
      options.lost?.(error);
    }
    gone.tries++;
    if (clock.nowMs() - gone.sinceMs > giveUpMs) throw error;
    await pauseFor(pauseMs(gone.tries, random), signal);
  }
}

/**
 * Brings the coordinator's events and this client's own into one row, as if the job ran here, and remembers
 * of them what the result of a run holds.
 */
export class EventRelay {
  readonly phases: PhaseTiming[] = [];
  readonly failedAttempts: FailedTask[] = [];
  /** Of the input, as it was planned; null: it is not known yet. */
  plannedBytes: number | null = null;
  readonly #clock: Clock;
  readonly #listener: ((event: RunEvent) => void) | undefined;
  readonly #startedMs: number;
  readonly #tasks = new Map<RunPhase, number>();
  /** Between the beginning of this run and that of the job at the coordinator. */
  #offsetMs = 0;
  #lastMs = 0;

  constructor(clock: Clock, listener: ((event: RunEvent) => void) | undefined) {
    this.#clock = clock;
    this.#listener = listener;
    this.#startedMs = clock.nowMs();
  }

  get elapsedMs(): number {
    return this.#clock.nowMs() - this.#startedMs;
  }

  /** The job begins at the coordinator, whose events count their time from here. */
  submitted(): void {
    this.#offsetMs = this.elapsedMs;
  }

  /** An event of the client's own. */
  emit(body: RunEventBody): void {
    this.#tell({ atMs: this.elapsedMs, ...body });
  }

  /** An event of the coordinator's. */
  pass(event: RunEvent): void {
    this.#tell({ ...event, atMs: event.atMs + this.#offsetMs });
  }

  /** Runs `work` as a phase without tasks. */
  async phase<T>(phase: RunPhase, work: () => Promise<T>): Promise<T> {
    const startedMs = this.#clock.nowMs();
    this.emit({ kind: "phase-started", phase, tasks: 0 });
    const result = await work();
    this.emit({ kind: "phase-finished", phase, elapsedMs: this.#clock.nowMs() - startedMs });
    return result;
  }

  #tell(event: RunEvent): void {
    switch (event.kind) {
      case "phase-started":
        this.#tasks.set(event.phase, event.tasks);
        break;
      case "phase-finished": {
        const { phase, elapsedMs } = event;
        this.phases.push({ phase, tasks: this.#tasks.get(phase) ?? 0, elapsedMs });
        break;
      }
      case "planned":
        this.plannedBytes = event.bytes;
        break;
      case "attempt-failed": {
        const { task, attempt, failure } = event;
        this.failedAttempts.push({ task, attempt, failure, capsule: null });
        break;
      }
      default:
      // The result is made of nothing else.
    }
    // Clocks of two machines: time does not go back.
    this.#lastMs = Math.max(this.#lastMs, Math.round(event.atMs * 1000) / 1000);
    this.#listener?.({ ...event, atMs: this.#lastMs });
  }
}
