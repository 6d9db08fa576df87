import { mkdirSync, rmSync } from "node:fs";
import { hostname, tmpdir, userInfo } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { systemClock } from "../base/clock.ts";
import type { LoadedJob } from "../client/load-outline.ts";
import { JobDirectory, makeJobId, newRecord, openState } from "../engine/job-directory.ts";
import type { KeptJob } from "../engine/job-history.ts";
import type { JobRunOptions, RunOptions } from "../engine/options.ts";
import type { ResolvedOptions } from "../engine/resolve-options.ts";
import type { Runner } from "../runners/runners.ts";
import { checkOutput } from "../storage/atomic-output.ts";
import { linkOrCopy } from "../storage/link-or-copy.ts";
import { makeTempDirectory } from "../storage/temp-directory.ts";
import type { PipelineWishes } from "./detect.ts";
import type { PipelineBegun, PipelineState } from "./state.ts";

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

/** Makes the places of a run, or takes over those of an earlier one. */
export async function openPipelineRun(
  { file, options, wishes }: Asked,
  resolved: ResolvedOptions,
  earlier: Earlier | undefined,
  { code, warn }: { readonly code: string; readonly warn: (message: string) => void },
): Promise<Opened> {
  const { output, overwrite, inputs } = resolved;
  const commit = earlier?.state.commit ?? { kind: "none" };
  const isOurs = commit.kind !== "none" && commit.output === output;
  if (output !== null && !isOurs) {
    await checkOutput(output, { overwrite, keep: [file, ...inputs] });
  }
  const state = openState(resolved.stateDirectory, warn);
  const name = options.name ?? basename(file).replace(/\.\w+$/, "");
  const id = earlier?.state.begun!.id ?? makeJobId(name, systemClock.wallMs(), Math.random);
  const isTemporary = state === null;
  const place =
    earlier?.job.directory ?? (isTemporary ? await makeTempDirectory(tmpdir()) : join(state, "jobs", id));
  const isBeside = output !== null && wishes.passing !== true;
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
    options: keptOptions(options, resolved, earlier),
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
  mkdirSync(work, { recursive: true, mode: options.on?.includes("://") === true ? 0o755 : 0o700 });
  return { begun, directory, place, isTemporary };
}

/** Options of a run as plain data, paths absolute: what another process needs to go on. */
function keptOptions(options: RunOptions, resolved: ResolvedOptions, earlier: Earlier | undefined) {
  const { signal: _s, onEvent: _e, steps: _c, file: _f, ...rest } = options;
  const before = earlier?.state.begun?.options["inputs"];
  const own = resolved.inputs.map((text) => absoluteText(text));
  const inputs = own.length === 0 && Array.isArray(before) ? (before as string[]) : own;
  const paths = { inputs, ...(resolved.output === null ? {} : { output: resolved.output }) };
  return JSON.parse(JSON.stringify({ ...rest, ...paths })) as Record<string, unknown>;
}

function absoluteText(text: string): string {
  const [, prefix = "", path = text] = /^([A-Za-z][\w.-]*=)(.*)$/s.exec(text) ?? [];
  return /^(?:agent:|[a-z][a-z0-9+]*:\/\/)/.test(path) || path === "-" ? text : prefix + resolve(path);
}

function submitter(): string {
  try {
    return userInfo().username;
  } catch {
    return process.env["USER"] ?? "unknown";
  }
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
