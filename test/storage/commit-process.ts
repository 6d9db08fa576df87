import { systemClock } from "#src/base/clock.js";
import type { StoreModule } from "#src/storage/store.js";
import { commitAll, sampleFiles, smallFiles } from "#src/testing/store-files.js";
import type { DoomedCommit } from "./killed-writers.ts";

/**
 * A process that commits outputs, all at once, to be killed while it does: DIRECTORY COMMITS. Says of each
 * how it ended, and waits for its own end.
 */
const [directory = "", given = ""] = process.argv.slice(2);
const world = { clock: systemClock, random: Math.random };

async function commit({ scheme, env, address, job, isSmall }: DoomedCommit): Promise<void> {
  const { createStore } = (await import(`#src/storage/stores/${scheme}.js`)) as StoreModule;
  const store = createStore(scheme, { env: { ...process.env, ...env }, fetch: null, world });
  await commitAll(store, address, job, isSmall ? smallFiles : sampleFiles, directory, true);
}

for (const [i, doomed] of (JSON.parse(given) as DoomedCommit[]).entries()) {
  commit(doomed).then(
    () => console.log(`${i} done`),
    (error: unknown) => console.log(`${i} ${String(error)}`),
  );
}
setInterval(() => undefined, 1_000_000);
