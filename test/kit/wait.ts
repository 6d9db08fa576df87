import { setTimeout as sleep } from "node:timers/promises";

const deadlineMs = 60_000;
const lookEveryMs = 5;

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
  const endMs = performance.now() + within;
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    if (performance.now() > endMs) throw new Error(`waited in vain for ${what}`);
    await pass(lookEveryMs);
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
