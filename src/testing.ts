// The testing kit: import { testJob, storeChecks } from "sheaf/testing".
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { settings } from "./base/limits.ts";
import { planAux } from "./engine/aux-files.ts";
import type { Job } from "./job/job-plan.ts";
import { removeDirectory } from "./storage/remove-directory.ts";
import { makeTempDirectory } from "./storage/temp-directory.ts";
import { AuxData, auxFiles } from "./task/aux.ts";
import { testOnRecords, type TestInput, type TestJobOptions, type TestResult } from "./testing/test-job.ts";

export type { TestInput, TestJobOptions, TestResult } from "./testing/test-job.ts";
export type { StoreSubject } from "./testing/store-bench.ts";
export type { StoreCheck, StoreChecks } from "./testing/store-checks.ts";
export { storeChecks } from "./testing/store-checks.ts";

/**
 * Runs a job on records in memory, again and again, with other splits, partitions, places to combine and
 * orders of merging each time, and compares with running it in one piece: a job that passes gives the same
 * result on any number of workers and machines. No files are read, but those of side data that is not given,
 * nor written, and `expect` is not asked.
 *
 * @param input the records; may be left out for a job whose input generates them: of a source that ends by
 * time, or by a condition, 1,000 of each task are taken
 * @returns the results, for assertions of your own
 * @throws AssertionError naming the key and what its result depends on, with the seed that shows it
 * @throws SheafError for errors of the job itself: USER_CODE with the record or key, KEY_INVALID ...
 */
export async function testJob(
  job: Job,
  input?: TestInput,
  options: TestJobOptions = {},
): Promise<TestResult> {
  const given = options.aux ?? {};
  const own = Object.entries(job.aux).filter(([name]) => !Object.hasOwn(given, name));
  const aux = Object.fromEntries(own);
  const file = options.file instanceof URL ? fileURLToPath(options.file) : (options.file ?? null);
  let directory: Promise<string> | null = null;
  const fetched = (): Promise<string> => (directory ??= makeTempDirectory(tmpdir()));
  try {
    const place = { bytesMax: settings.auxBytes.default, share: false, directory: fetched };
    const { copies } = await planAux(auxFiles(aux), file, place);
    const loaded = await new AuxData().load(aux, copies);
    return await testOnRecords(job, input, { ...options, aux: { ...given, ...loaded } });
  } finally {
    if (directory !== null) await removeDirectory(await directory);
  }
}
