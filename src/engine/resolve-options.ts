import { randomInt } from "node:crypto";
import { availableParallelism, homedir, totalmem } from "node:os";
import { resolve, sep } from "node:path";
import { SheafError } from "../base/errors.ts";
import { limits, settings } from "../base/limits.ts";
import { printValue } from "../base/print-value.ts";
import { parseSize } from "../base/size.ts";
import { suggest } from "../base/suggest.ts";
import { localPath, refusePassword, splitAddress } from "../storage/store.ts";
import type { Chaos } from "../worker/chaos.ts";
import type { Isolation } from "../worker/worker.ts";
import { checkIncrementalOptions } from "./explain.ts";
import { defaultStateDirectory } from "./job-history.ts";
import { optionNames } from "./options.ts";
import type { JobRunOptions, LocalRunOptions, QueueOptions } from "./options.ts";

/** JobRunOptions with defaults filled in and texts understood. */
export interface ResolvedOptions {
  /** Paths, or NAME=PATH for a job with several inputs. */
  readonly inputs: readonly string[];
  readonly output: string | null;
  readonly overwrite: boolean;
  readonly workers: number;
  readonly splitBytes: number | null;
  readonly mappers: number | null;
  readonly memoryBytes: number;
  readonly heapBytes: number | null;
  readonly sample: number;
  readonly estimate: boolean;
  readonly growing: boolean;
  readonly badBudget: BadBudget | null;
  /** Of side data, at most. */
  readonly auxBytes: number;
  readonly isolation: Isolation;
  readonly attempts: number;
  readonly failedTasksShare: number;
  readonly noProgressMs: number;
  readonly stateDirectory: string | null;
  readonly collect: boolean;
  readonly partBytes: number;
  readonly external: readonly string[];
  readonly chaos: Chaos | null;
  readonly live: boolean;
  readonly made: readonly number[] | null;
  readonly materialize: string | null;
  readonly incremental: boolean;
  readonly explain: boolean;
  /** How long the job is kept from its end on; null: as others. */
  readonly keepMs: number | null;
}

/** How many records may be bad: an absolute number, or a share of the records read. */
export type BadBudget =
  | { readonly kind: "count"; readonly max: number }
  | { readonly kind: "share"; readonly max: number };

/** Every option there is. */
const everyName = [...new Set(Object.values(optionNames).flat())];

/** Of runs on this machine only. */
type MayHaveWorkers = JobRunOptions & Pick<LocalRunOptions, "workers" | "keepMs">;

/** @throws SheafError USAGE naming the option that does not exist or makes no sense. */
export function resolveOptions(options: MayHaveWorkers, isolation: Isolation): ResolvedOptions {
  checkOptionNames(options);
  const inputs = inputTexts(options.inputs ?? []);
  inputs.forEach(refusePassword);
  const output = options.output === undefined ? null : outputPlace(options.output, process.cwd());
  const workers =
    isolation === "inline"
      ? 1
      : wholeNumber(options.workers ?? availableParallelism(), "workers", settings.workers);
  const incremental = options.incremental ?? false;
  if (incremental) checkIncrementalOptions(options);
  return {
    inputs,
    output,
    overwrite: incremental || (options.overwrite ?? false),
    workers,
    splitBytes:
      options.splitSize === undefined
        ? null
        : atLeast(parseSize(options.splitSize, "splitSize"), "splitSize", 1),
    mappers: mappersOf(options),
    memoryBytes: atLeast(
      parseSize(options.memory ?? settings.memoryBytes.default, "memory"),
      "memory",
      settings.memoryBytes.min,
    ),
    heapBytes: heapOf(options, workers, isolation),
    sample: shareOf(options.sample ?? 1),
    estimate: estimateOf(options),
    growing: options.growing ?? false,
    badBudget: options.maxBad === undefined ? null : badBudgetOf(options.maxBad),
    auxBytes: atLeast(
      parseSize(options.maxAux ?? settings.auxBytes.default, "maxAux"),
      "maxAux",
      settings.auxBytes.min,
    ),
    isolation,
    attempts: wholeNumber(options.attempts ?? settings.attempts.default, "attempts", settings.attempts),
    failedTasksShare: failedTasksShareOf(options.maxFailedTasks ?? 0),
    noProgressMs: wholeNumber(
      options.noProgressMs ?? settings.noProgressMs.default,
      "noProgressMs",
      settings.noProgressMs,
    ),
    stateDirectory: stateDirectoryOf(options),
    collect: options.collect ?? output === null,
    partBytes: atLeast(
      parseSize(options.partBytes ?? settings.partBytes.default, "partBytes"),
      "partBytes",
      1,
    ),
    external: externalOf(options.external ?? []),
    chaos: options.chaos === undefined ? null : chaosOf(options.chaos),
    live: options.live ?? false,
    made: options.made === undefined ? null : madeOf(options.made),
    materialize: options.materialize === undefined ? null : materializeOf(options.materialize, output),
    incremental,
    explain: options.explain ?? false,
    keepMs: options.keepMs === undefined ? null : wholeNumber(options.keepMs, "keepMs", settings.keepMs),
  };
}

/** The labels of a run. @throws SheafError USAGE for one that is none */
export function labelsOf({ group, project }: JobRunOptions): {
  readonly group: string | null;
  readonly project: string | null;
} {
  for (const [what, label] of Object.entries({ group, project })) {
    if (label === undefined) continue;
    if (typeof label === "string" && label !== "" && label.length <= limits.labelCharsMax) continue;
    throw usage(
      `${what}: ${printValue(label)} is no label`,
      `Give a text of 1 to ${limits.labelCharsMax} characters.`,
    );
  }
  return { group: group ?? null, project: project ?? null };
}

/** The handles of `after`. @throws SheafError USAGE when it holds something else */
export function afterOf({ after = [] }: QueueOptions): readonly string[] {
  const handles = typeof after === "string" ? [after] : after;
  const isRight = Array.isArray(handles) && handles.every((one) => typeof one === "string");
  if (!isRight) throw usage(`after: ${printValue(after)} names no jobs`, 'Give handles: after: ["@"].');
  if (handles.length > limits.afterMax)
    throw usage(`after: ${handles.length} jobs, ${limits.afterMax} are the most`, "Name fewer.");
  return handles;
}

/** @throws SheafError USAGE */
function chaosOf({ kill = 0, slow = 0, seed, ...others }: NonNullable<JobRunOptions["chaos"]>): Chaos {
  const [other] = Object.keys(others);
  if (other !== undefined) throw usage(`chaos: there is no "${other}"`, "It takes kill, slow and seed.");
  for (const [name, share] of Object.entries({ kill, slow }))
    if (!(share >= 0 && share <= 1)) throw usage(`chaos: ${name} is ${share}`, "Give a share, 0 to 1.");
  if (kill + slow > 1 || kill + slow === 0)
    throw usage("chaos: kill and slow together are not above 0 and up to 1", "Give shares: kill 0.05.");
  const seeds = { min: 0, max: Number.MAX_SAFE_INTEGER };
  return {
    kill,
    slow,
    seed: seed === undefined ? randomInt(2 ** 31) : wholeNumber(seed, "chaos: seed", seeds),
  };
}

function inputTexts(inputs: NonNullable<JobRunOptions["inputs"]>): readonly string[] {
  if (typeof inputs === "string") return [inputs];
  if (isList(inputs)) return inputs;
  return Object.entries(inputs).flatMap(([name, paths]) =>
    inputTexts(paths).map((path) => `${name}=${path}`),
  );
}

/**
 * An output as runs know it: an absolute path, or an address that ends in "/". Whether there is a storage for
 * it is told by whoever uses it.
 * @throws SheafError USAGE for an address that cannot be one
 */
export function outputPlace(given: string, cwd: string): string {
  const parts = splitAddress(given);
  if (parts === null) return resolve(cwd, given);
  refusePassword(given);
  if (parts.path.replaceAll("/", "") !== "") return `${parts.root}${parts.path.replace(/\/+$/, "")}/`;
  throw usage(`output: ${given} is no directory of the storage`, `Give one: ${parts.root}results/`);
}

/** As Array.isArray, for lists that are readonly. */
function isList<T>(value: readonly T[] | object): value is readonly T[] {
  return Array.isArray(value);
}

function checkOptionNames(options: unknown): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw usage(
      `run(job, options): ${printValue(options)} is no object`,
      "Give { inputs: ..., output: ... }.",
    );
  }
  for (const name of Object.keys(options)) {
    if (everyName.includes(name)) continue;
    const near = otherNames[name] ?? suggest(name, everyName);
    throw usage(
      `run() has no option "${name}"`,
      near === undefined ? `It has: ${everyName.join(", ")}.` : `Did you mean ${near}?`,
    );
  }
}

/** What other tools, and the command line, call them. */
const otherNames: Readonly<Record<string, string>> = {
  input: "inputs",
  outputDirectory: "output",
  outDir: "output",
  concurrency: "workers",
  threads: "workers",
  set: "params",
  temp: "tempDirectory",
  partSize: "partBytes",
  externals: "external",
  retries: "attempts",
};

/**
 * Package names: "sharp", "@img/sharp", "@img/*".
 * @throws SheafError USAGE for what is none
 */
function externalOf(names: readonly string[]): readonly string[] {
  const isName = (name: unknown): boolean =>
    typeof name === "string" && /^(?:@[\w.*~-]+\/)?[\w*~-][\w.*~-]*$/.test(name);
  if (!Array.isArray(names)) throw usage(`external: ${printValue(names)} is no list`, externalHint);
  const bad = names.find((name) => !isName(name));
  if (bad !== undefined) throw usage(`external: ${printValue(bad)} is no package`, externalHint);
  if (names.includes("sheaf")) throw usage("external: sheaf is never bundled", "Leave it out.");
  return [...new Set(names)].sort();
}

const externalHint = 'Name packages, without a path: external: ["sharp", "@scope/*"].';

function heapOf(options: JobRunOptions, workers: number, isolation: Isolation): number | null {
  if (isolation === "inline") return null;
  if (options.heap !== undefined)
    return atLeast(parseSize(options.heap, "heap"), "heap", settings.heapBytes.min);
  // Node's own limit is meant for one heap per machine: leave each worker its share of three quarters of the
  // memory.
  const share = Math.floor((totalmem() * 0.75) / workers);
  const { leastByDefault, mostByDefault } = settings.heapBytes;
  return Math.min(mostByDefault, Math.max(leastByDefault, share));
}

function mappersOf({ mappers, splitSize }: JobRunOptions): number | null {
  if (mappers === undefined) return null;
  if (splitSize !== undefined) {
    throw usage("mappers and splitSize exclude each other", "Say how many map tasks, or how large they are.");
  }
  return wholeNumber(mappers, "mappers", settings.mappers);
}

function badBudgetOf(given: number | string): BadBudget {
  const text = String(given).trim();
  const share = /^(\d+(?:\.\d+)?)\s*%$/.exec(text);
  if (share !== null && Number(share[1]) <= 100) return { kind: "share", max: Number(share[1]) / 100 };
  if (/^\d+$/.test(text) && Number.isSafeInteger(Number(text))) return { kind: "count", max: Number(text) };
  throw usage(
    `maxBad: "${given}" is neither a number nor a share`,
    'Give a number of records, or a share of them: "0.1%".',
  );
}

function materializeOf(given: string, output: string | null): string {
  const path = localPath(given, "materialize", process.cwd());
  if (output !== null) checkApart(path, output);
  return path;
}

/** @throws SheafError USAGE when records that are kept would lie in the output, or it in them */
export function checkApart(records: string, output: string): void {
  const [own, other] = [resolve(records), resolve(output)];
  const holds = (outer: string, inner: string): boolean => `${inner}${sep}`.startsWith(`${outer}${sep}`);
  if (!holds(own, other) && !holds(other, own)) return;
  throw usage(
    `materialize: ${records} and the output lie in one another`,
    "Give the records a directory of their own.",
  );
}

function madeOf(given: unknown): readonly number[] {
  const isCount = (one: unknown): boolean => Number.isSafeInteger(one) && (one as number) >= 0;
  if (Array.isArray(given) && given.every(isCount)) return given as number[];
  throw usage(
    `made: ${printValue(given)} is no list of numbers of records`,
    "Give `made.tasks` of a result.",
  );
}

function failedTasksShareOf(given: number | string): number {
  const text = String(given).trim();
  const share = text.endsWith("%") ? Number(text.slice(0, -1)) / 100 : Number(text);
  if (text !== "" && share >= 0 && share < 1) return share;
  throw usage(
    `maxFailedTasks: "${given}" is not a share below 1`,
    'Give a share of the tasks: "1%" or 0.01.',
  );
}

function stateDirectoryOf(options: JobRunOptions): string | null {
  if (options.stateDirectory === null) return null;
  const { stateDirectory: given } = options;
  return localPath(given ?? defaultStateDirectory(process.env, homedir()), "stateDirectory", process.cwd());
}

function estimateOf({ estimate = false, sample = 1 }: JobRunOptions): boolean {
  if (!estimate || sample < 1) return estimate;
  throw usage(
    "estimate without a sample: all records are read, and the results are exact",
    "Say what share of the records to keep, below 1: sample: 0.01, or leave estimate out.",
  );
}

/** Whether a record is kept is decided by 32 bits. */
const SHARE_MIN = 2 ** -32;

function shareOf(sample: number): number {
  if (sample >= SHARE_MIN && sample <= 1) return sample;
  if (sample > 0 && sample < SHARE_MIN) {
    throw usage(
      `sample: ${sample} keeps no record at all`,
      `The least share is ${SHARE_MIN.toPrecision(2)}.`,
    );
  }
  throw usage(
    `sample: ${sample} is not in (0, 1]`,
    "Give the fraction of records to keep: 0.01 for one in a hundred.",
  );
}

/** @throws SheafError USAGE */
export function wholeNumber(
  value: number,
  what: string,
  { min, max }: { readonly min: number; readonly max: number },
): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw usage(
    `${what}: ${value} is not a whole number from ${min} to ${max}`,
    `Give one from ${min} to ${max}, or leave it out.`,
  );
}

function atLeast(bytes: number, what: string, least: number): number {
  if (bytes >= least) return bytes;
  throw usage(`${what}: ${bytes} bytes are too few, ${least} is the least`);
}

/** The error for an option that makes no sense. */
export function usage(message: string, hint?: string): SheafError {
  return new SheafError("USAGE", message, hint === undefined ? {} : { hint });
}
