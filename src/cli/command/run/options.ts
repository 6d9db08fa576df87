import { SheafError } from "../../../base/errors.ts";
import type { StepSelection } from "../../../engine/options.ts";
import type { RunSettings } from "../../../project/define-config.ts";
import type { ResolvedJob } from "../../../project/project-file.ts";
import {
  type OptionsByRunner,
  type RunnerName,
  runnerFor,
  runners,
  strayOptions,
} from "../../../runners/runners.ts";
import { type Invocation, given } from "../../command.ts";
import { credentialsOf } from "../../connection.ts";
import { type Delivery, wantsRecords } from "../../deliver.ts";
import { type World, writeTo } from "../../world.ts";
import { runFlags } from "./flags.ts";

export type RunFlags = Invocation<typeof runFlags>["flags"];

/** The flags of a command that has only some of them: the others are not given. */
export function runFlagsOf(some: Partial<RunFlags>): RunFlags {
  const none = Object.entries(runFlags).map(([name, flag]) => [name, flag.bind([])] as const);
  return { ...(Object.fromEntries(none) as RunFlags), ...some };
}

/** Durations that mean "never" to the watchdog. */
const NEVER_MS = 2 ** 31 - 1;

/** What flags ask for, as options; undefined where nothing was said. */
type WishedOptions = Readonly<Record<string, unknown>>;

/** The flag of an option that is not called as the option is. */
const flagOfOption: Readonly<Record<string, string>> = {
  tempDirectory: "temp",
  splitSize: "split-size",
  params: "set",
  steps: "only",
  maxBad: "max-bad",
  maxAux: "max-aux",
  noProgressMs: "no-progress-timeout",
  partBytes: "part-size",
  queueTimeoutMs: "queue-timeout",
  keepMs: "keep",
  keepBundle: "keep-bundle",
  workerTimeoutMs: "worker-timeout",
  deployMode: "deploy-mode",
  nodeBin: "node-bin",
  engineTemp: "engine-temp",
  printCommand: "print-command",
};

/** The runner that the flags, or else $SHEAF_ON, ask for. */
export function runnerOf(flags: RunFlags, world: World): RunnerName {
  if (flags.intermediate !== undefined) return "foreign";
  return flags.listen === undefined ? runnerFor(flags.on ?? world.env["SHEAF_ON"]) : "workers";
}

/** @throws SheafError USAGE for flags that exclude each other, or that the runner does not take */
export function checkRunFlags(flags: RunFlags, runner: RunnerName): void {
  if (flags.inline === true && flags.isolate !== undefined) {
    throw new SheafError("USAGE", "--inline and --isolate exclude each other", {
      hint: "--inline runs everything on the main thread; there is nothing to isolate.",
    });
  }
  if (flags.overwrite === true && flags.output === undefined) {
    throw new SheafError("USAGE", "--overwrite without --output", { hint: "Give the directory: -o DIR." });
  }
  if (flags.once === true && flags.output === undefined && runner === "local") {
    throw new SheafError("USAGE", "--once without --output", {
      hint: "Give the directory: -o DIR. What is printed is not kept for the next run.",
    });
  }
  if (flags.incremental === true && flags.output === undefined) {
    throw new SheafError("USAGE", "--incremental without --output", {
      hint: "Give the directory: -o DIR. What is kept for the next run lies in it.",
    });
  }
  if (flags.listen === undefined && flags.intermediate !== undefined) {
    throw new SheafError("USAGE", "--intermediate without --listen", {
      hint: "Say where workers ask for tasks: --listen 5000.",
    });
  }
  if (flags.intermediate !== undefined && flags.output === undefined) {
    throw new SheafError("USAGE", "--intermediate without --output", { hint: "Give the directory: -o DIR." });
  }
  if (
    flags.intermediate !== undefined &&
    flags.json === true &&
    (flags.print ?? flags.collect) !== undefined
  ) {
    throw new SheafError("USAGE", "--json prints no results of workers in other languages", {
      hint: "They are lines of text: leave out --json, or --print and --collect.",
    });
  }
  if (flags.listen !== undefined && (flags.on !== undefined || flags.detach === true)) {
    const other = flags.on === undefined ? "--detach" : "--on";
    throw new SheafError("USAGE", `--listen and ${other} exclude each other`, {
      hint: "With --listen this command is the coordinator of its own job.",
    });
  }
  const [stray] = strayOptions(runner, wishes(flags));
  if (stray !== undefined) throw notTaken(flags, stray, runner);
  if (flags.detach === true && (runner === "local" || runner === "hosted")) throw needsCluster("detach");
  if (flags.detach === true && (flags.print !== undefined || flags.collect === true)) {
    throw new SheafError("USAGE", "a job that was detached cannot print its results here", {
      hint: "Print them when it is done: sheaf results @ --print N.",
    });
  }
}

function notTaken(flags: RunFlags, option: string, runner: RunnerName): SheafError {
  const flag = option === "isolate" && flags.inline === true ? "inline" : (flagOfOption[option] ?? option);
  const takers = (Object.keys(runners) as RunnerName[]).filter((name) =>
    runners[name].takes.includes(option),
  );
  if (takers.join() === "foreign") {
    return new SheafError("USAGE", `--${flag} without --intermediate`, {
      hint: "It is for workers in other languages: --listen PORT --intermediate DIR.",
    });
  }
  if (runner === "local" && takers.includes("cluster")) return needsCluster(flag);
  if (runners[runner].takes.includes("cores") && takers.join() === "local") {
    const hint =
      flag === "workers"
        ? "Say how many cores of the cluster are wanted: --cores N."
        : "Leave it out; agents run every job in processes, in directories of their own.";
    return new SheafError("USAGE", `--${flag} is for runs on this machine, not on a cluster`, { hint });
  }
  return new SheafError("USAGE", `--${flag} is not for ${runners[runner].title}`, { hint: "Leave it out." });
}

function needsCluster(flag: string): SheafError {
  return new SheafError("USAGE", `--${flag} needs a cluster`, {
    hint: "Give --on URL of its coordinator, or set $SHEAF_ON.",
  });
}

/**
 * The options of a run by this runner. It takes all of them: checkRunFlags has seen to it.
 * @param delivery null: nobody waits for the results
 */
export async function runOptions<R extends RunnerName>(
  runner: R,
  about: {
    readonly flags: RunFlags;
    readonly job: Pick<ResolvedJob, "name" | "external">;
    readonly inputs: readonly string[];
    /** Of the project, for what the flags leave open. */
    readonly settings: RunSettings;
    readonly delivery: Delivery | null;
  },
  world: World,
): Promise<OptionsByRunner[R]> {
  const { flags, job, inputs, settings, delivery } = about;
  const { takes } = runners[runner];
  const tell = (line: string): void => void writeTo(world.stderr, `${line}\n`);
  const tellHere = (line: string): void => void writeTo(world.stdout, `${line}\n`);
  const params = paramOption(flags.set);
  const wished = {
    ...settings,
    ...given(wishes(flags)),
    overwrite: flags.overwrite,
    params: settings.params === undefined ? params : { ...settings.params, ...params },
    inputs,
    output: delivery === null ? flags.output : delivery.kind === "records" ? undefined : delivery.output,
    collect: delivery === null ? flags.output === undefined : wantsRecords(delivery, flags.json),
    external: [...job.external, ...flags.external],
    name: flags.name ?? settings.name ?? job.name,
    // What goes to standard output comes by way of a directory that no agent needs to know.
    shared: delivery?.kind === "stdout" ? false : (flags.shared ?? settings.shared),
    on: runner === "local" ? undefined : (flags.on ?? world.env["SHEAF_ON"]),
    printCommand:
      flags.printCommand === true ? (words: readonly string[]) => tellHere(shellLine(words)) : undefined,
    listen: flags.listen === undefined ? undefined : { ...flags.listen, tell },
    ...(takes.includes("tokenFile") ? await credentialsOf(flags, world) : {}),
  };
  return Object.fromEntries(
    Object.entries(wished).filter(([name, value]) => value !== undefined && takes.includes(name)),
  ) as never;
}

/** A command as a shell reads it. */
function shellLine(words: readonly string[]): string {
  const quoted = words.map((word) =>
    /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`,
  );
  return quoted.join(" ");
}

/** What the flags say that stands for itself; a runner that does not take it refuses it. */
function wishes(flags: RunFlags): WishedOptions {
  return {
    overwrite: flags.overwrite,
    workers: flags.workers,
    partitions: partitionOption(flags.partitions),
    splitSize: flags.splitSize,
    mappers: flags.mappers,
    memory: flags.memory,
    heap: flags.heap,
    sample: flags.sample,
    estimate: flags.estimate,
    live: flags.live,
    made: flags.made,
    materialize: flags.materialize,
    growing: flags.growing,
    params: paramOption(flags.set),
    maxBad: flags.maxBad,
    maxAux: flags.maxAux,
    isolate: flags.inline === true ? "inline" : flags.isolate,
    attempts: flags.attempts,
    chaos: flags.chaos,
    noProgressMs: flags.noProgressTimeout === 0 ? NEVER_MS : flags.noProgressTimeout,
    tempDirectory: flags.temp,
    partBytes: flags.partSize,
    incremental: flags.incremental,
    explain: flags.explain,
    external: flags.external.length === 0 ? undefined : flags.external,
    once: flags.once,
    force: flags.force,
    keepMs: flags.keep,
    keepBundle: flags.keepBundle,
    after: flags.after.length === 0 ? undefined : flags.after,
    cores: flags.cores,
    priority: flags.priority,
    shared: flags.shared,
    speculation: flags.speculation,
    queueTimeoutMs: flags.queueTimeout,
    group: flags.group,
    project: flags.project,
    intermediate: flags.intermediate,
    workerTimeoutMs: flags.workerTimeout,
    steps: stepsOption(flags),
    master: flags.master,
    deployMode: flags.deployMode,
    conf: confOption(flags.conf),
    nodeBin: flags.nodeBin,
    engineTemp: flags.engineTemp,
    jar: flags.jar,
    printCommand: flags.printCommand === true ? true : undefined,
  };
}

/** Which steps of a pipeline are wanted; undefined: all. */
export function stepsOption(flags: Pick<RunFlags, "only" | "from" | "until">): StepSelection | undefined {
  const { only, from, until } = flags;
  const wishes = { ...(only && { only }), ...(from && { from }), ...(until && { until }) };
  return Object.keys(wishes).length === 0 ? undefined : wishes;
}

function partitionOption(given: RunFlags["partitions"]): number | Record<string, number> | undefined {
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

function confOption(given: RunFlags["conf"]): Readonly<Record<string, string>> | undefined {
  // The last one wins, as with the engines' own commands.
  return given.length === 0 ? undefined : Object.fromEntries(given);
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
