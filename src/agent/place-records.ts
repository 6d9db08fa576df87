import { lstat, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type CommitPlan, commitRecords } from "../engine/commit.ts";
import type { CommittedPart } from "../engine/events.ts";
import type { Placed } from "../storage/atomic-output.ts";
import type { TaskSuccess } from "../task/task-spec.ts";
import { removeStaging, type Staging } from "./staging.ts";

/** In the staging directory of records: the inode of the directory that is about to have its place. */
const noteName = "placed";
const nothing: Placed = { done: () => Promise.resolve(), undo: () => Promise.resolve() };

/** Gives records that maps were given their place; what was there before waits in the staging directory. */
export function placeRecords(
  records: Staging,
  about: Pick<CommitPlan, "name" | "code" | "overwrite" | "step">,
  results: readonly TaskSuccess[],
): Promise<CommittedPart[]> {
  const { out: staging, output, aside, root } = records;
  const beside = async (): Promise<Placed> => {
    await writeFile(join(root, noteName), await inodeOf(staging));
    return nothing;
  };
  return commitRecords({ ...about, staging, output, aside, beside, held: () => undefined }, { map: results });
}

/** Of a job that has failed: takes them back, and removes what is staged of them. Never throws. */
export async function discardRecords(records: Staging): Promise<void> {
  const { output, root } = records;
  const noted = await readFile(join(root, noteName), "utf8").catch(() => null);
  const there = await inodeOf(output).catch(() => null);
  // Whatever else is there by now is another's.
  if (noted !== null && noted === there)
    await rename(output, join(root, "taken-back")).catch(() => undefined);
  await removeStaging(records);
}

async function inodeOf(path: string): Promise<string> {
  return String((await lstat(path)).ino);
}
