import { relative } from "node:path";
import { SheafError } from "../../base/errors.ts";
import { escapeControls } from "../../base/escape-controls.ts";
import { suggest } from "../../base/suggest.ts";
import { findProject, layersOf, projectFileNames } from "../../project/project-file.ts";
import type { Project, SettingsLayer } from "../../project/project-file.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { mergeSettings, projectReading } from "../connection.ts";
import { connectFlags, jsonFlag } from "../flags.ts";
import { displayPath, page, textTable } from "../ui/text.ts";
import { type World, writeJson, writeTo } from "../world.ts";

export const projectFlags = { profile: connectFlags.profile, json: jsonFlag };

export const projectCommand: CliCommand<typeof projectFlags> = {
  name: "project",
  summary: "List the project's jobs by name, or the settings of one",
  details: [
    "The project is the sheaf.config.ts (also .mts, .js, .mjs) or sheaf.json of this directory or the nearest one above. " +
      "With JOB: what a run of it is told when the command line says nothing. docs/project.md has the fields.",
  ],
  arguments: [{ name: "JOB", doc: "Name of a job of the project", required: false, complete: "job" }],
  flags: projectFlags,
  examples: [
    ["sheaf project", "The jobs that have names"],
    ["sheaf project visits --profile prod", "What visits is run with, and which part of the file says so"],
  ],
  run,
};

/** One setting that holds, and the part of the file or the variable that says it. */
interface Origin {
  readonly name: string;
  readonly value: unknown;
  readonly from: string;
}

async function run({ flags, positionals, world }: Invocation<typeof projectFlags>): Promise<ExitCode> {
  const project = await findProject(world.cwd, projectReading(world));
  if (project === undefined) {
    throw new SheafError("NOT_FOUND", "there is no project file here or above", {
      hint: `Write ${projectFileNames[1]}, or have it written: sheaf init.`,
    });
  }
  const [job] = positionals;
  if (job !== undefined && !project.jobs.has(job)) throw noSuchJob(project, job);
  const settings = originsOf(layersOf(project, job, flags.profile), world);
  if (flags.json === true) {
    const jobs = [...project.jobs].map(([name, { file, title }]) => ({ name, file, title }));
    const { path, external } = project;
    const profiles = [...project.profiles.keys()];
    await writeJson(world, { project: path, jobs, profiles, external, job: job ?? null, settings });
    return exitCodes.ok;
  }
  await writeTo(
    world.stdout,
    page([[displayPath(project.path, world.cwd)], ...partsOf(project, job, settings, world)]),
  );
  return exitCodes.ok;
}

function partsOf(
  project: Project,
  job: string | undefined,
  settings: readonly Origin[],
  world: World,
): readonly (readonly string[])[] {
  const rows = [...project.jobs].filter(([name]) => job === undefined || name === job);
  const jobs = rows.map(([name, { file, title }]) => [
    escapeControls(name),
    displayPath(file, world.cwd),
    escapeControls(title ?? ""),
  ]);
  const profiles = [...project.profiles.keys()].map((name) => escapeControls(name)).join(", ");
  const said = settings.map(({ name, value, from }) => [name, shown(value, world.cwd), escapeControls(from)]);
  return [
    jobs.length === 0 ? ["no jobs are registered"] : textTable(["JOB", "FILE", "TITLE"], jobs),
    profiles === "" ? [] : [`profiles: ${profiles}`],
    said.length === 0 ? [] : textTable(["SETTING", "VALUE", "FROM"], said),
  ];
}

function shown(value: unknown, cwd: string): string {
  if (typeof value !== "string") return escapeControls(JSON.stringify(value));
  const near = value.startsWith("/") ? relative(cwd, value) : value;
  return escapeControls(near === "" || near.startsWith("..") ? value : near);
}

/** Every setting that holds; `params` one by one. */
function originsOf(
  layers: { readonly asked: readonly SettingsLayer[]; readonly standing: readonly SettingsLayer[] },
  { env }: Pick<World, "env">,
): Origin[] {
  const on = env["SHEAF_ON"] ?? "";
  const environment = on === "" ? [] : [{ place: "$SHEAF_ON", settings: { on } }];
  const all: readonly SettingsLayer[] = [...layers.asked, ...environment, ...layers.standing];
  const { params = {}, ...merged } = mergeSettings(all);
  const saying = (has: (layer: SettingsLayer) => boolean): string => all.find(has)?.place ?? "";
  const origins = Object.entries(merged).map(([name, value]) => ({
    name,
    value: value as unknown,
    from: saying(({ settings }) => Object.hasOwn(settings, name)),
  }));
  const ofParams = Object.entries(params).map(([name, value]) => ({
    name: `params.${name}`,
    value,
    from: saying(({ settings }) => settings.params !== undefined && Object.hasOwn(settings.params, name)),
  }));
  return [...origins, ...ofParams];
}

function noSuchJob(project: Project, job: string): SheafError {
  const names = [...project.jobs.keys()];
  const near = suggest(job, names);
  return new SheafError("USAGE", `${project.path} has no job "${job}"`, {
    hint:
      near !== undefined
        ? `Did you mean ${near}?`
        : names.length === 0
          ? "It lists none."
          : `It lists: ${names.join(", ")}.`,
  });
}
