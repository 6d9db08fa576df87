import { relative, resolve, sep } from "node:path";
import { SheafError } from "../base/errors.ts";
import { commitOutput, type CommitPlan, expectRefused } from "../engine/commit.ts";
import type { CommittedPart } from "../engine/events.ts";
import type { Errand, ErrandResult } from "../protocol/agent-messages.ts";
import { insideRoots } from "../security/inside-roots.ts";
import type { Placed } from "../storage/atomic-output.ts";
import { removeDirectory } from "../storage/remove-directory.ts";
import { splitAddress } from "../storage/store.ts";
import { commitStaged } from "../storage/upload-output.ts";
import type { TaskFailure, TaskSuccess } from "../task/task-spec.ts";
import { keptParts, notesBeside, notesStored } from "./kept-maps.ts";
import { placeRecords } from "./place-records.ts";
import { type Staging, stagingOf } from "./staging.ts";

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
  if (splitAddress(output.path) !== null) return commitStored(errand, output, results, { roots, step });
  const staging = await stagingOf(output.path, errand.job, roots);
  for (const result of results) checkPlaces(result, staging);
  const { name, code, collections, counters } = errand;
  const { overwrite } = output;
  const { out, aside } = staging;
  const place = { staging: out, output: staging.output, aside };
  // A dataset of its own, which has its place just before the output has.
  const records =
    errand.materialize === undefined ? null : await stagingOf(errand.materialize, errand.job, roots);
  let materialized = null as CommittedPart[] | null;
  const beside = async (): Promise<Placed> => {
    materialized = await placeRecords(records!, { name, code, overwrite, step }, results);
    // Another agent may do the same: where the job fails, whoever discards it takes the records back.
    return { done: () => removeDirectory(records!.root), undo: () => Promise.resolve() };
  };
  const kept =
    errand.incremental === undefined ? null : await keptParts(errand, notesBeside(staging), step, staging);
  // Which phase a result is of does not matter here: parts are ordered by what they are.
  const outputs = { sample: [], map: [], reduce: results, counters };
  const common = { name, code, collections, ...place, overwrite, step };
  const plan = records === null ? common : { ...common, beside };
  const parts = await commitOutput(
    kept === null ? plan : { ...plan, state: kept.state, check: kept.check },
    outputs,
  );
  await removeDirectory(staging.root);
  const incremental = kept?.report() ?? null;
  const dataset = materialized === null ? {} : { materialized };
  return { kind: "committed", parts: [...parts], ...dataset, ...(incremental !== null && { incremental }) };
}

/** Of results that attempts have staged in the storage. */
async function commitStored(
  errand: CommitErrand,
  { path, overwrite }: { readonly path: string; readonly overwrite: boolean },
  results: readonly TaskSuccess[],
  { roots, step }: { readonly roots: readonly string[]; readonly step: () => void },
): Promise<Committed> {
  const { job, name, code, collections, counters, incremental } = errand;
  const output = await insideRoots(path, roots);
  const kept =
    incremental === undefined
      ? null
      : await moving(step, keptParts(errand, await notesStored(output, job), step, null));
  const place: CommitPlan["place"] = (files, success, state) =>
    commitStaged([...files, ...state], success, { output, job, overwrite, step });
  const plan = { name, code, job, collections, output, overwrite, staging: "", place, step };
  const outputs = { sample: [], map: [], reduce: results, counters };
  const all = commitOutput(kept === null ? plan : { ...plan, state: kept.state, check: kept.check }, outputs);
  const parts = await moving(step, all);
  const report = kept?.report() ?? null;
  return { kind: "committed", parts: [...parts], ...(report !== null && { incremental: report }) };
}

const movingMs = 1_000;

/** Work that takes long, and does not tell how it moves on, within time limits of its own. */
export async function moving<T>(step: () => void, work: Promise<T>): Promise<T> {
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
