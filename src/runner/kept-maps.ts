import { readFileSync } from "node:fs";
import { pauseFor } from "../base/retry.ts";
import { auxContents, filesPrint } from "../engine/aux-files.ts";
import { outsideFiles } from "../engine/job-files.ts";
import type { ResolvedOptions } from "../engine/resolve-options.ts";
import { surroundingsOf } from "../engine/surroundings.ts";
import type { IncrementalOptions, IncrementalRun } from "../incremental/incremental-run.ts";
import type { JobPrint } from "../incremental/kept-state.ts";
import { isStored } from "../storage/stores.ts";
import type { JobSettings } from "../task/task-spec.ts";
import type { MapOnlyRun } from "./map-only-mend.ts";
import type { DrivenRun, LoadedRun, PlannedRun } from "./run-stages.ts";

export type OwnSettings = Pick<JobSettings, "params" | "auxFiles" | "files">;

/** What results of a job's maps depend on besides the input. */
export async function printOf(
  { bundle, outline: { collections, programs } }: Pick<LoadedRun, "bundle" | "outline">,
  { params, auxFiles = {}, files = [] }: OwnSettings,
  { partBytes }: Pick<ResolvedOptions, "partBytes">,
): Promise<JobPrint> {
  const { printJob } = await import("../incremental/job-print.ts");
  const around = surroundingsOf(readFileSync(bundle!.portablePath, "utf8"));
  const aux = [...filesPrint(auxContents(auxFiles), files, await outsideFiles(programs)), ...around];
  return printJob({ code: bundle!.hash, partBytes, params, aux, collections });
}

/** What the run that made the output has kept. */
export async function openIncremental(
  loaded: LoadedRun,
  own: OwnSettings,
  resolved: ResolvedOptions,
  kind: Pick<IncrementalOptions, "mends" | "wallMs"> & {
    readonly copies: string;
    readonly signal: AbortSignal | undefined;
  },
): Promise<IncrementalRun> {
  const { IncrementalRun } = await import("../incremental/incremental-run.ts");
  const { signal, copies, ...more } = kind;
  const output = resolved.output!;
  return IncrementalRun.open({
    output,
    ...(isStored(output) && { copies }),
    job: await printOf(loaded, own, resolved),
    collections: loaded.outline.collections.length,
    keepBad: resolved.badBudget !== null,
    ...more,
    pause: (ms) => pauseFor(ms, signal),
    step: () => signal?.throwIfAborted(),
  });
}

/** How what an earlier run has made of a map is found. */
export async function keptBy(
  maps: MapOnlyRun | null,
  incremental: Pick<IncrementalRun, "keptOf"> | null,
  output: string | null,
  settings: JobSettings,
): Promise<PlannedRun["keptOf"]> {
  if (maps === null || output === null) return (unit) => incremental?.keptOf(unit);
  const { mapOf } = await import("./map-only-mend.ts");
  return (unit) => (unit === undefined ? undefined : mapOf(maps, unit, output, settings));
}

/** Of a job without reduce that has set records aside: its directory keeps which file is of which map. */
export async function keepMaps(
  loaded: LoadedRun,
  { plan, settings }: PlannedRun,
  resolved: ResolvedOptions,
  { outputs }: DrivenRun,
): Promise<void> {
  const { bundle, outline, directory, collections } = loaded;
  const { output, sample, incremental } = resolved;
  const isWhole = sample === 1 && settings.only === undefined;
  if (bundle === null || directory === null || output === null || incremental || !isWhole) return;
  if (!settings.keepBad || isStored(output) || "tasks" in outline.input) return;
  if (!outline.collections.every(({ mapOnly }) => mapOnly)) return;
  const done = outputs.map.map((result, task) => ({ split: plan.tasks.map[task]!, result }));
  if (!done.some(({ result }) => result.stats.badRecords > 0)) return;
  const { mapOnlyFile, mapOnlyRun } = await import("./map-only-mend.ts");
  const print = await printOf(loaded, settings, resolved);
  const kept = mapOnlyRun(done, { print, mapTasks: plan.tasks.map.length, collections });
  if (kept === null) return;
  const { name, text } = mapOnlyFile(kept);
  directory.keep(name, text);
}
