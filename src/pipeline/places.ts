import { mkdirSync, rmSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { fromWireValue, paramsToWire } from "../base/wire-json.ts";
import type { LoadedJob } from "../client/load-outline.ts";
import { JobDirectory, makeJobId, newRecord, openState, submitter } from "../engine/job-directory.ts";
import type { KeptJob } from "../engine/job-history.ts";
import type { JobRunOptions, RunOptions } from "../engine/options.ts";
import type { ResolvedOptions } from "../engine/resolve-options.ts";
import type { Runner } from "../runners/runners.ts";
import { checkOutput } from "../storage/atomic-output.ts";
import { linkOrCopy } from "../storage/link-or-copy.ts";
import { isStored } from "../storage/stores.ts";
import { makeTempDirectory } from "../storage/temp-directory.ts";
import type { StepOutline } from "../worker/messages.ts";
import type { PipelineWishes } from "./detect.ts";
import { emptyState, type PipelineBegun, type PipelineState } from "./state.ts";
import { absoluteText } from "./step-inputs.ts";
import { isCommittedBy } from "./step-output.ts";
import { isOnCluster } from "./step-runner.ts";

/** A run that is asked for. */
export interface Asked {
  readonly file: string;
  readonly options: RunOptions;
  readonly runner: Runner<JobRunOptions>;
  readonly wishes: PipelineWishes;
}

/** An earlier run that is gone on from. */
export interface Earlier {
  readonly job: KeptJob;
  readonly state: PipelineState;
  readonly journalBytes: number;
}

/** Where a run of a pipeline has its things. */
export interface Opened {
  readonly begun: PipelineBegun;
  readonly directory: JobDirectory | null;
  /** The job directory; without a history one for this run. */
  readonly place: string;
  /** It is only for this run. */
  readonly isTemporary: boolean;
}

interface Opening {
  readonly code: string;
  readonly earlier: Earlier | undefined;
  /** What keptOptions made. */
  readonly kept: KeptOptions;
  readonly warn: (message: string) => void;
}

/** Makes the places of a run, or takes over those of an earlier one. */
export async function openPipelineRun(
  { file, options, wishes }: Asked,
  resolved: ResolvedOptions,
  { code, earlier, kept, warn }: Opening,
): Promise<Opened> {
  const { output, overwrite, inputs } = resolved;
  const { commit, committedTo } = earlier?.state ?? emptyState;
  // A commit that has begun is carried out, and looks itself at what is there.
  const isBegun = commit.kind === "begun" && commit.output === output;
  if (output !== null && !isBegun) {
    const isOurs = await isCommittedBy(committedTo, output);
    await checkOutput(output, { overwrite: overwrite || isOurs, keep: [file, ...inputs] });
  }
  const state = openState(resolved.stateDirectory, warn);
  const name = options.name ?? basename(file).replace(/\.\w+$/, "");
  const id = earlier?.state.begun!.id ?? makeJobId(name, systemClock.wallMs(), Math.random);
  const isTemporary = state === null;
  const place =
    earlier?.job.directory ?? (isTemporary ? await makeTempDirectory(tmpdir()) : join(state, "jobs", id));
  const isBeside = output !== null && !isStored(output) && wishes.passing !== true;
  const work =
    earlier?.state.begun!.work ??
    (isBeside ? join(dirname(output), `.${basename(output)}.sheaf-pipeline-${id}`) : join(place, "data"));
  const begun: PipelineBegun = {
    kind: "begun",
    version: 1,
    id,
    name,
    file,
    work,
    output: wishes.passing === true ? null : output,
    options: kept,
  };
  const record = newRecord({
    jobId: id,
    name,
    submitter: submitter(),
    host: hostname(),
    file,
    code,
    inputs,
    output: begun.output,
    startTime: earlier?.job.record.startTime ?? new Date(systemClock.wallMs()).toISOString(),
    currentPhase: "steps",
    settings: begun.options,
  });
  const directory = isTemporary
    ? null
    : new JobDirectory(state, { ...record, steps: [], ...(isBeside || earlier ? { work } : {}) }, warn);
  // Agents, too, may read what lies between steps.
  mkdirSync(work, { recursive: true, mode: isOnCluster(options) ? 0o755 : 0o700 });
  return { begun, directory, place, isTemporary };
}

/** Options of a run as plain data, paths absolute: what another process needs to go on. */
export interface KeptOptions {
  readonly inputs: readonly string[];
  readonly [name: string]: unknown;
}

/** @throws SheafError USAGE for params that would not come back as they are */
export function keptOptions(
  { options, wishes }: Pick<Asked, "options" | "wishes">,
  { inputs, output }: ResolvedOptions,
  earlier: Earlier | undefined,
  steps: readonly StepOutline[],
): KeptOptions {
  const { signal: _s, onEvent: _e, steps: _c, file: _f, output: _o, params, ...rest } = options;
  const own = inputs.map((text) => absoluteText(steps, text, process.cwd()));
  const before = earlier?.state.begun!.options.inputs ?? [];
  const kept = {
    ...rest,
    ...(params === undefined ? {} : { params: paramsToWire(params) }),
    // A directory that is removed when it has been printed is nowhere to go on to.
    ...(wishes.passing === true || output === null ? {} : { output }),
    inputs: own.length === 0 ? before : own,
  };
  return JSON.parse(JSON.stringify(kept)) as KeptOptions;
}

/** The options that an earlier run was told. */
export function optionsKept({ options }: PipelineBegun): RunOptions {
  const { params, ...rest } = options;
  return { ...rest, ...(params === undefined ? {} : { params: fromWireValue(params) }) } as RunOptions;
}

/** The code that runs stays what it is, whatever becomes of its file meanwhile. */
export function keepBundle({ bundle }: LoadedJob, directory: string): LoadedJob["bundle"] {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const paths = { path: "job.mjs", portablePath: "portable.mjs", mapPath: "job.mjs.map" } as const;
  const kept = Object.entries(paths).map(([field, name]) => {
    const target = join(directory, name);
    linkOrCopy(bundle[field as keyof typeof paths], target);
    return [field, target] as const;
  });
  return { ...bundle, ...Object.fromEntries(kept) };
}
