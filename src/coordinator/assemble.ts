import { randomBytes } from "node:crypto";
import { SheafError, describeThrown, isSheafError } from "../base/errors.ts";
import { carryOut } from "../engine/executor.ts";
import { EventLoop } from "../engine/loop.ts";
import type { EngineCommand, EngineScheduler } from "../engine/loop.ts";
import type { JobView } from "../protocol/job-view.ts";
import { quotePath } from "../storage/fs-error.ts";
import { AgentExecutor } from "./agent-executor.ts";
import { Agents } from "./agents.ts";
import { Blobs } from "./blobs.ts";
import type { ClusterJob, JobSurroundings } from "./cluster-job.ts";
import { EpochClock } from "./epoch-clock.ts";
import { JobFlow } from "./job-flow.ts";
import { Jobs } from "./jobs.ts";
import type { KeptOutput } from "./kept-output.ts";
import { describeRecovered, describeRecovery, recoverState } from "./recover.ts";
import type { Recovery } from "./recover.ts";
import { restoreJobs, restoreScheduler } from "./restore.ts";
import { newTallies } from "./service.ts";
import type { Tallies } from "./service.ts";
import { limitDefaults, timingDefaults } from "./settings.ts";
import type { CoordinatorLimits, CoordinatorOptions, CoordinatorTimings } from "./settings.ts";
import { StateStore } from "./store.ts";
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
  readonly store: StateStore;
  readonly scheduler: EngineScheduler<KeptOutput>;
  readonly loop: EventLoop<KeptOutput>;
  readonly agents: Agents;
  readonly jobs: Jobs;
  readonly blobs: Blobs;
  readonly flow: JobFlow;
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
  const store = new StateStore(options.stateDirectory, process.pid, options.version, options.openDatabase);
  try {
    return assembleOver(store, options);
  } catch (error) {
    store.close();
    throw isSheafError(error) ? error : unfit(error, store, options);
  }
}

/** Every row is as it was written, and what stands in it makes no sense here. */
function unfit(cause: unknown, { path, writer }: StateStore, { version }: CoordinatorOptions): SheafError {
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

function assembleOver(store: StateStore, options: CoordinatorOptions): Assembly {
  const { stateDirectory } = options;
  const timings = { ...timingDefaults, ...options.timings };
  const limits = { ...limitDefaults, ...options.limits };
  const clock = new EpochClock(options.clock);
  const startedMs = clock.nowMs();
  const name = randomBytes(6).toString("hex");
  const recovery = recoverState(store, stateDirectory, startedMs);
  if (recovery !== null) logRecovery(options, recovery);
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
  const executor = new AgentExecutor({ jobs, agents, polls, flow: () => flow });
  const loop: EventLoop<KeptOutput> = new EventLoop<KeptOutput>({
    scheduler,
    journal: store,
    handlers: {
      follow: (fact, report) => {
        if (fact.kind === "attempt") jobs.get(fact.job)?.planned?.run.follow(fact, report);
      },
      note: (command) => {
        if (command.kind === "jobEnded") flow.noteEnd(command);
      },
      perform: (command) => carryOut(command, executor, flow),
      trouble: (error) => logTrouble(options, error),
      bug: (error) => logBug(options, error),
    },
    nowMs: () => clock.nowMs(),
  });
  const prune = (): void => {
    jobs.prune(limits.retention, clock.wallMs(), (work) => loop.after(work));
    blobs.prune(jobs.usedBlobs(), clock.wallMs() - timings.blobUnusedMs);
  };
  const ended = (job: ClusterJob, view: JobView): void => {
    jobs.ended(job, view);
    prune();
  };
  const common = {
    scheduler,
    loop,
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
  const watch = new Watch(jobs, flow, clock, timings, prune);
  const nextNumber = restoreJobs(jobs, around, flow.plannedParts);
  if (recovery !== null) tellRecovery(jobs, recovery);
  resume({ jobs, loop, flow }, commands);
  const own = { options, name, startedMs, nextNumber, around, blobs, watch, flow };
  return { ...common, ...own };
}

interface Resumed {
  readonly jobs: Jobs;
  readonly loop: EventLoop<KeptOutput>;
  readonly flow: JobFlow;
}

/** Jobs that lived when the coordinator was ended go on from where they were. */
function resume({ jobs, loop, flow }: Resumed, commands: readonly EngineCommand[]): void {
  for (const job of jobs.live()) job.planned?.restore();
  loop.perform(commands);
  for (const job of jobs.live()) {
    if (job.isEnding) loop.after(() => flow.finish(job));
    else if (job.row.state === "QUEUED" || job.row.state === "PLANNING") flow.queue(job);
  }
  loop.settle();
}

/** Where operators look: one line for the state, one for each job. */
function logRecovery({ log }: CoordinatorOptions, recovery: Recovery): void {
  log({ level: "error", event: "state-lost", message: describeRecovery(recovery) });
  for (const one of recovery.jobs) {
    const level = one.kind === "lost" ? "error" : "warn";
    const message = `job ${one.job} ${describeRecovered(one)}`;
    log({ level, event: "state-lost", message, job: one.job, outcome: one.kind });
  }
}

/** Where clients look: the history of each job that goes on. Those that are lost have it as their cause. */
function tellRecovery(jobs: Jobs, recovery: Recovery): void {
  for (const one of recovery.jobs) {
    if (one.kind !== "goes on") continue;
    const message = `${describeRecovery(recovery)}: the job ${describeRecovered(one)}`;
    jobs.get(one.job)?.emit({ kind: "warning", message });
  }
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
