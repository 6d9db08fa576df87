import type { JobPolicy } from "../scheduler/policy.ts";

/** What a job is told that decides about its attempts. */
export interface AttemptOptions {
  /** Attempts a task has. */
  readonly attempts: number;
  readonly noProgressMs: number;
  /** Bad records are set aside, also those that end their worker. */
  readonly keepBad: boolean;
  /** Share of each phase's tasks that may fail without failing the job. */
  readonly failedTasksShare: number;
}

/** Anyone may kill a worker; a task that keeps losing them is what kills them. */
const workersLostMin = 4;
/** Losses that nobody is to blame for: machines that went away, above all. */
const lossesMax = 20;
/** Each record that ends its worker is a loss, before it is set aside. */
const lossesMaxKeepingBad = 100;

/**
 * How the scheduler treats the attempts of a job. Whoever has a worker beside it ends what stands still, and
 * knows at which record that was; the scheduler's own limit is for when nobody does.
 * @param leaseMs after which a node that is silent is lost; 0 where all is one process
 */
export function jobPolicy(options: AttemptOptions, leaseMs: number): Partial<JobPolicy> {
  const { attempts, noProgressMs, keepBad, failedTasksShare } = options;
  return {
    attemptsMax: attempts,
    workersLostMax: Math.max(workersLostMin, attempts),
    lossesMax: keepBad ? lossesMaxKeepingBad : lossesMax,
    noProgressMs: 2 * (noProgressMs + leaseMs),
    failedTasksShare,
  };
}

/** A slow map is asked to hand over its rest after this long: quick jobs are done by then. */
export const handOverAfterMs = 500;

/** The same where something else has tried again already: what it reports is the end. */
export function onePolicy(options: AttemptOptions): Partial<JobPolicy> {
  const never = Number.POSITIVE_INFINITY;
  const policy = localPolicy(options, false);
  return { ...policy, attemptsMax: 1, lossesMax: 1, workersLostMax: 1, noProgressMs: never };
}

/**
 * The same on one machine: its one node is neither barred nor lost nor slow, and what the system fails at
 * once (a full disk) is not tried more often than what user code fails at.
 */
export function localPolicy(options: AttemptOptions, handsOver: boolean): Partial<JobPolicy> {
  const policy = jobPolicy(options, 0);
  return {
    ...policy,
    ...(options.keepBad ? {} : { lossesMax: policy.workersLostMax! }),
    barAfterFailures: Number.POSITIVE_INFINITY,
    speculation: false,
    handOverAfterMs: handsOver ? handOverAfterMs : Number.POSITIVE_INFINITY,
    stallMs: Number.POSITIVE_INFINITY,
  };
}
