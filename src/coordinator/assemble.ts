import { randomBytes } from "node:crypto";
import { SheafError, describeThrown, isSheafError } from "../base/errors.ts";
import type { JobView } from "../protocol/job-view.ts";
import type { Command } from "../scheduler/commands.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";
import { AgentDoor } from "./agent-door.ts";
import { Agents } from "./agents.ts";
import { Blobs } from "./blobs.ts";
import type { ClusterJob, JobSurroundings } from "./cluster-job.ts";
import { EpochClock } from "./epoch-clock.ts";
import { AttemptFollower } from "./follow-attempts.ts";
import { JobFlow } from "./job-flow.ts";
import { Jobs } from "./jobs.ts";
import { Performing } from "./performing.ts";
import { Pump } from "./pump.ts";
import { Reports } from "./reports.ts";
import { restoreJobs, restoreScheduler } from "./restore.ts";
import { limitDefaults, timingDefaults } from "./settings.ts";
import type { CoordinatorLimits, CoordinatorOptions, CoordinatorTimings } from "./settings.ts";
import { quotePath } from "../storage/fs-error.ts";
import { Store } from "./store.ts";
import { newTallies } from "./tallies.ts";
import type { Tallies } from "./tallies.ts";
import { TaskPolls } from "./task-polls.ts";
import { Watch } from "./watch.ts";

/** The parts of a coordinator, each knowing those it needs. */
export interface Assembly {
  readonly options: CoordinatorOptions;
  readonly timings: CoordinatorTimings;
  readonly limits: CoordinatorLimits;
  readonly clock: EpochClock;
  readonly startedMs: number;
  /** Names this start. */
  readonly name: string;
  readonly store: Store;
  readonly scheduler: Scheduler;
  readonly pump: Pump;
  readonly agents: Agents;
  readonly jobs: Jobs;
  readonly blobs: Blobs;
  readonly flow: JobFlow;
  readonly door: AgentDoor;
  readonly reports: Reports;
  readonly watch: Watch;
  readonly polls: TaskPolls;
  readonly tallies: Tallies;
  readonly around: JobSurroundings;
  /** Number of the next job. */
  readonly nextNumber: number;
}

/**
 * Takes the state directory, reads back what is in it, and goes on with what was going on.
 * @throws SheafError STATE_LOCKED, STATE_CORRUPT, DISK_FULL, OUTPUT_UNWRITABLE
 */
export function assemble(options: CoordinatorOptions): Assembly {
  const store = new Store(options.stateDirectory, process.pid, options.version, options.openDatabase);
  try {
    return assembleOver(store, options);
  } catch (error) {
    store.close();
    throw isSheafError(error) ? error : unfit(error, store, options);
  }
}

/** Every row is as it was written, and what stands in it makes no sense here. */
function unfit(cause: unknown, { path, writer }: Store, { version }: CoordinatorOptions): SheafError {
  const by = writer === null || writer === version ? "this version of sheaf" : `sheaf ${writer}`;
  const what = `what ${by} wrote into it does not fit together (${describeThrown(cause)})`;
  return new SheafError("STATE_CORRUPT", `${quotePath(path)} cannot be taken up: ${what}`, {
    hint:
      writer === null || writer === version
        ? "Put back a copy of the state directory, or move it away and begin with an empty one."
        : `Start the coordinator with sheaf ${writer}, or move the state directory away and begin with an empty one.`,
    cause,
  });
}

function assembleOver(store: Store, options: CoordinatorOptions): Assembly {
  const { stateDirectory } = options;
  const timings = { ...timingDefaults, ...options.timings };
  const limits = { ...limitDefaults, ...options.limits };
  const clock = new EpochClock(options.clock);
  const startedMs = clock.nowMs();
  const name = randomBytes(6).toString("hex");
  const blobs = new Blobs(stateDirectory);
  const { scheduler, commands } = restoreScheduler(store, startedMs, timings.leaseMs);
  const agents = new Agents(store, startedMs);
  const jobs = new Jobs(store, stateDirectory);
  const polls = new TaskPolls();
  const tallies = newTallies();
  const around: JobSurroundings = {
    store,
    clock,
    stateDirectory,
    logBytesMax: limits.logBytesMax,
    blobPath: (hash) => blobs.path(hash),
    warn: (message) => options.log({ level: "warn", event: "job-directory", message }),
  };
  const parts = { jobs, agents, polls, flow: () => flow, follower: () => follower };
  const performing = new Performing(parts);
  const pump = new Pump(scheduler, store, () => clock.nowMs(), {
    follow: (fact) => performing.follow(fact),
    note: (command) => performing.note(command),
    perform: (command) => performing.perform(command),
    trouble: (error) => logTrouble(options, error),
    bug: (error) => logBug(options, error),
  });
  const ended = (job: ClusterJob, view: JobView): void => {
    jobs.ended(job, view);
    jobs.prune(limits.retention, (work) => pump.after(work));
    blobs.prune(jobs.usedBlobs(), clock.wallMs() - timings.blobUnusedMs);
  };
  const common = {
    scheduler,
    pump,
    store,
    clock,
    agents,
    jobs,
    polls,
    tallies,
    timings,
    limits,
    coordinator: name,
  };
  const flow: JobFlow = new JobFlow({ ...common, ended });
  const follower = new AttemptFollower({
    store,
    agents,
    tallies,
    after: (work) => pump.after(work),
    abort: (job, failure) => flow.abort(job, failure),
  });
  const reports = new Reports(scheduler, pump, tallies, (job, failure) => flow.abort(job, failure));
  const door = new AgentDoor({ ...common, flow });
  const watch = new Watch(jobs, agents, flow, clock, timings);
  const nextNumber = restoreJobs(store, jobs, around);
  resume({ jobs, pump, flow, follower, scheduler }, commands);
  const own = { options, name, startedMs, nextNumber, around, blobs, reports, door, watch, flow };
  return { ...common, ...own };
}

interface Resumed {
  readonly jobs: Jobs;
  readonly pump: Pump;
  readonly flow: JobFlow;
  readonly follower: AttemptFollower;
  readonly scheduler: Scheduler;
}

/** Jobs that lived when the coordinator was ended go on from where they were. */
function resume({ jobs, pump, flow, follower, scheduler }: Resumed, commands: readonly Command[]): void {
  for (const job of jobs.live()) if (job.plan !== null) follower.restore(job, scheduler);
  pump.perform(commands);
  for (const job of jobs.live()) {
    if (job.isEnding) pump.after(() => flow.finish(job));
    else if (job.row.state === "QUEUED" || job.row.state === "PLANNING") flow.queue(job);
  }
  pump.settle();
}

function logTrouble({ log }: CoordinatorOptions, error: SheafError | null): void {
  if (error === null) log({ level: "info", event: "store", message: "the state can be written again" });
  else
    log({
      level: "error",
      event: "store",
      message: `${error.message}: nothing is acknowledged until it can be`,
    });
}

function logBug({ log }: CoordinatorOptions, error: unknown): void {
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  log({ level: "error", event: "internal", message: describeThrown(error), stack });
}
