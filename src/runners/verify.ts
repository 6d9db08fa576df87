import { statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { SheafError } from "../base/errors.ts";
import { settings } from "../base/limits.ts";
import { MiB } from "../base/size.ts";
import { loadOutline } from "../client/load-outline.ts";
import type { RunEvent } from "../engine/events.ts";
import { pathsByInput } from "../engine/inputs.ts";
import type { JobRunOptions } from "../engine/options.ts";
import { resolveOptions } from "../engine/resolve-options.ts";
import type { RunResult } from "../engine/run-result.ts";
import { compareRuns } from "./compare-runs.ts";
import type { ComparedCollection, RunDifference } from "./compare-runs.ts";
import { runnerFor, runners, strayOptions } from "./runners.ts";
import type { Runner, RunnerName } from "./runners.ts";

/** Where a job is run to be compared. */
export interface VerifiedPlace {
  /** "local"; "local (2)" where it is named again. */
  readonly name: string;
  readonly on: string;
  readonly runner: RunnerName;
}

/** What a run is given that must not show in its results. */
export interface Variation {
  readonly mappers?: number;
  readonly memory?: number;
  readonly workers?: number;
  readonly isolate?: "thread" | "process";
}

/** One run, and how it differs from the first. */
export interface VerifiedRun {
  readonly place: VerifiedPlace;
  readonly variation: Variation;
  readonly result: Pick<
    RunResult,
    | "status"
    | "error"
    | "mapTasks"
    | "reduceTasks"
    | "workers"
    | "stats"
    | "parts"
    | "counters"
    | "failedAttempts"
  >;
  /** [] of the first, and of those that agree with it. */
  readonly differences: readonly RunDifference[];
}

export interface VerifyRequest {
  /** The job's file. */
  readonly file: string;
  readonly inputs: readonly string[];
  /** Packages that stay outside the bundle. */
  readonly external: readonly string[];
  readonly places: readonly VerifiedPlace[];
  /** An empty directory, for the outputs. */
  readonly directory: string;
  readonly signal: AbortSignal;
  /** The caller has said what splits there are: they are the same in all runs. */
  readonly fixedSplits: boolean;
  /** What all runs at the place are told. */
  optionsOf(place: VerifiedPlace, index: number): Promise<object>;
  began(place: VerifiedPlace, index: number): void;
  /** A run warns. */
  warned(message: string): void;
  ended(run: VerifiedRun, index: number): void;
}

/**
 * The places that are named; one that stands alone is used twice: there is nothing else to compare with.
 * @throws SheafError USAGE for a name that no runner goes by, and is no URL
 */
export function placesOf(names: readonly string[]): VerifiedPlace[] {
  const all = names.length === 1 ? [...names, ...names] : names;
  return all.map((on, index) => {
    const known = Object.values(runners).flatMap((runner) => runner.on);
    if (on === "" || (!known.includes(on) && !/^https?:\/\//.test(on))) {
      const list = known.filter((name) => name !== "").join(", ");
      throw new SheafError("USAGE", `--on: "${on}" is no place to run a job at`, {
        hint: `Give some of ${list}, and URLs of coordinators (http://HOST:PORT), with commas between them.`,
      });
    }
    const before = all.slice(0, index).filter((one) => one === on).length;
    return { name: before === 0 ? on : `${on} (${before + 1})`, on, runner: runnerFor(on) };
  });
}

/** Less than the default, and enough for any record. */
const smallMemoryBytes = 64 * MiB;

/** What the run of this number is given, so that what a job must not depend on is another each time. */
export function variationOf(
  { on, runner }: VerifiedPlace,
  index: number,
  mapTasks: number,
  fixedSplits: boolean,
): Variation {
  if (index === 0) return {};
  const mappers = Math.min(settings.mappers.max, Math.max(1, mapTasks) * (index + 1) + index);
  const here = {
    workers: index % 2 === 1 ? Math.max(3, availableParallelism() + 1) : 2,
    isolate: index % 2 === 1 ? "process" : "thread",
  } as const;
  return {
    ...(fixedSplits ? {} : { mappers }),
    ...(index % 2 === 1 ? { memory: smallMemoryBytes } : {}),
    ...(runner === "local" && on !== "inline" ? here : {}),
  };
}

/**
 * Runs a job at each place, every time with other splits, workers and memory, and compares each run with the
 * first. Nothing is left of what they write.
 * @throws SheafError USAGE for inputs that can be read only once, and what keeps the job from being loaded
 */
export async function verifyJob(request: VerifyRequest): Promise<VerifiedRun[]> {
  const { places, directory, fixedSplits } = request;
  const collections = await collectionsOf(request);
  const runs: VerifiedRun[] = [];
  let first: RunResult | null = null;
  try {
    for (const [index, place] of places.entries()) {
      request.began(place, index);
      const variation = variationOf(place, index, first?.mapTasks ?? 0, fixedSplits);
      const result = await runAt(request, place, index, variation);
      const differences = first === null ? [] : await compareRuns(first, result, collections);
      const run = { place, variation, result, differences };
      runs.push(run);
      request.ended(run, index);
      if (first === null) first = result;
      else await disposeOf(result, join(directory, String(index)));
      // Where the job cannot even begin, it can nowhere.
      if (result.status === "CANCELLED" || cannotBegin(runs)) break;
    }
  } finally {
    await first?.dispose();
  }
  return runs;
}

function cannotBegin(runs: readonly VerifiedRun[]): boolean {
  const [first] = runs;
  return runs.length === 1 && first?.result.status === "FAILED" && first.result.mapTasks === 0;
}

async function runAt(
  { file, directory, signal, optionsOf, warned }: VerifyRequest,
  place: VerifiedPlace,
  index: number,
  variation: Variation,
): Promise<RunResult> {
  const entry = runners[place.runner];
  const options = {
    ...(await optionsOf(place, index)),
    ...variation,
    on: place.on,
    output: join(directory, String(index)),
    // The values, too: bytes that differ have no key.
    collect: true,
    stateDirectory: stateIn(directory),
    signal,
    onEvent: (event: RunEvent): void => {
      if (event.kind === "warning") warned(event.message);
    },
  };
  const [stray] = strayOptions(place.runner, options);
  if (stray !== undefined) {
    throw new SheafError("USAGE", `the option "${stray}" is not for ${entry.title}`, {
      hint: `Leave it out, or ${place.name} out of --on.`,
    });
  }
  const runner = (await entry.load()) as Runner<JobRunOptions>;
  return runner.run(file, options);
}

async function disposeOf(result: RunResult, output: string): Promise<void> {
  const { removeDirectory } = await import("../storage/remove-directory.ts");
  await result.dispose();
  await removeDirectory(output);
}

/** The history of these runs, which goes with their outputs; the job is bundled once. */
function stateIn(directory: string): string {
  return join(directory, "state");
}

/** Loads the job, as a cluster's client does, and looks at its inputs. */
async function collectionsOf({
  file,
  inputs,
  external,
  directory,
}: VerifyRequest): Promise<ComparedCollection[]> {
  const resolved = resolveOptions({ external, stateDirectory: stateIn(directory) }, "thread");
  const { outline, dispose } = await loadOutline(file, resolved, () => undefined);
  await dispose();
  for (const path of pathsByInput(outline, inputs).flat()) refuseStream(path);
  return outline.collections.map(({ name, mapOnly }) => ({ name, mapOnly }));
}

function refuseStream(path: string): void {
  if (path !== "-" && !isStream(path)) return;
  throw new SheafError("USAGE", `${path === "-" ? "standard input" : path} can be read only once`, {
    hint: "verify runs the job several times: write it to a file, and give that.",
    details: { path },
  });
}

function isStream(path: string): boolean {
  try {
    const status = statSync(path);
    return !status.isFile() && !status.isDirectory();
  } catch {
    // A pattern, a place of agents, or what the run will tell of.
    return false;
  }
}
