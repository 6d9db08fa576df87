import { SheafError } from "../base/errors.ts";
import { settings } from "../base/limits.ts";

/** How one job is treated. Times are milliseconds. */
export interface JobPolicy {
  /** User and data failures of one task before the task fails. */
  readonly attemptsMax: number;
  /**
   * Losses of one task (kills, lost nodes, system failures) before the task fails, so that every job ends.
   */
  readonly lossesMax: number;
  /**
   * So many nodes may be lost while they run one task: with the last of them the job fails, before the task
   * takes down another. A node that leaves on purpose is not counted, nor one lost while the driver was away.
   * A task that lasts a hundredth of the time between two faults of a node meets 4 of them in a row once in
   * 100 million times, one that lasts a tenth once in 10,000; with 3 that were once in 1,000, and a job has
   * that many tasks.
   */
  readonly nodesLostMax: number;
  /**
   * So many workers may be lost under one task: with the last of them the task fails, as user code that exits
   * or is killed does. Workers that went with their node are not counted, nor those of a life of a node that
   * has ended since.
   */
  readonly workersLostMax: number;
  /** Fetch failures of one map task's output before the job fails. */
  readonly fetchFailuresMax: number;
  /**
   * How often in a job a lost map output may come out differently when it is made again and reduces start
   * over, before the job fails.
   */
  readonly outputChangesMax: number;
  /**
   * An attempt without progress for this long is killed. A user failure when it was reported to stand still,
   * a loss when nothing was heard of it. Messages must not be half as late as this.
   */
  readonly noProgressMs: number;
  /** Failures on one node after which it gets no more tasks of this job ... */
  readonly barAfterFailures: number;
  /** ... for this long. Failures older than this are forgotten, too. */
  readonly barMs: number;
  /** Start backups of slow tasks on other nodes. */
  readonly speculation: boolean;
  /** A backup needs this share of its phase done, */
  readonly speculationDoneShare: number;
  /** a task that has run this many times the median of those done, */
  readonly speculationSlowness: number;
  /** and at least this long. */
  readonly speculationFloorMs: number;
  /** Share of a phase's tasks that may get a backup; one task always may. */
  readonly speculationShare: number;
  /** Share of each phase's tasks that may fail without failing the job. */
  readonly failedTasksShare: number;
  /**
   * A job that has waited so long for a slot it was granted may end attempts of jobs of lower priority that
   * run beyond their grants, ms. Infinity: it waits until they end.
   */
  readonly preemptAfterMs: number;
  /** So often a task's attempts may be ended for other jobs. */
  readonly preemptionsMax: number;
  /**
   * A map attempt that has run so long may be asked to hand over its rest to idle slots, ms. Infinity: never.
   */
  readonly handOverAfterMs: number;
  /** Finished map output outlives its node (shared storage). */
  readonly outputsSurviveNode: boolean;
  /**
   * There are nodes, but for this long none of them could run any of the waiting tasks: the job fails.
   * Infinity: it waits.
   */
  readonly stallMs: number;
  /** As long as this a job waits while there is no node at all. */
  readonly queueTimeoutMs: number;
}

export const jobPolicyDefaults: JobPolicy = {
  attemptsMax: settings.attempts.default,
  lossesMax: 20,
  nodesLostMax: 4,
  workersLostMax: 4,
  fetchFailuresMax: 4,
  outputChangesMax: 3,
  noProgressMs: settings.noProgressMs.default,
  barAfterFailures: 3,
  barMs: 600_000,
  speculation: true,
  speculationDoneShare: 0.75,
  speculationSlowness: 1.5,
  speculationFloorMs: 5_000,
  speculationShare: 0.1,
  failedTasksShare: 0,
  preemptAfterMs: 2_000,
  preemptionsMax: 3,
  handOverAfterMs: Number.POSITIVE_INFINITY,
  outputsSurviveNode: false,
  stallMs: 600_000,
  queueTimeoutMs: Number.POSITIVE_INFINITY,
};

/** How the scheduler treats nodes. */
export interface SchedulerSettings {
  /** A node silent for this long is lost. Infinity: only nodeLost ends a node, and reports are never lost. */
  readonly leaseMs: number;
  /** Keep book of what has to outlive the driver, for `takeFacts`; then it has to be taken. */
  readonly keepFacts: boolean;
}

export const schedulerSettingsDefaults: SchedulerSettings = {
  leaseMs: settings.leaseMs.default,
  keepFacts: false,
};

/** @throws SheafError USAGE naming the field that makes no sense. */
export function resolvePolicy(changes: Partial<JobPolicy> = {}): JobPolicy {
  const policy: JobPolicy = { ...jobPolicyDefaults, ...changes };
  const atLeast = (field: keyof JobPolicy, least: number): void => {
    const value = policy[field];
    if (typeof value !== "number" || !(value >= least)) {
      throw new SheafError("USAGE", `${field}: ${String(value)} is below ${least}`, {
        hint: `Give a number of ${least} or more.`,
      });
    }
  };
  for (const field of [
    "attemptsMax",
    "lossesMax",
    "nodesLostMax",
    "workersLostMax",
    "fetchFailuresMax",
    "barAfterFailures",
  ] as const)
    atLeast(field, 1);
  for (const field of ["noProgressMs", "barMs", "speculationFloorMs", "failedTasksShare", "stallMs"] as const)
    atLeast(field, 0);
  for (const field of ["speculationDoneShare", "speculationSlowness", "speculationShare"] as const)
    atLeast(field, 0);
  for (const field of [
    "queueTimeoutMs",
    "outputChangesMax",
    "preemptAfterMs",
    "preemptionsMax",
    "handOverAfterMs",
  ] as const)
    atLeast(field, 0);
  return policy;
}
