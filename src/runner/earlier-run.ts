import { readFileSync } from "node:fs";
import { SheafError } from "../base/errors.ts";
import { pauseFor } from "../base/retry.ts";
import { auxContents, filesPrint } from "../engine/aux-files.ts";
import type { SuccessManifest } from "../engine/commit.ts";
import { committedAt } from "../engine/committed-output.ts";
import { outsideFiles } from "../engine/job-files.ts";
import { listJobs } from "../engine/job-history.ts";
import { byName, checkWholeCode, identifiedMax, onceKey } from "../engine/once.ts";
import type { LocalRunOptions } from "../engine/options.ts";
import type { ResolvedOptions } from "../engine/resolve-options.ts";
import { surroundingsOf } from "../engine/surroundings.ts";
import { filesIdentity } from "../storage/file-identity.ts";
import type { LoadedRun, PlannedRun } from "./run-stages.ts";

/** A run that has made the output that another one was asked for. */
export interface EarlierRun {
  readonly jobId: string;
  readonly manifest: SuccessManifest;
}

/** @throws SheafError USAGE where `once` makes no sense */
export function checkOnce(
  { once, inputs }: Omit<LocalRunOptions, "on">,
  { output, collect, external, materialize }: ResolvedOptions,
  bundle: LoadedRun["bundle"],
): void {
  if (once !== true) return;
  const why =
    output === null
      ? "needs an output directory: what is printed is not kept"
      : collect
        ? "does not go with results that are collected: those of an earlier run are not kept"
        : [inputs].flat().includes("-")
          ? "does not go with standard input, which comes once"
          : materialize !== null
            ? "does not go with materialize: an earlier run has kept no records"
            : null;
  if (why !== null) {
    throw new SheafError("USAGE", `once ${why}`, { hint: "Give -o DIR and files, or leave --once out." });
  }
  checkWholeCode("once", bundle, external);
}

/**
 * The onceKey of a run; null when it cannot be told, or nothing keeps it. It may wait for the clock of the
 * file system.
 */
export async function keyOf(
  options: Omit<LocalRunOptions, "on">,
  resolved: ResolvedOptions,
  { bundle, name, directory, outline }: LoadedRun,
  { plan, settings }: PlannedRun,
  wallMs: () => number,
): Promise<string | null> {
  const { once = false, fail = [], signal } = options;
  const { output, external } = resolved;
  if (directory === null || bundle === null || output === null || fail.length > 0 || external.length > 0)
    return null;
  if (!once && plan.files > identifiedMax) return null;
  const pause = once ? (ms: number) => pauseFor(ms, signal) : null;
  const step = (): void => signal?.throwIfAborted();
  const files = await filesIdentity(plan.listed, { wallMs, pause, step });
  if (files === null) return null;
  const outside = await outsideFiles(outline.programs);
  const aux = filesPrint(auxContents(settings.auxFiles ?? {}), [], outside);
  const { params, partitions, seed, files: own = [] } = settings;
  const programs = own.map(({ name, sha256, mode }) => [name, sha256, mode]);
  const told = [byName(params), byName(settingsOf(resolved)), partitions, seed, files, output, programs];
  const code = readFileSync(bundle.portablePath, "utf8");
  return onceKey(["here", code, aux, name, ...told, surroundingsOf(code)]);
}

/** Whatever is not known to change no output is taken to change it, options of later versions, too. */
function settingsOf(resolved: ResolvedOptions): object {
  const { inputs: _1, output: _2, overwrite: _3, workers: _4, memoryBytes: _5, ...some } = resolved;
  const { heapBytes: _6, isolation: _7, attempts: _8, noProgressMs: _9, keepMs: _10, ...more } = some;
  const { stateDirectory: _11, collect: _12, chaos: _13, live: _14, explain: _15, ...rest } = more;
  const { incremental: _16, auxBytes: _17, ...settings } = rest;
  return settings;
}

/** The latest run of that key whose output is there as it has left it. Reads all of the output. */
export async function earlierRun(
  key: string | null,
  output: string,
  stateDirectory: string | null,
  signal: AbortSignal | undefined,
): Promise<EarlierRun | null> {
  if (key === null || stateDirectory === null) return null;
  const jobs = (await listJobs(stateDirectory)).map(({ record }) => record);
  const same = jobs.filter(({ status, once }) => status === "SUCCEEDED" && once?.key === key);
  if (same.length === 0) return null;
  const there = await committedAt(output, () => signal?.throwIfAborted());
  if (!there) return null;
  const found = same.find(({ once }) => once?.digest === there.digest);
  return found === undefined ? null : { jobId: found.sameAs ?? found.jobId, manifest: there.manifest };
}
