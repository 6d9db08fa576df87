import { SheafError } from "../base/errors.ts";
import type { Key } from "../job/key.ts";
import { emptyStats } from "../task/task-spec.ts";
import type { RunEventBody } from "./events.ts";
import { sampledBy } from "./progress.ts";
import type { MadeRecords, RunFailure, RunResult } from "./run-result.ts";

/** The result of a run of which only this is known: there was nothing else, and no records are kept. */
export function resultOf(
  known: Pick<RunResult, "status" | "jobId" | "name"> & Partial<RunResult>,
): RunResult {
  const { error = null } = known;
  return {
    directory: null,
    output: null,
    counters: {},
    stats: { ...emptyStats },
    phases: [],
    mapTasks: 0,
    reduceTasks: 0,
    workers: 0,
    parts: [],
    hotKeys: [],
    skew: [],
    badRecords: 0,
    emptyFiles: null,
    sample: 1,
    sameAs: null,
    estimates: [],
    made: null,
    materialized: null,
    incremental: null,
    forecast: null,
    failedAttempts: [],
    failedTasks: [],
    steps: [],
    error,
    records: (collection) => readRecords({ collected: null, collections: [] }, collection),
    throwIfFailed: () => {
      if (error !== null) throw error;
    },
    dispose: () => Promise.resolve(),
    ...known,
  };
}

/** Results that were kept for `records()`. */
export interface CommittedRecords {
  /** In (partition, roll) order; null: not kept, or disposed of. */
  readonly collected: readonly { readonly collection: string; readonly path: string }[] | null;
  /** Names of all collections. */
  readonly collections: readonly string[];
}

/**
 * RunResult.records().
 * @throws SheafError USAGE when they were not kept, or it is not clear of which collection
 */
export async function* readRecords(
  { collected, collections }: CommittedRecords,
  collection: string | undefined,
): AsyncGenerator<[Key, unknown]> {
  if (collected === null) {
    throw new SheafError("USAGE", "result.records(): the results were not kept, or have been disposed of", {
      hint: "Run with { collect: true }, and read them before dispose().",
    });
  }
  const name = collection ?? collections[0] ?? "";
  if (!collections.includes(name) || (collection === undefined && collections.length > 1)) {
    throw new SheafError("USAGE", `result.records(${collection ?? ""}): which collection?`, {
      hint: `The job has: ${collections.join(", ")}.`,
    });
  }
  const { readCollected } = await import("../task/collected.ts");
  for (const one of collected) if (one.collection === name) yield* readCollected(one.path);
}

/** The last event of a run, which says what its result says. */
export function finishedEvent(result: RunResult): RunEventBody {
  const { jobId, status, output, parts, counters, stats, badRecords, emptyFiles, error } = result;
  const { sample, sameAs, estimates, made, incremental } = result;
  return {
    kind: "job-finished",
    jobId,
    status,
    output: status === "SUCCEEDED" ? output : null,
    parts,
    counters,
    stats,
    badRecords,
    emptyFiles,
    ...(sameAs !== null && { sameAs }),
    ...sampledBy(sample, estimates),
    ...(made !== null && { made: shortMade(made) }),
    ...(incremental === null ? {} : { incremental }),
    error: error === null ? null : eventError(error),
  };
}

/** Nobody would read the numbers of more tasks. */
export const madeTasksMax = 10_000;

/** As events have it. */
function shortMade({ tasks, ...made }: MadeRecords): Omit<MadeRecords, "tasks"> & Partial<MadeRecords> {
  return tasks.length > madeTasksMax ? made : { ...made, tasks };
}

/** A failure as plain data. */
function eventError(error: RunFailure) {
  const { code, message, task, attempt, report } = error;
  return { code, message, hint: error.hint ?? null, task, attempt, report };
}
