import { existsSync, readFileSync, readdirSync } from "node:fs";
import { basename, dirname, extname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { SheafError } from "../base/errors.ts";
import { suggest } from "../base/suggest.ts";
import { nameStores } from "../engine/user-stores.ts";
import { inputIn, isElsewhere } from "../storage/glob.ts";
import { checkConfig } from "./define-config.ts";
import type { ProjectConfig, RunSettings } from "./define-config.ts";
import { loadConfig } from "./load-config.ts";
import type { LoadConfigOptions } from "./load-config.ts";

export const projectFileName = "sheaf.json";
/** A folder has one of these at most. */
export const projectFileNames = [
  projectFileName,
  "sheaf.config.ts",
  "sheaf.config.mts",
  "sheaf.config.js",
  "sheaf.config.mjs",
] as const;

/** A project file that was read and checked, its paths made absolute. */
export interface Project {
  readonly path: string;
  readonly jobs: ReadonlyMap<string, ProjectJob>;
  readonly defaults: RunSettings;
  readonly profiles: ReadonlyMap<string, Profile>;
  /** Packages that stay outside the bundles of the jobs below its folder. */
  readonly external: readonly string[];
}

export interface ProjectJob {
  /** Absolute path of the job file. */
  readonly file: string;
  readonly title: string | null;
  readonly settings: RunSettings;
}

interface Profile {
  readonly settings: RunSettings;
  readonly jobs: ReadonlyMap<string, RunSettings>;
}

export interface ResolvedJob {
  /** Absolute path of the job file. */
  readonly file: string;
  /** The name it is registered under, if it was asked for by that. */
  readonly name: string | undefined;
  /** What the project file nearest above the job file leaves outside. */
  readonly external: readonly string[];
  /** Whose settings hold: the one that has the name, else the one nearest above the job file. */
  readonly project: Project | undefined;
}

const JOB_EXTENSIONS = [".ts", ".mts", ".cts", ".tsx", ".js", ".mjs", ".cjs", ".jsx"];

/**
 * The job file a word of the command line means: a path, else a name registered in the nearest project file.
 * @throws SheafError USAGE when it is neither, with the nearest name or file; as findProject
 */
export async function resolveJob(
  word: string,
  cwd: string,
  options: LoadConfigOptions,
): Promise<ResolvedJob> {
  const path = resolve(cwd, word);
  const looksLikePath = JOB_EXTENSIONS.includes(extname(word)) || /[/\\]/.test(word);
  if (looksLikePath && existsSync(path)) {
    const project = await findProject(dirname(path), options);
    return { file: path, name: undefined, external: project?.external ?? [], project };
  }
  const project = await findProject(cwd, options);
  const registered = project?.jobs.get(word);
  if (project !== undefined && registered !== undefined) {
    const { file } = registered;
    const nearest = projectPath(dirname(file));
    const above = nearest === project.path ? project : await findProject(dirname(file), options);
    return { file, name: word, external: above?.external ?? [], project };
  }
  throw looksLikePath ? noSuchFile(word, path) : noSuchName(word, cwd, project);
}

/**
 * The project file of `cwd` or of the nearest directory above it, read.
 * @throws SheafError USAGE when it is no valid project file, or a folder has two; CONFIG_LOAD
 */
export async function findProject(cwd: string, options: LoadConfigOptions): Promise<Project | undefined> {
  const path = projectPath(cwd);
  return path === undefined ? undefined : readProject(path, options);
}

/**
 * Where the project file of a directory, or of the nearest one above, lies; it is not read.
 * @throws SheafError USAGE when a folder has two
 */
export function projectPath(cwd: string): string | undefined {
  for (let directory = cwd; ; directory = dirname(directory)) {
    const found = projectFileNames.filter((name) => existsSync(join(directory, name)));
    if (found.length > 1) {
      throw new SheafError("USAGE", `${directory} has both ${found.join(" and ")}`, {
        hint: "A folder has one project file. Move all of it into one of them, and remove the other.",
      });
    }
    if (found[0] !== undefined) return join(directory, found[0]);
    if (dirname(directory) === directory) return undefined;
  }
}

async function readProject(path: string, options: LoadConfigOptions): Promise<Project> {
  const content = path.endsWith(".json") ? readJson(path) : await loadConfig(path, options);
  try {
    checkConfig(content);
  } catch (error) {
    throw inFile(error, path);
  }
  try {
    // Whoever has read the project knows its storages, and so do the workers he starts.
    const { stores, external = [] } = content;
    nameStores(stores, { directory: dirname(path), external });
  } catch (error) {
    throw inFile(error, path);
  }
  return projectOf(content, path);
}

function inFile(error: unknown, path: string): unknown {
  if (!(error instanceof SheafError)) return error;
  return new SheafError(error.code, `${path}: ${error.message}`, { hint: error.hint!, cause: error });
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new SheafError("USAGE", `${path}: ${why}`, { hint: "It must be JSON.", cause });
  }
}

function projectOf(
  { jobs = {}, defaults = {}, profiles = {}, external = [] }: ProjectConfig,
  path: string,
): Project {
  const directory = dirname(path);
  return {
    path,
    jobs: new Map(
      Object.entries(jobs).map(([name, job]): [string, ProjectJob] => {
        if (typeof job === "string")
          return [name, { file: resolve(directory, job), title: null, settings: {} }];
        const { file, title = null, ...settings } = job;
        const named = String(file);
        const at = named.startsWith("file://") ? fileURLToPath(named) : resolve(directory, named);
        return [name, { file: at, title, settings: inFolder(settings, directory) }];
      }),
    ),
    defaults: inFolder(defaults, directory),
    profiles: new Map(
      Object.entries(profiles).map(([name, { jobs: own = {}, ...settings }]): [string, Profile] => {
        const theirs = Object.entries(own).map(([job, one]) => [job, inFolder(one, directory)] as const);
        return [name, { settings: inFolder(settings, directory), jobs: new Map(theirs) }];
      }),
    ),
    external,
  };
}

/** The settings with their paths as those of the project's folder. */
function inFolder(settings: RunSettings, directory: string): RunSettings {
  const { inputs, output, tempDirectory, materialize, tokenFile, tls, nodeBin } = settings;
  // What may not be an address is refused where it is used.
  const at = (path: string): string => (isElsewhere(path) ? path : resolve(directory, path));
  return {
    ...settings,
    ...(inputs === undefined ? {} : { inputs: inputTexts(inputs, directory) }),
    ...(output === undefined ? {} : { output: at(output) }),
    ...(tempDirectory === undefined ? {} : { tempDirectory: at(tempDirectory) }),
    ...(nodeBin === undefined ? {} : { nodeBin: at(nodeBin) }),
    ...(materialize === undefined ? {} : { materialize: at(materialize) }),
    ...(tokenFile === undefined ? {} : { tokenFile: at(tokenFile) }),
    ...(tls === undefined ? {} : { tls: { ca: at(tls.ca), cert: at(tls.cert), key: at(tls.key) } }),
  };
}

/** As positional arguments would say them. A text alone is a path, also with "=" in it. */
function inputTexts(inputs: NonNullable<RunSettings["inputs"]>, directory: string): readonly string[] {
  const texts = (paths: string | readonly string[]): string[] =>
    [paths].flat().map((path) => inputIn(directory, path));
  if (typeof inputs === "string" || isList(inputs)) return texts(inputs);
  return Object.entries(inputs).flatMap(([name, paths]) => texts(paths).map((path) => `${name}=${path}`));
}

/** As Array.isArray, for lists that are readonly. */
function isList<T>(value: readonly T[] | object): value is readonly T[] {
  return Array.isArray(value);
}

/** Settings of one part of a project file, called as messages call that part: "profiles.prod". */
export interface SettingsLayer {
  readonly place: string;
  readonly settings: RunSettings;
}

/**
 * The parts of a project file that hold for a run, those that win first: `asked` what the profile says, of
 * the job and of all, `standing` the job's own and the defaults of all. The environment comes between.
 * @param job name it was asked for by
 * @throws SheafError USAGE for a profile that there is not
 */
export function layersOf(
  project: Project | undefined,
  job: string | undefined,
  profile: string | undefined,
): { readonly asked: readonly SettingsLayer[]; readonly standing: readonly SettingsLayer[] } {
  const asked: SettingsLayer[] = [];
  if (profile !== undefined) {
    const found = project?.profiles.get(profile);
    if (found === undefined) throw noSuchProfile(project, profile);
    const own = job === undefined ? undefined : found.jobs.get(job);
    if (own !== undefined) asked.push({ place: `profiles.${profile}.jobs.${job}`, settings: own });
    asked.push({ place: `profiles.${profile}`, settings: found.settings });
  }
  const standing: SettingsLayer[] = [];
  const registered = job === undefined ? undefined : project?.jobs.get(job);
  if (registered !== undefined) standing.push({ place: `jobs.${job}`, settings: registered.settings });
  if (project !== undefined) standing.push({ place: "defaults", settings: project.defaults });
  return { asked, standing };
}

function noSuchProfile(project: Project | undefined, profile: string): SheafError {
  if (project === undefined) {
    return new SheafError("USAGE", `--profile ${profile}: there is no project file here or above`, {
      hint: `Profiles are written in ${projectFileNames[1]} or ${projectFileName}.`,
    });
  }
  const names = [...project.profiles.keys()];
  const near = suggest(profile, names);
  const all = names.length === 0 ? `${project.path} has none.` : `There are: ${names.join(", ")}.`;
  return new SheafError("USAGE", `--profile: ${project.path} has no profile "${profile}"`, {
    hint: near === undefined ? all : `${all} Did you mean ${near}?`,
  });
}

function noSuchFile(word: string, path: string): SheafError {
  const near = suggest(basename(path), jobFilesIn(dirname(path)));
  return new SheafError("USAGE", `${word}: no such job file`, {
    hint:
      near === undefined
        ? "Give the path of a TypeScript or JavaScript file whose default export is job({...})."
        : `Did you mean ${join(dirname(word), near)}?`,
  });
}

function noSuchName(word: string, cwd: string, project: Project | undefined): SheafError {
  const names = project === undefined ? [] : [...project.jobs.keys()];
  const files = jobFilesIn(cwd);
  const beside = files.find((file) => basename(file, extname(file)) === word);
  const near = beside ?? suggest(word, [...names, ...files]);
  if (near !== undefined) {
    return new SheafError("USAGE", `there is no job "${word}"`, { hint: `Did you mean ${near}?` });
  }
  const where =
    project === undefined
      ? `There is no ${projectFileName} or ${projectFileNames[1]} here or above.`
      : listing(project, names);
  return new SheafError("USAGE", `there is no job "${word}"`, {
    hint: `${where} A job may also be given by its path.`,
  });
}

function listing(project: Project, names: readonly string[]): string {
  return names.length === 0 ? `${project.path} lists none.` : `${project.path} lists: ${names.join(", ")}.`;
}

function jobFilesIn(directory: string): readonly string[] {
  try {
    const isProjectFile = (name: string): boolean => (projectFileNames as readonly string[]).includes(name);
    return readdirSync(directory).filter(
      (name) => JOB_EXTENSIONS.includes(extname(name)) && !isProjectFile(name),
    );
  } catch {
    return [];
  }
}
