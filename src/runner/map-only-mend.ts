import { readFileSync } from "node:fs";
import { join } from "node:path";
import { SheafError } from "../base/errors.ts";
import { changed, checkAsRead, filesOfSplit } from "../engine/chosen-records.ts";
import { nameParts } from "../engine/commit.ts";
import type { JobPlan } from "../engine/plan-job.ts";
import { whatChanged } from "../incremental/job-print.ts";
import type { JobPrint } from "../incremental/kept-state.ts";
import type { MapDone } from "../incremental/run-notes.ts";
import { statsToKeep } from "../incremental/run-notes.ts";
import type { Split } from "../task/split.ts";
import type { JobSettings, KeptMap, OutputPart, TaskSuccess } from "../task/task-spec.ts";

/*
 * A job whose collections are all map-only has files for each map. When it has set records aside, its
 * directory keeps which of them is whose: so that, after a fix, those maps alone run again, and the output is
 * made anew of what they make and of the other files.
 */

/** What is kept of each map of a run. Plain data. */
export interface MapOnlyRun {
  readonly print: JobPrint;
  readonly maps: readonly {
    readonly split: Split;
    /** null: it has set records aside. */
    readonly made: {
      /** Their paths are below the output. */
      readonly parts: readonly OutputPart[];
      readonly counters: TaskSuccess["counters"];
      readonly stats: KeptMap["stats"];
      readonly emptyFiles: KeptMap["emptyFiles"];
    } | null;
  }[];
}

const fileName = "maps.json";

/** What is to be kept; null: nothing was set aside, or not all maps have finished. */
export function mapOnlyRun(
  done: readonly MapDone[],
  about: { readonly print: JobPrint; readonly mapTasks: number; readonly collections: readonly string[] },
): MapOnlyRun | null {
  const { print, mapTasks, collections } = about;
  const isBad = ({ result }: MapDone): boolean => result.stats.badRecords > 0;
  if (done.length !== mapTasks || !done.some(isBad)) return null;
  const results = done.map(({ result }): TaskSuccess => ({ ...result, kind: "success", keys: [] }));
  const named = nameParts(results, collections, "output");
  const placed = new Map(named.map(({ source, part }) => [source, part.file]));
  const maps = done.map((one) => {
    const { split, result } = one;
    if (isBad(one)) return { split, made: null };
    const { counters, stats, adopted, emptyFiles = null } = result;
    const parts = result.parts
      .filter(({ kind }) => kind === "output")
      .map((part) => ({ ...part, path: placed.get(part.path)! }));
    return { split, made: { parts, counters, stats: adopted ?? statsToKeep(stats), emptyFiles } };
  });
  return { print, maps };
}

/** Keeps it in a job's directory. */
export function mapOnlyFile(run: MapOnlyRun): { readonly name: string; readonly text: string } {
  return { name: fileName, text: `${JSON.stringify(run)}\n` };
}

/** What a job's directory has kept of its maps; null: nothing. */
export function keptMapOnly(directory: string): MapOnlyRun | null {
  try {
    return JSON.parse(readFileSync(join(directory, fileName), "utf8")) as MapOnlyRun;
  } catch {
    return null;
  }
}

/**
 * The plan with the maps of that run, of which those that set nothing aside are taken over.
 * @param print of the job as it is now
 * @throws SheafError USAGE when its results would not be those of that run; INPUT_CHANGED naming a file
 */
export function withMapsOf(run: MapOnlyRun, plan: JobPlan, print: JobPrint): JobPlan {
  const why = whatChanged(run.print, print, true);
  if (why !== null) {
    throw new SheafError("USAGE", `bad records cannot be merged into the output: ${why}`, {
      hint: "Run the whole job again (--overwrite), or write them beside: sheaf bad retry -o DIR.",
    });
  }
  const now = new Map(plan.listed.flatMap((some, input) => some.map((one) => [`${input} ${one.path}`, one])));
  const read = run.maps.flatMap(({ split }) => filesOfSplit(split));
  for (const file of read)
    checkAsRead({ ...file, offsets: [] }, now.get(`${file.input} ${file.path}`) ?? null);
  const known = new Set(read.map(({ input, path }) => `${input} ${path}`));
  const other = [...now].find(([place]) => !known.has(place));
  if (other !== undefined) throw changed(other[1].path, "was not read by the job");
  const kept = new Map(
    run.maps.flatMap(({ made }, index) => (made === null ? [] : [[index, index] as const])),
  );
  return { ...plan, tasks: { ...plan.tasks, map: run.maps.map(({ split }) => split) }, kept };
}

/** What a map of that run has made, as its output has it. */
export function mapOf(
  { maps }: MapOnlyRun,
  index: number,
  output: string,
  { partitions, bounds }: Pick<JobSettings, "partitions" | "bounds">,
): KeptMap | undefined {
  const made = maps[index]?.made ?? null;
  if (made === null) return undefined;
  return {
    ...made,
    parts: made.parts.map((part) => ({ ...part, path: join(output, part.path) })),
    run: null,
    bad: null,
    partitions,
    bounds,
    partitionBytes: partitions.map((count) => Array.from({ length: count }, () => 0)),
    pairs: partitions.map(() => 0),
    hotKeys: [],
    namesMatter: true,
  };
}
