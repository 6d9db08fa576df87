import { SheafError } from "../base/errors.ts";
import { namesOf, optionNames } from "../engine/options.ts";
import type {
  ClusterRunOptions,
  HostedRunOptions,
  JobRunOptions,
  LocalRunOptions,
  RunOptions,
} from "../engine/options.ts";
import type { RunResult } from "../engine/run-result.ts";
import type { Together } from "../hosted/host-engine.ts";
import type { Job } from "../job/job-plan.ts";
import type { ForeignRunOptions } from "./foreign.ts";
import type { WorkersRunOptions } from "./workers.ts";

/**
 * One way to run jobs. Events go to `options.onEvent`, in order; `options.signal` cancels; the result says
 * how the run ended, also when it failed or was cancelled.
 */
export interface Runner<O> {
  /** @throws SheafError USAGE for options that make no sense; everything else is in the result */
  run(job: Job | string | URL, options: O): Promise<RunResult>;
  /**
   * Submits a job that goes on without its client; absent where none can.
   * @throws SheafError whatever keeps the job from being accepted
   */
  submit?(job: Job | string | URL, options: O): Promise<{ readonly job: string; readonly name: string }>;
  /**
   * Begins with jobs that belong together: what is started for one of them the next may have, until they are
   * closed. Absent where nothing is started that could last.
   * @param options as those of each job, which all say the same of where they run
   */
  open?(options: O, together: Together): Promise<OpenRunner<O>>;
}

/** Runs jobs that belong together. */
export interface OpenRunner<O> extends Pick<Runner<O>, "run"> {
  /** No job runs any more. */
  close(): Promise<void>;
}

/** What is known of a runner before its code is loaded. */
interface RunnerEntry<O> {
  /** Values of `on` (--on, $SHEAF_ON) that choose it; "" is none. */
  readonly on: readonly string[];
  /** As messages call it: "--shared is not for ...". */
  readonly title: string;
  /** Options it takes. Any other one that is given is refused. */
  readonly takes: readonly string[];
  /** What the job is given as: its file, or only a name, since workers know what to do. */
  readonly job: "file" | "name";
  /** Whether results say how many records were read. */
  readonly countsRecords: boolean;
  load(): Promise<Runner<O>>;
}

const { common, queue, local, hosted, cluster } = optionNames;

/** Of these an engine that users have knows nothing. */
const notHosted = /^(?:live|made|fail|chaos|materialize|incremental|explain|maxFailedTasks|growing)$/;

/** The options of every runner, by its name. */
export interface OptionsByRunner {
  readonly local: LocalRunOptions;
  readonly hosted: HostedRunOptions;
  readonly cluster: ClusterRunOptions;
  readonly workers: WorkersRunOptions;
  readonly foreign: ForeignRunOptions;
}
export type RunnerName = keyof OptionsByRunner;

/** Every runner there is. A new one is a line in OptionsByRunner, and an entry here. */
export const runners: { readonly [R in RunnerName]: RunnerEntry<OptionsByRunner[R]> } = {
  local: {
    on: ["", "local", "inline"],
    title: "runs on this machine",
    takes: [...common, ...queue, ...local],
    job: "file",
    countsRecords: true,
    load: async () => {
      const { runJob } = await import("../runner/run.ts");
      return { run: (job, options) => runJob(job, options) };
    },
  },
  /** Hadoop, Spark. */
  hosted: {
    on: ["hadoop", "spark"],
    title: "runs on Hadoop or Spark",
    takes: [...common.filter((name) => !notHosted.test(name)), ...queue, ...hosted],
    job: "file",
    countsRecords: true,
    load: async () => {
      const { runHosted, openHosted } = await import("../hosted/hosted-run.ts");
      return { run: runHosted, open: openHosted };
    },
  },
  /** Agents of a coordinator; for any `on` that chooses no other. */
  cluster: {
    on: [],
    title: "runs on a cluster",
    takes: [...common, ...queue, ...cluster],
    job: "file",
    countsRecords: true,
    load: async () => {
      const { runOnCluster, submitToCluster } = await import("../client/cluster-run.ts");
      return { run: runOnCluster, submit: submitToCluster };
    },
  },
  /** `sheaf worker` processes that join this run. */
  workers: {
    on: [],
    title: "runs that workers join",
    takes: [...common, ...cluster.filter((name) => !/^(?:on|tokenFile|tls)$/.test(name)), "listen"],
    job: "file",
    countsRecords: true,
    load: async () => ({ run: (await import("./workers.ts")).runWithWorkers }),
  },
  /** Programs of any language that ask this run for tasks. */
  foreign: {
    on: [],
    title: "workers in other languages",
    takes: namesOf<ForeignRunOptions>({
      inputs: true,
      output: true,
      overwrite: true,
      mappers: true,
      partitions: true,
      attempts: true,
      name: true,
      signal: true,
      onEvent: true,
      listen: true,
      intermediate: true,
      workerTimeoutMs: true,
    }),
    job: "name",
    countsRecords: false,
    load: async () => ({ run: (await import("./foreign.ts")).runForeignWorkers }),
  },
};

/** The runner that `on` chooses; what names none is the URL of a coordinator. */
export function runnerFor(on: string | undefined): RunnerName {
  const names = Object.keys(runners) as RunnerName[];
  return names.find((name) => runners[name].on.includes(on ?? "")) ?? "cluster";
}

/** The options that are given and that the runner does not take; names that are no option's are not meant. */
export function strayOptions(runner: RunnerName, options: object): string[] {
  const { takes } = runners[runner];
  const known = Object.values(runners).flatMap((one) => one.takes);
  return Object.entries(options)
    .filter(([name, value]) => value !== undefined && known.includes(name) && !takes.includes(name))
    .map(([name]) => name);
}

/**
 * The runner that `options.on` chooses.
 * @throws SheafError USAGE for options that make no sense there
 */
export async function runnerAsked(options: RunOptions): Promise<Runner<JobRunOptions>> {
  const name = runnerFor(options.on);
  const [stray] = strayOptions(name, options);
  if (stray !== undefined) throw notTaken(name, stray);
  // `on` has chosen which of the two types the options are of.
  return (await runners[name].load()) as Runner<JobRunOptions>;
}

function notTaken(name: RunnerName, option: string): SheafError {
  return new SheafError("USAGE", `run(): the option "${option}" is not for ${runners[name].title}`, {
    hint:
      name === "local" && cluster.includes(option)
        ? "Give `on`, the URL of a coordinator, or leave the option out."
        : "Leave it out; docs/job-api.md says which options go with which `on`.",
  });
}
