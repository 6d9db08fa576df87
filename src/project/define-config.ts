import { SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { suggest } from "../base/suggest.ts";
import { optionNames } from "../engine/options.ts";
import type {
  ClusterRunOptions,
  HostedRunOptions,
  JobRunOptions,
  LocalRunOptions,
} from "../engine/options.ts";
import { isPlainObject } from "../job/plain-data.ts";

/** Options that no project file gives: they belong to one call of run(), or to the project as a whole. */
const notSettable = [
  "signal",
  "onEvent",
  "stateDirectory",
  "file",
  "fail",
  "chaos",
  "step",
  "steps",
  "collect",
  "external",
  "printCommand",
] as const satisfies readonly (keyof JobRunOptions | keyof HostedRunOptions)[];

/**
 * What a project file may say of runs: the options of run(), each with the same meaning and default. Relative
 * paths are those of the project file's folder. Options that do not apply where a job then runs (`cores` on
 * this machine, `workers` on a cluster) are not looked at.
 */
export interface RunSettings
  extends
    Omit<JobRunOptions, (typeof notSettable)[number]>,
    Partial<Omit<LocalRunOptions, keyof JobRunOptions | "on">>,
    Partial<Omit<ClusterRunOptions, keyof JobRunOptions | "on">>,
    Partial<Omit<HostedRunOptions, keyof JobRunOptions | "on" | "printCommand">> {
  /** URL of a coordinator, "local", "inline", "hadoop" or "spark". Default: $SHEAF_ON, else this machine. */
  readonly on?: string;
}

/** A job of the project, with settings of its own. */
export interface ProjectJobConfig extends RunSettings {
  /** The job file: a path, relative to the project file, or a file URL. */
  readonly file: string | URL;
  /** What it does, in one line: for `sheaf project`. */
  readonly title?: string;
}

/** Settings that hold where `--profile NAME` is given. */
export interface ProfileConfig extends RunSettings {
  /** Settings of single jobs under this profile, by the job's name. */
  readonly jobs?: Readonly<Record<string, RunSettings>>;
}

/** What sheaf.config.ts exports by default; sheaf.json is the same as JSON. */
export interface ProjectConfig {
  /** Jobs by name: `sheaf run NAME`. Either the path of the job file, or an object. */
  readonly jobs?: Readonly<Record<string, string | ProjectJobConfig>>;
  /** Settings of every run of a job of this folder and the folders below it. */
  readonly defaults?: RunSettings;
  /** By name: `--profile NAME`. */
  readonly profiles?: Readonly<Record<string, ProfileConfig>>;
  /** Packages that stay outside the bundles of the jobs below this folder. */
  readonly external?: readonly string[];
  /**
   * Storages of one's own: the paths of their modules, relative to the project file, by the scheme of their
   * addresses, as { gs: "./gs-store.ts" }. See registerStore.
   */
  readonly stores?: Readonly<Record<string, string | URL>>;
}

/**
 * For `export default defineConfig({...})` in sheaf.config.ts: gives back what it was given, with its types
 * checked by the editor and its names checked here.
 * @throws SheafError USAGE naming the field that does not exist or is not what it must be
 */
export function defineConfig(config: ProjectConfig): ProjectConfig {
  checkConfig(config);
  return config;
}

/** The options that settings may have. */
const settingNames: readonly string[] = [...new Set(Object.values(optionNames).flat())].filter(
  (name) => !(notSettable as readonly string[]).includes(name),
);

/**
 * Names of fields and the shapes of those that the project itself reads. What an option's value may be, the
 * run checks.
 * @throws SheafError USAGE
 */
export function checkConfig(config: unknown): asserts config is ProjectConfig {
  const fields = objectAt(config, "the project");
  checkNames(fields, ["jobs", "defaults", "profiles", "external", "stores"], "");
  const jobs = recordAt(fields["jobs"], "jobs");
  for (const [name, job] of Object.entries(jobs)) {
    const place = `jobs.${name}`;
    if (name === "")
      throw wrong(`"jobs" has a job without a name`, 'Name it: jobs: { counts: "./counts.ts" }.');
    if (typeof job === "string") continue;
    const { file, title, ...settings } = objectAt(
      job,
      place,
      'the path of a job file, or { file: "./counts.ts" }',
    );
    if (!(typeof file === "string" && file !== "") && !(file instanceof URL)) {
      throw wrong(
        `${place}.file is ${printValue(file)}`,
        'Give the path of the job file: file: "./counts.ts".',
      );
    }
    if (title !== undefined && !isText(title)) throw wrong(`${place}.title is ${printValue(title)}`, text[1]);
    checkSettings(settings, place, ["file", "title"]);
  }
  if (fields["defaults"] !== undefined) checkSettings(objectAt(fields["defaults"], "defaults"), "defaults");
  for (const [name, profile] of Object.entries(recordAt(fields["profiles"], "profiles"))) {
    const place = `profiles.${name}`;
    const { jobs: own, ...settings } = objectAt(profile, place);
    checkSettings(settings, place, ["jobs"]);
    for (const [job, theirs] of Object.entries(recordAt(own, `${place}.jobs`))) {
      if (!Object.hasOwn(jobs, job)) {
        throw noSuch(`${place}.jobs: there is no job "${job}"`, job, Object.keys(jobs));
      }
      checkSettings(objectAt(theirs, `${place}.jobs.${job}`), `${place}.jobs.${job}`);
    }
  }
  for (const [scheme, module] of Object.entries(recordAt(fields["stores"], "stores"))) {
    if (isText(module) || module instanceof URL) continue;
    throw wrong(`stores.${scheme} is ${printValue(module)}`, 'Give the path of its module: "./gs-store.ts".');
  }
  const external: unknown = fields["external"] ?? [];
  if (!Array.isArray(external) || !external.every((name) => typeof name === "string")) {
    throw wrong(`"external" is no list of package names`, 'Write external: ["sharp", "@scope/*"].');
  }
}

/** What a setting must be, and how a message says it. */
type Shape = readonly [fits: (value: unknown) => boolean, hint: string];

const text: Shape = [isText, "Give a text that is not empty."];
const onOrOff: Shape = [(value) => typeof value === "boolean", "Give true or false."];
const count: Shape = [(value) => typeof value === "number", "Give a number."];
const size: Shape = [
  (value) => typeof value === "number" || isText(value),
  'Give bytes, or a text: "64MiB".',
];
const share: Shape = [size[0], 'Give a number, or a share as text: "0.1%".'];

/** Of the settings whose values a run takes as they are; how large a number may be, the run checks. */
const shapes: Readonly<Record<string, Shape>> = {
  on: text,
  output: text,
  tempDirectory: text,
  materialize: text,
  tokenFile: text,
  master: text,
  nodeBin: text,
  engineTemp: text,
  deployMode: [(value) => value === "client" || value === "cluster", 'Give "client" or "cluster".'],
  conf: [
    (value) => isPlainObject(value) && Object.values(value).every((one) => typeof one === "string"),
    'Give properties with texts: conf: { "mapreduce.job.queuename": "reports" }.',
  ],
  name: text,
  group: text,
  project: text,
  overwrite: onOrOff,
  once: onOrOff,
  force: onOrOff,
  keepBundle: onOrOff,
  estimate: onOrOff,
  keepMs: count,
  growing: onOrOff,
  incremental: onOrOff,
  explain: onOrOff,
  live: onOrOff,
  shared: onOrOff,
  speculation: onOrOff,
  jar: onOrOff,
  workers: count,
  mappers: count,
  cores: count,
  priority: count,
  attempts: count,
  sample: count,
  noProgressMs: count,
  queueTimeoutMs: count,
  splitSize: size,
  memory: size,
  heap: size,
  partBytes: size,
  maxBad: share,
  maxAux: size,
  maxFailedTasks: share,
  isolate: [
    (value) => ["thread", "process", "inline"].includes(value as string),
    'Give "thread", "process" or "inline".',
  ],
  partitions: [
    (value) =>
      typeof value === "number" ||
      (isPlainObject(value) && Object.values(value).every((one) => typeof one === "number")),
    "Give a number, or one for each collection: { byCity: 8 }.",
  ],
  params: [isPlainObject, "Give an object: params: { year: 2024 }."],
  tls: [
    (value) => isPlainObject(value) && ["ca", "cert", "key"].every((name) => isText(value[name])),
    "Give the three files: tls: { ca: ..., cert: ..., key: ... }.",
  ],
  after: [isPaths, "Give a handle, or a list of them."],
  inputs: [
    (value) => isPaths(value) || (isPlainObject(value) && Object.values(value).every(isPaths)),
    'Give a path, a list of paths, or those of each input by its name: { customers: "data/c.csv" }.',
  ],
};

function checkSettings(
  settings: Readonly<Record<string, unknown>>,
  place: string,
  besides: readonly string[] = [],
): void {
  checkNames(settings, settingNames, `${place}.`, besides);
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined) continue;
    const at = `${place}.${name}`;
    if (value === null) throw wrong(`${at} is null`, "Leave it out, so that its default holds.");
    const shape = shapes[name];
    if (shape !== undefined && !shape[0](value)) throw wrong(`${at} is ${printValue(value)}`, shape[1]);
  }
}

function checkNames(
  fields: Readonly<Record<string, unknown>>,
  names: readonly string[],
  prefix: string,
  besides: readonly string[] = [],
): void {
  const all = [...besides, ...names];
  const stray = Object.keys(fields).find((name) => !all.includes(name));
  if (stray === undefined) return;
  const belongs = (notSettable as readonly string[]).includes(stray);
  if (belongs && prefix !== "") {
    const hint =
      stray === "external"
        ? 'It is for the project as a whole: write it beside "jobs".'
        : "It belongs to one call of run(). Leave it out.";
    throw wrong(`${prefix}${stray} is nothing that a project file says`, hint);
  }
  throw noSuch(`there is no ${prefix === "" ? "field" : "option"} ${prefix}${stray}`, stray, all);
}

function noSuch(problem: string, given: string, names: readonly string[]): SheafError {
  const near = suggest(given, names);
  const all = names.length === 0 ? "There are none." : `There are: ${names.join(", ")}.`;
  return wrong(problem, near === undefined ? all : `Did you mean ${near}?`);
}

function objectAt(value: unknown, place: string, what = "an object"): Readonly<Record<string, unknown>> {
  if (isPlainObject(value)) return value;
  throw wrong(`${place} is ${printValue(value)}`, `It must be ${what}.`);
}

function recordAt(value: unknown, place: string): Readonly<Record<string, unknown>> {
  return value === undefined ? {} : objectAt(value, `"${place}"`);
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function isPaths(value: unknown): boolean {
  return isText(value) || (Array.isArray(value) && value.every(isText));
}

function wrong(problem: string, hint: string): SheafError {
  return new SheafError("USAGE", problem, { hint });
}
