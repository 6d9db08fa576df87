import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "./clock.ts";
import { isSheafError } from "./errors.ts";

const firstPauseMs = 100;
const longestPauseMs = 5_000;

/** What retrying needs from outside. */
export interface RetryWorld {
  readonly clock: Clock;
  /** Uniform in [0, 1): spreads the retries of many clients. */
  readonly random: () => number;
}

/**
 * The pause before try number `tries` + 1: doubles from 100 ms to 5 s, of which a random half is taken off so
 * that those who lost the same server do not come back at the same moment.
 */
export function pauseMs(tries: number, random: () => number): number {
  const full = Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(tries - 1, 20));
  return full * (1 - random() / 2);
}

/** `details.retryAfterMs` of an error: for how long a server wants not to be asked again. */
export function askedToWaitMs(error: unknown): number {
  const asked = isSheafError(error) ? error.details["retryAfterMs"] : undefined;
  return typeof asked === "number" ? asked : 0;
}

/**
 * Calls `work` until it succeeds, fails with what will not pass, or `forMs` are over (0: one try). Then its
 * last error is thrown. An abort of `signal` ends a pause at once.
 */
export async function retrying<T>(
  world: RetryWorld,
  forMs: number,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const endMs = world.clock.nowMs() + forMs;
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      signal?.throwIfAborted();
      if (!isSheafError(error) || !error.retryable) throw error;
      const pause = Math.max(pauseMs(tries, world.random), askedToWaitMs(error));
      if (world.clock.nowMs() + pause > endMs) throw error;
      await pauseFor(pause, signal);
    }
  }
}

/** Resolves after the time; rejects with the signal's reason as soon as that is aborted. */
export async function pauseFor(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

/** Resolves after the time, or as soon as the signal is aborted. */
export function pauseOrAbort(ms: number, signal: AbortSignal): Promise<void> {
  return pauseFor(ms, signal).catch(() => undefined);
}

/**
 * The value of the promise; rejects with the reason of the signal as soon as that is aborted. The work itself
 * goes on.
 */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  // Nobody else may be waiting for it, and how it ends is then nobody's business.
  promise.catch(() => undefined);
  let stop!: () => void;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason as Error);
    signal.addEventListener("abort", stop);
  });
  try {
    signal.throwIfAborted();
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Resolves when the promise does, and no later than after the time; rejects as the promise does. */
export async function within(done: Promise<unknown>, ms: number): Promise<void> {
  const over = new AbortController();
  try {
    await Promise.race([done, pauseOrAbort(ms, over.signal)]);
  } finally {
    over.abort();
  }
}
