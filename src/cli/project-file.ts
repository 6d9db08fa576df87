import { existsSync, readFileSync, readdirSync } from "node:fs";
import { basename, dirname, extname, join, resolve } from "node:path";
import { SheafError } from "../base/errors.ts";
import { suggest } from "../base/suggest.ts";

export const projectFileName = "sheaf.json";

/** sheaf.json: `{ "jobs": { "wordcount": "./jobs/wordcount.ts" }, "external": ["sharp"] }`. */
export interface ProjectFile {
  readonly path: string;
  /** Absolute job files by registered name. */
  readonly jobs: ReadonlyMap<string, string>;
  /** Packages that stay outside the bundles of the jobs below its folder. */
  readonly external: readonly string[];
}

export interface ResolvedJob {
  /** Absolute path of the job file. */
  readonly file: string;
  /** The name it is registered under, if it was asked for by that. */
  readonly name: string | undefined;
  /** What the sheaf.json nearest above the job file leaves outside. */
  readonly external: readonly string[];
}

const JOB_EXTENSIONS = [".ts", ".mts", ".cts", ".tsx", ".js", ".mjs", ".cjs", ".jsx"];

/**
 * The job file a word of the command line means: a path, else a name registered in the nearest sheaf.json.
 * @throws SheafError USAGE when it is neither, with the nearest name or file
 */
export function resolveJob(word: string, cwd: string): ResolvedJob {
  const path = resolve(cwd, word);
  const looksLikePath = JOB_EXTENSIONS.includes(extname(word)) || /[/\\]/.test(word);
  if (looksLikePath && existsSync(path)) return { file: path, name: undefined, external: externalAt(path) };
  const project = findProjectFile(cwd);
  const registered = project?.jobs.get(word);
  if (registered !== undefined) return { file: registered, name: word, external: externalAt(registered) };
  throw looksLikePath ? noSuchFile(word, path) : noSuchName(word, cwd, project);
}

function externalAt(file: string): readonly string[] {
  return findProjectFile(dirname(file))?.external ?? [];
}

/**
 * The sheaf.json of `cwd` or of the nearest directory above it.
 * @throws SheafError USAGE when it is no valid project file
 */
export function findProjectFile(cwd: string): ProjectFile | undefined {
  for (let directory = cwd; ; directory = dirname(directory)) {
    const path = join(directory, projectFileName);
    if (existsSync(path)) return readProjectFile(path);
    if (dirname(directory) === directory) return undefined;
  }
}

function readProjectFile(path: string): ProjectFile {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new SheafError("USAGE", `${path}: ${why}`, { hint: "It must be JSON.", cause });
  }
  const jobs = isObject(content) ? (content["jobs"] ?? {}) : undefined;
  if (!isObject(jobs)) throw badProjectFile(path, `"jobs" is not an object`);
  const files = new Map<string, string>();
  for (const [name, file] of Object.entries(jobs)) {
    if (typeof file !== "string") throw badProjectFile(path, `the job "${name}" is not a path`);
    files.set(name, resolve(dirname(path), file));
  }
  const external = isObject(content) ? (content["external"] ?? []) : [];
  if (!Array.isArray(external) || !external.every((name) => typeof name === "string")) {
    throw badProjectFile(path, `"external" is no list of package names`);
  }
  return { path, jobs: files, external };
}

function badProjectFile(path: string, why: string): SheafError {
  return new SheafError("USAGE", `${path}: ${why}`, {
    hint: 'Write { "jobs": { "wordcount": "./jobs/wordcount.ts" }, "external": ["sharp"] }.',
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

function noSuchName(word: string, cwd: string, project: ProjectFile | undefined): SheafError {
  const names = project === undefined ? [] : [...project.jobs.keys()];
  const files = jobFilesIn(cwd);
  const beside = files.find((file) => basename(file, extname(file)) === word);
  const near = beside ?? suggest(word, [...names, ...files]);
  if (near !== undefined) {
    return new SheafError("USAGE", `there is no job "${word}"`, { hint: `Did you mean ${near}?` });
  }
  const where =
    project === undefined ? `There is no ${projectFileName} here or above.` : listing(project, names);
  return new SheafError("USAGE", `there is no job "${word}"`, {
    hint: `${where} A job may also be given by its path.`,
  });
}

function listing(project: ProjectFile, names: readonly string[]): string {
  return names.length === 0 ? `${project.path} lists none.` : `${project.path} lists: ${names.join(", ")}.`;
}

function jobFilesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).filter((name) => JOB_EXTENSIONS.includes(extname(name)));
  } catch {
    return [];
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
