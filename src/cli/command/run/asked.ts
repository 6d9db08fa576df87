import { SheafError, isSheafError } from "../../../base/errors.ts";
import { resolveOptions } from "../../../engine/resolve-options.ts";
import type { RunSettings } from "../../../project/define-config.ts";
import { layersOf, resolveJob } from "../../../project/project-file.ts";
import type { Project, ResolvedJob, SettingsLayer } from "../../../project/project-file.ts";
import { type RunnerName, runners } from "../../../runners/runners.ts";
import { connectedAs, meansInline, mergeSettings, projectReading } from "../../connection.ts";
import type { World } from "../../world.ts";
import { type RunFlags, runnerOf } from "./options.ts";

/** A run as it is asked for: by the flags, and by the project where they are silent. */
export interface AskedRun {
  /** Where the job runs and where its output goes, filled in from the project. */
  readonly flags: RunFlags;
  readonly job: ResolvedJob;
  readonly inputs: readonly string[];
  readonly runner: RunnerName;
  /** What the project says besides. */
  readonly settings: RunSettings;
}

/**
 * Finds the job and its project, and decides where it runs. One order for all settings, what wins first:
 * flag, profile (of the job, then of all), environment, job, defaults.
 * @throws SheafError as jobAndSettings
 */
export async function askedRun(
  { flags, positionals }: { readonly flags: RunFlags; readonly positionals: readonly string[] },
  world: World,
): Promise<AskedRun> {
  const [word, ...given] = positionals;
  if (flags.intermediate !== undefined) return foreignRun(flags, word!, given, world);
  const { job, layers, settings: all } = await jobAndSettings(word!, flags.profile, world);
  // Of the coordinator the flags say all, from here on: what connectedAs has left out goes to nobody.
  const { inputs: own = [], output, overwrite, on: _on, tokenFile: _token, tls: _tls, ...settings } = all;
  // Replacing what is there was allowed for the project's own output, and no other.
  const delivered =
    flags.output === undefined
      ? { output, overwrite: flags.overwrite ?? (output === undefined ? undefined : overwrite) }
      : {};
  const placed = {
    ...(flags.listen === undefined ? connectedAs(flags, layers, world) : flags),
    ...delivered,
  };
  const filled = meansInline(placed, world) ? { ...placed, inline: true } : placed;
  const runner = runnerOf(filled, world);
  const inputs = given.length > 0 ? given : (own as readonly string[]);
  return { flags: filled, job, inputs, runner, settings: withoutRivals(settings, flags) };
}

/**
 * The job that a word means, and what its project says of it.
 * @throws SheafError as resolveJob; USAGE for settings that make no sense, and a profile that there is not
 */
export async function jobAndSettings(
  word: string,
  profile: string | undefined,
  world: World,
): Promise<{
  readonly job: ResolvedJob;
  readonly layers: ReturnType<typeof layersOf>;
  readonly settings: RunSettings;
}> {
  const job = await resolveJob(word, world.cwd, projectReading(world));
  const layers = layersOf(job.project, job.name, profile);
  const all = [...layers.asked, ...layers.standing];
  for (const layer of all) checkLayer(job.project!, layer);
  return { job, layers, settings: mergeSettings(all) };
}

/** Workers that know by its name what to do: there is no job file, and so no project. */
function foreignRun(flags: RunFlags, word: string, inputs: readonly string[], world: World): AskedRun {
  const runner = runnerOf(flags, world);
  if (flags.profile !== undefined) {
    throw new SheafError("USAGE", `--profile is not for ${runners[runner].title}`, {
      hint: "Leave it out: they are given the job's name only, and no project file is read.",
    });
  }
  const job = { file: word, name: undefined, external: [], project: undefined };
  return { flags, job, inputs, runner, settings: {} };
}

/** Two ways to say one thing: the flag's holds. */
export function withoutRivals(
  { mappers, splitSize, ...rest }: RunSettings,
  flags: Pick<RunFlags, "mappers" | "splitSize">,
): RunSettings {
  if (flags.mappers !== undefined || flags.splitSize !== undefined) return rest;
  return {
    ...rest,
    ...(mappers !== undefined && { mappers }),
    ...(splitSize !== undefined && { splitSize }),
  };
}

/** @throws SheafError USAGE with the place of the setting that makes no sense */
function checkLayer({ path }: Project, { place, settings }: SettingsLayer): void {
  const { on: _on, isolate: _isolate, ...options } = settings;
  try {
    resolveOptions(options, "thread");
  } catch (error) {
    if (!isSheafError(error)) throw error;
    throw new SheafError(error.code, `${path}: ${place}.${error.message}`, {
      hint: error.hint!,
      cause: error,
    });
  }
}
