import { mkdir } from "node:fs/promises";
import { basename, dirname, join, resolve, relative, sep } from "node:path";
import { SheafError } from "../base/errors.ts";
import { commitOutput, expectRefused } from "../engine/commit.ts";
import type { Errand, ErrandResult } from "../protocol/agent-messages.ts";
import { insideRoots } from "../security/inside-roots.ts";
import { jobSibling, putAsideBack } from "../storage/atomic-output.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import type { TaskFailure, TaskSuccess } from "../task/task-spec.ts";

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

export type CommitErrand = Extract<Errand, { kind: "commit" }>;
type Committed = Omit<Extract<ErrandResult, { kind: "committed" }>, "agent" | "incarnation">;

/** The job's expect gate, as WorkerPool.expect. */
type Gate = (counters: Readonly<Record<string, number>>) => Promise<TaskFailure | string | null>;

/**
 * Asks the job's gate, then makes its output final. Can be done again, here or by another agent, wherever an
 * earlier try was cut off.
 * @param step called before everything that changes a file; what it throws ends the errand
 * @throws SheafError EXPECT_FAILED when the gate refuses; as commitOutput; FORBIDDEN outside the roots
 */
export async function commitErrand(
  errand: CommitErrand,
  ask: Gate,
  roots: readonly string[],
  step: () => void,
): Promise<Committed> {
  const refusal = errand.expect === null ? null : await moving(step, ask(errand.expect));
  if (refusal !== null) throw expectRefused(refusal);
  const { output, results } = errand;
  if (output.kind !== "shared" || results === null) return { kind: "committed", parts: [] };
  step();
  const staging = await stagingOf(output.path, errand.job, roots);
  for (const result of results) checkPlaces(result, staging);
  const { name, code, collections, counters } = errand;
  const { overwrite } = output;
  const { out, aside } = staging;
  const plan = { name, code, collections, staging: out, output: staging.output, overwrite, aside, step };
  // Which phase a result is of does not matter here: parts are ordered by what they are.
  const parts = await commitOutput(plan, { sample: [], map: [], reduce: results, counters });
  await removeDirectory(staging.root);
  return { kind: "committed", parts: [...parts] };
}

const movingMs = 1_000;

/** Code is fetched, and user code run, within time limits of their own. */
async function moving<T>(step: () => void, work: Promise<T>): Promise<T> {
  const timer = setInterval(() => {
    try {
      step();
    } catch {
      // The next step ends the errand.
    }
  }, movingMs);
  return work.finally(() => clearInterval(timer));
}

/** Workers say where their parts are: nothing but what this job's attempts wrote is ever moved. */
function checkPlaces(result: TaskSuccess, staging: Staging): void {
  const places = result.parts.map(({ path }) => path);
  for (const path of result.badPath === null ? places : [...places, result.badPath]) {
    const inside = relative(staging.attempts, resolve(path));
    if (inside !== "" && inside !== ".." && !inside.startsWith(`..${sep}`) && !inside.startsWith(sep))
      continue;
    throw new SheafError("FORBIDDEN", `${path} is no file of an attempt of this job`, {
      hint: `Attempts write below ${staging.attempts}.`,
    });
  }
}
