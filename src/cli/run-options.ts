import { SheafError } from "../base/errors.ts";
import type { RunOptions } from "../engine/options.ts";
import type { Invocation } from "./command.ts";
import type { Delivery } from "./deliver-results.ts";
import { wantsRecords } from "./deliver-results.ts";
import type { runFlags } from "./flags/run-flags.ts";
import type { ResolvedJob } from "./project-file.ts";

export type RunFlags = Invocation<typeof runFlags>["flags"];

/** Durations that mean "never" to the watchdog. */
const NEVER_MS = 2 ** 31 - 1;

/** Flags that say how this machine runs a job. */
const localOnly = ["workers", "temp", "isolate", "inline"] as const;
/** Flags that say how a cluster does. */
const clusterOnly = {
  cores: "cores",
  priority: "priority",
  shared: "shared",
  speculation: "speculation",
  queueTimeout: "queue-timeout",
  group: "group",
  project: "project",
  detach: "detach",
} as const;

/** @throws SheafError USAGE for flags that exclude each other */
export function checkRunFlags(flags: RunFlags, isOnCluster: boolean): void {
  if (flags.inline === true && flags.isolate !== undefined) {
    throw new SheafError("USAGE", "--inline and --isolate exclude each other", {
      hint: "--inline runs everything on the main thread; there is nothing to isolate.",
    });
  }
  if (flags.overwrite === true && flags.output === undefined) {
    throw new SheafError("USAGE", "--overwrite without --output", { hint: "Give the directory: -o DIR." });
  }
  if (flags.listen === undefined && flags.intermediate !== undefined) {
    throw new SheafError("USAGE", "--intermediate without --listen", {
      hint: "Say where workers ask for tasks: --listen 5000.",
    });
  }
  if (isOnCluster || flags.listen !== undefined) checkCluster(flags);
  else checkLocal(flags);
}

function checkLocal(flags: RunFlags): void {
  for (const [field, name] of Object.entries(clusterOnly)) {
    if (flags[field as keyof typeof clusterOnly] === undefined) continue;
    throw new SheafError("USAGE", `--${name} needs a cluster`, {
      hint: "Give --on URL of its coordinator, or set $SHEAF_ON.",
    });
  }
}

function checkCluster(flags: RunFlags): void {
  if (flags.listen !== undefined && (flags.on !== undefined || flags.detach === true)) {
    const other = flags.on === undefined ? "--detach" : "--on";
    throw new SheafError("USAGE", `--listen and ${other} exclude each other`, {
      hint: "With --listen this command is the coordinator of its own job.",
    });
  }
  const local = localOnly.find((name) => flags[name] !== undefined && flags[name] !== false);
  if (local !== undefined) {
    const hint =
      local === "workers"
        ? "Say how many cores of the cluster are wanted: --cores N."
        : "Leave it out; agents run every job in processes, in directories of their own.";
    throw new SheafError("USAGE", `--${local} is for runs on this machine, not on a cluster`, { hint });
  }
  if (flags.detach === true && (flags.print !== undefined || flags.collect === true)) {
    throw new SheafError("USAGE", "a job that was detached cannot print its results here", {
      hint: "Print them when it is done: sheaf results @ --print N.",
    });
  }
}

/** The options of a run on this machine. */
export function runOptions(
  flags: RunFlags,
  job: ResolvedJob,
  inputs: readonly string[],
  delivery: Delivery,
): RunOptions {
  const wished = {
    inputs,
    output: delivery.kind === "records" ? undefined : delivery.output,
    collect: wantsRecords(delivery, flags.json),
    overwrite: flags.overwrite,
    workers: flags.workers,
    partitions: partitionOption(flags.partitions),
    splitSize: flags.splitSize,
    mappers: flags.mappers,
    memory: flags.memory,
    heap: flags.heap,
    sample: flags.sample,
    growing: flags.growing,
    params: paramOption(flags.set),
    maxBad: flags.maxBad,
    external: [...job.external, ...flags.external],
    isolate: flags.inline === true ? ("inline" as const) : flags.isolate,
    attempts: flags.attempts,
    noProgressMs: flags.noProgressTimeout === 0 ? NEVER_MS : flags.noProgressTimeout,
    name: flags.name ?? job.name,
    tempDirectory: flags.temp,
    partBytes: flags.partSize,
  };
  return definedOnly(wished);
}

function partitionOption(given: RunFlags["partitions"]): RunOptions["partitions"] {
  const everywhere = given.filter((one) => one.collection === undefined);
  if (everywhere.length > 0 && given.length > 1) {
    throw new SheafError("USAGE", "--partitions is given more than once", {
      hint: "Give one number for all collections, or COLLECTION=N for each.",
    });
  }
  if (everywhere[0] !== undefined) return everywhere[0].count;
  if (given.length === 0) return undefined;
  return Object.fromEntries(given.map((one) => [one.collection, one.count]));
}

function paramOption(given: RunFlags["set"]): Readonly<Record<string, string>> | undefined {
  const params: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [name, value] of given) {
    if (name in params) {
      throw new SheafError("USAGE", `--set ${name} is given twice ("${params[name]}", then "${value}")`, {
        hint: "Give each parameter once.",
      });
    }
    params[name] = value;
  }
  return given.length === 0 ? undefined : { ...params };
}

/** The object without its undefined fields: where an option is not given, the runner's default holds. */
export function definedOnly<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
