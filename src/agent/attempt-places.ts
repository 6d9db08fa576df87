import { randomUUID } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { SheafError } from "../base/errors.ts";
import { type AttemptRef, formatAttempt } from "../scheduler/ids.ts";
import { asSheafError, errnoOf } from "../storage/fs-error.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import { splitAddress } from "../storage/store.ts";
import type { NodeJob } from "./node-jobs.ts";
import { stagingOf } from "./staging.ts";

/** Where an attempt writes, as a TaskSpec has it. */
export interface AttemptPlaces {
  readonly directory: string;
  readonly outputDirectory?: string;
}

/**
 * Makes an attempt's own directory on this machine, and the one beside a shared output.
 * @param made gets the path of each, that on this machine first, also when a later one cannot be made
 */
export async function makePlaces(
  job: NodeJob,
  ref: AttemptRef,
  roots: readonly string[],
  made: string[],
): Promise<AttemptPlaces> {
  const name = formatAttempt(ref);
  const directory = join(job.directory, "attempts", name);
  made.push(directory);
  await emptied(directory);
  const { output, settings } = job.preparation;
  if (output.kind !== "shared" || ref.phase === "sample") return { directory };
  if (splitAddress(output.path) !== null) {
    // What goes to a storage is written here first, and what is kept of a map apart from what is fetched.
    if (settings["keepMaps"] !== true || ref.phase !== "map") return { directory };
    const beside = join(directory, "beside");
    made.push(beside);
    await emptied(beside);
    return { directory, outputDirectory: beside };
  }
  const staging = await stagingOf(output.path, ref.job, roots);
  let outputDirectory = join(staging.attempts, name);
  try {
    // Not its parents: they are there since the job was planned, wherever the path is really shared.
    await mkdir(outputDirectory, { mode: 0o700 }).catch((error: unknown) => {
      if (errnoOf(error) !== "EEXIST") throw error;
      // Of an attempt that a coordinator whose state was damaged has forgotten: it may write there still.
      // It goes with the staging directory.
      outputDirectory = join(staging.attempts, `${name}-${randomUUID()}`);
      return mkdir(outputDirectory, { mode: 0o700 });
    });
    made.push(outputDirectory);
    return { directory, outputDirectory };
  } catch (error) {
    const known = asSheafError(error, { path: outputDirectory, doing: "create" });
    throw new SheafError(known.code, known.message, {
      hint: `Is ${dirname(output.path)} the same directory on all machines? ${known.hint ?? ""}`.trim(),
      retryable: true,
      cause: error,
    });
  }
}

/** Makes the directory anew. */
export async function emptied(directory: string): Promise<void> {
  try {
    await removeDirectory(directory);
    await mkdir(directory, { mode: 0o700 });
  } catch (error) {
    throw asSheafError(error, { path: directory, doing: "create" });
  }
}
