import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { planAux } from "../engine/aux-files.ts";
import { checkChosen } from "../engine/chosen-records.ts";
import { checkEstimates } from "../engine/estimates.ts";
import { checkIncremental, checkMends } from "../engine/explain.ts";
import { pathsByInput } from "../engine/inputs.ts";
import { copyJobFiles, findJobFiles } from "../engine/job-files.ts";
import { liveOf, liveSettings, looksOn } from "../engine/live.ts";
import type { HostedRunOptions, LocalRunOptions } from "../engine/options.ts";
import { paramsOf, partitionsOf } from "../engine/outline-options.ts";
import { type JobPlan, planJob } from "../engine/plan-job.ts";
import type { ResolvedOptions } from "../engine/resolve-options.ts";
import { programSplits } from "../plan/split-sizes.ts";
import { checkKept } from "../storage/atomic-output.ts";
import type { InputFile } from "../storage/list-input.ts";
import type { JobSettings } from "../task/task-spec.ts";
import type { WorkerPool } from "../worker/pool.ts";
import { keptBy, openIncremental, type OwnSettings, printOf } from "./kept-maps.ts";
import { liveSlot } from "./local-tasks.ts";
import type { RunKind } from "./run-kind.ts";
import type { LoadedRun, PlannedRun } from "./run-stages.ts";
import { spoolStdin, spoolStream } from "./spool-stdin.ts";
import type { WorkDirectory } from "./work-directory.ts";

/** What a run is planned from. */
export interface RunToPlan {
  readonly loaded: LoadedRun;
  /** The job file; null: a Job object. */
  readonly file: string | null;
  readonly options: LocalRunOptions | HostedRunOptions;
  readonly resolved: ResolvedOptions;
  readonly kind: RunKind;
  /** Makes the directory of what is written before the commit, once. */
  readonly makeWork: () => Promise<WorkDirectory>;
  /** Gets the settings of its tasks. */
  readonly pool: WorkerPool;
  readonly clock: Clock;
  readonly warn: (message: string) => void;
}

/**
 * Side data, files, standard input, what earlier runs have kept; then the splits, and what tasks are told.
 * @throws SheafError as planJob and planAux do; what the options do not allow of this job
 */
export async function planRun(run: RunToPlan): Promise<PlannedRun> {
  const { loaded, file, options, resolved, kind, makeWork, pool, clock, warn } = run;
  const { jobId, name, outline } = loaded;
  if (resolved.incremental) checkIncremental(outline, resolved);
  const { signal } = options;
  const asked = partitionsOf(options, outline);
  checkEstimates(outline, resolved);
  const params = paramsOf(options, outline);
  const found = findJobFiles(outline.files, file);
  const work = await makeWork();
  const share = resolved.isolation === "thread";
  const directory = (): Promise<string> => Promise.resolve(work.attempts);
  const aux = await planAux(outline.aux, file, { bytesMax: resolved.auxBytes, share, directory });
  const auxFiles = aux.copies;
  const files = await copyJobFiles(found, join(work.attempts, "files"), true);
  const { only, probe, elsewhere, mends = false, maps = null } = kind;
  const paths = pathsByInput(outline, resolved.inputs, only !== undefined);
  const stdin = paths.flat().includes("-") ? await spoolStdin(process.stdin, work.attempts, signal) : null;
  const inputs = paths.map((some) => some.map((path) => (path === "-" && stdin !== null ? stdin : path)));
  const { splitBytes, workers, mappers, growing, made } = resolved;
  let streams = 0;
  const spool = (one: InputFile): Promise<InputFile> =>
    spoolStream(one, join(work.attempts, `stream-${streams++}`), signal);
  const own = { params, auxFiles, files };
  const wallMs = (): number => clock.wallMs();
  const copies = join(work.attempts, "kept");
  const incremental = resolved.incremental
    ? await openIncremental(loaded, own, resolved, { mends, wallMs, signal, copies })
    : null;
  if (mends && incremental !== null) checkMends(incremental.full);
  const partitions = incremental?.partitionsOf(asked) ?? asked;
  const live = liveOf(outline, resolved);
  const whole = await planJob(outline, {
    inputs,
    splitBytes,
    workers,
    mappers,
    growing,
    partitions,
    ...(elsewhere !== undefined && { bounds: programSplits }),
    spool,
    made: made ?? undefined,
    ...(incremental !== null && { arrange: (all) => incremental.arrange(all) }),
  });
  const plan = await ofKind(kind, whole, loaded, own, resolved);
  for (const warning of plan.warnings) warn(warning);
  // Patterns and directories are known file by file only now.
  for (const output of [resolved.output, resolved.materialize])
    if (output !== null && resolved.overwrite) await checkKept(output, plan.paths);
  const settings: JobSettings = {
    jobId,
    name,
    memoryBytes: resolved.memoryBytes,
    partitions: plan.partitions,
    bounds: plan.partitions.map(() => null),
    sample: resolved.sample,
    ...(resolved.estimate && { estimate: true }),
    seed: outline.seed,
    params,
    keepBad: resolved.badBudget !== null,
    collect: resolved.collect,
    output: resolved.output === null && probe === undefined ? "none" : "write",
    partBytes: resolved.partBytes,
    ...(live !== null && { live: liveSettings(live) }),
    ...(resolved.materialize !== null && { materialize: true }),
    auxFiles,
    ...(files.length > 0 && { files }),
    ...(incremental !== null && { keepMaps: true }),
    ...(only !== undefined && { only }),
    ...(probe !== undefined && { probe: probe.limit }),
  };
  pool.settings(settings, share ? aux.shared : undefined);
  if (live !== null && looksOn(live)) pool.prewarm(liveSlot);
  const keptOf = await keptBy(maps, incremental, resolved.output, settings);
  return { plan, settings, work, live, incremental, keptOf };
}

/** What a run of this kind does of what is planned. */
async function ofKind(
  { only, maps, probe }: RunKind,
  whole: JobPlan,
  loaded: LoadedRun,
  own: OwnSettings,
  resolved: ResolvedOptions,
): Promise<JobPlan> {
  if (only !== undefined) checkChosen(whole.listed, only);
  if (maps !== undefined) {
    const { withMapsOf } = await import("./map-only-mend.ts");
    return withMapsOf(maps, whole, await printOf(loaded, own, resolved));
  }
  return probe === undefined ? whole : { ...whole, tasks: probe.choose(whole, loaded.outline) };
}
