import { setTimeout as sleep } from "node:timers/promises";

const deadlineMs = 60_000;

/**
 * How long not to look after so long a wait, ms: what comes soon is seen soon, and what takes its time is not
 * held up by those who ask for it.
 */
export function untilNextLook(waitedMs: number): number {
  return Math.min(5 + waitedMs / 20, 100);
}

/**
 * Lets time pass: the only place of the tests that does. For what nothing tells of, and for what is about
 * time itself; everything else is waited for with `waitFor` and `until`.
 */
export function pass(ms: number): Promise<void> {
  return sleep(ms);
}

/** What `probe` gives as soon as it gives something. Fails, naming what was waited for, after a minute. */
export async function waitFor<T>(
  what: string,
  probe: () => T | undefined | Promise<T | undefined>,
  within = deadlineMs,
): Promise<T> {
  const startMs = performance.now();
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    const waitedMs = performance.now() - startMs;
    if (waitedMs > within) throw new Error(`waited in vain for ${what}`);
    await pass(untilNextLook(waitedMs));
  }
}

/** Resolves when the condition holds. Fails as waitFor. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  within = deadlineMs,
): Promise<void> {
  await waitFor(what, async () => ((await holds()) ? true : undefined), within);
}
