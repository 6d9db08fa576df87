import { tmpdir } from "node:os";
import { join } from "node:path";
import { isSheafError } from "../base/errors.ts";
import { bundleJob } from "../bundle/bundle-job.ts";
import type { BundledJob } from "../bundle/bundle-job.ts";
import { asSheafError, errnoOf } from "../storage/fs-error.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import { makeTempDirectory } from "../storage/temp-directory.ts";

/** The code of a job while a run needs it. */
export interface RunBundle {
  readonly bundle: BundledJob;
  /** Removes what was only made for this run. */
  dispose(): Promise<void>;
}

/**
 * Bundles a job file. Bundles are kept with the history; without one (`stateDirectory` null), or where that
 * cannot be written, the bundle is made for this run only.
 * @throws SheafError as bundleJob; DISK_FULL and the like
 */
export async function bundleForRun(
  file: string,
  stateDirectory: string | null,
  external: readonly string[],
): Promise<RunBundle> {
  if (stateDirectory !== null) {
    try {
      const bundle = await bundleJob(file, { outDirectory: join(stateDirectory, "bundles"), external });
      return { bundle, dispose: () => Promise.resolve() };
    } catch (error) {
      // A state directory that cannot be written is no reason not to run.
      if (isSheafError(error) || errnoOf(error) === undefined) throw error;
    }
  }
  const outDirectory = await makeTempDirectory(tmpdir());
  const dispose = (): Promise<void> => removeDirectory(outDirectory);
  try {
    return { bundle: await bundleJob(file, { outDirectory, cache: false, external }), dispose };
  } catch (error) {
    await dispose();
    if (errnoOf(error) === undefined) throw error;
    throw asSheafError(error, { path: outDirectory, doing: "write" });
  }
}
