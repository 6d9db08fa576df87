import { mkdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { insideRoots } from "../security/inside-roots.ts";
import { jobSibling, putAsideBack } from "../storage/atomic-output.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { removeDirectory } from "../storage/remove-directory.ts";

/** Where a job's output on a path that all machines see is put together. */
export interface Staging {
  /** The output, its directory by its real path. */
  readonly output: string;
  readonly root: string;
  /** A directory in it for each attempt. */
  readonly attempts: string;
  /** What is renamed to the output. */
  readonly out: string;
  /** Where the output that is replaced waits. */
  readonly aside: string;
}

/** @throws SheafError FORBIDDEN when the output is outside the agent's roots */
export async function stagingOf(path: string, job: string, roots: readonly string[]): Promise<Staging> {
  // The directory it is in, not itself: a link in its place is something that exists, and refused as such.
  const parent = await insideRoots(dirname(resolve(path)), roots);
  const output = join(parent, basename(path));
  const root = jobSibling(output, job);
  return {
    output,
    root,
    attempts: join(root, "attempts"),
    out: join(root, "out"),
    aside: join(root, "replaced"),
  };
}

/** @throws SheafError OUTPUT_UNWRITABLE, DISK_FULL */
export async function makeStaging(staging: Staging): Promise<void> {
  try {
    await mkdir(staging.attempts, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw asSheafError(error, { path: staging.output, doing: "create", code: "OUTPUT_UNWRITABLE" });
  }
}

/** Removes it, and leaves the output as it was before the job. Never throws. */
export async function removeStaging(staging: Staging): Promise<void> {
  await putAsideBack(staging.aside, staging.output);
  await removeDirectory(staging.root);
}
