import { systemClock } from "../base/clock.ts";
import { SheafError, isSheafError } from "../base/errors.ts";
import type { ApiClient, NumberedEvent } from "./api-client.ts";
import { pauseFor, pauseMs } from "../base/retry.ts";
import type { RetryWorld } from "../base/retry.ts";

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
