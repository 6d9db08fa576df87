import { setTimeout as sleep } from "node:timers/promises";

const deadlineMs = 60_000;

/** What `probe` gives as soon as it gives something. Fails, naming what was waited for, after a minute. */
export async function waitFor<T>(
  what: string,
  probe: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const endMs = performance.now() + deadlineMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    if (performance.now() > endMs) throw new Error(`waited in vain for ${what}`);
    await sleep(5);
  }
}

/** Resolves when the condition holds. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  await waitFor(what, async () => ((await holds()) ? true : undefined));
}
