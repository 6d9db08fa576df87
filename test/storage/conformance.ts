import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { isSheafError } from "#src/base/errors.js";
import { seededRandom } from "#src/base/random.js";
import { readText } from "#src/storage/stored-output.js";
import { startCutProxy, startFaultProxy } from "#src/testing/fault-proxy.js";
import type { Checks, StoreBench, StoreSubject } from "#src/testing/store-bench.js";
import { checksOf } from "#src/testing/store-checks.js";
import { commitAll, sampleFiles, smallFiles } from "#src/testing/store-files.js";
import { assertIs, outputChecks } from "#src/testing/store-outputs.js";
import { faultChecks, readChecks } from "#src/testing/store-reads.js";
import { killWriters } from "./killed-writers.ts";

const random = seededRandom(20261129);

/**
 * The checks that sheaf/testing has for every storage, as tests; and those that take processes of this
 * repository.
 * @param start starts a server, or takes one that runs; called once
 * @param missing what there is not here, so that nothing can be tried; null: nothing
 */
export function conformance(
  name: string,
  start: () => Promise<StoreSubject>,
  missing: string | null = null,
): void {
  describe(`storage ${name}`, missing === null ? {} : { skip: missing }, () => {
    const all = { ...readChecks, ...faultChecks, ...outputChecks, ...killChecks };
    const { checks, close } = checksOf(start, all);
    after(close);
    for (const { title, run } of checks) {
      test(title, async (t) => {
        const why = await run();
        if (why !== null) t.skip(why);
      });
    }
  });
}

const killChecks: Checks = {
  "whoever is killed at any request leaves all or nothing, and the next one cleans": async (bench) => {
    const { store, subject, directory } = bench;
    if (store.output === undefined) return "it is not written";
    if (bench.port === null) return "there is no server";
    const points = await wholeWay(bench, "out/killed/");
    assert.ok(points > 3);
    const kills = Array.from({ length: KILLS }, (_, i) => ({
      name: `out/killed-${i}/`,
      point: 1 + random.below(points),
      isSmall: i % 3 > 0,
    }));
    // Every second one is to replace an output.
    for (const [i, { name, isSmall }] of kills.entries())
      if (i % 2 === 1)
        await commitAll(
          store,
          bench.at(name),
          `job-before-${i}`,
          isSmall ? smallFiles : sampleFiles,
          directory,
        );
    await killWriters(subject, directory, kills);
    for (const [i, { name, isSmall }] of kills.entries()) {
      const address = bench.at(name);
      // To whoever looks for _SUCCESS it is the earlier output, the new one (they are the same), or nothing;
      // or it is refused, where many steps make the commit.
      const there = await readText(store, `${address}_SUCCESS`).catch((error: unknown) => {
        if (isSheafError(error) && error.code === "INPUT_UNREADABLE") return null;
        throw error;
      });
      if (there !== null) await assertIs(store, address, isSmall ? smallFiles : sampleFiles);
      await commitAll(store, address, `job-after-${i}`, smallFiles, directory, true);
      await assertIs(store, address, smallFiles);
    }
    await bench.nothingLeft();
  },
};

/** Of one storage. */
const KILLS = 6;

/** Commits an output through a proxy. @returns how many requests, or bytes from the server, there were */
async function wholeWay(bench: StoreBench, name: string): Promise<number> {
  const { subject, store, directory } = bench;
  const proxy =
    subject.http === false ? await startCutProxy(bench.port!) : await startFaultProxy(bench.port!);
  const through = bench.through(proxy.port);
  await commitAll(through, bench.at(name, proxy.port), "job-whole", sampleFiles, directory);
  await assertIs(store, bench.at(name), sampleFiles);
  const points = "seen" in proxy ? proxy.seen.length : proxy.passed();
  await proxy.close();
  return points;
}
