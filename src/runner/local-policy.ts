import type { JobPolicy } from "../scheduler/policy.ts";

/** On one machine a task that keeps losing its worker is what kills it. */
const lossesMin = 4;
/** Unless records that do are set aside: so many of one task may. */
const lossesMaxKeepingBad = 100;

export interface LocalPolicyOptions {
  readonly attempts: number;
  readonly noProgressMs: number;
  /** Bad records are set aside, also those that end their worker. */
  readonly keepBad: boolean;
  /** Share of each phase's tasks that may fail without failing the job. */
  readonly failedTasksShare: number;
  /** Slow maps may leave what they have not begun to workers that are idle. */
  readonly handsOver: boolean;
}

/** Quick jobs are done by then. */
export const handOverAfterMs = 200;

/** How the scheduler treats a job on this machine: its one node is neither barred nor lost nor slow. */
export function localPolicy(options: LocalPolicyOptions): Partial<JobPolicy> {
  const { attempts, noProgressMs, keepBad, failedTasksShare, handsOver } = options;
  return {
    attemptsMax: attempts,
    lossesMax: keepBad ? lossesMaxKeepingBad : Math.max(lossesMin, attempts),
    // When bad records are kept the driver ends what hangs: then it is not a failure of user code.
    noProgressMs: keepBad ? noProgressMs * 2 : noProgressMs,
    failedTasksShare,
    barAfterFailures: Number.POSITIVE_INFINITY,
    speculation: false,
    handOverAfterMs: handsOver ? handOverAfterMs : Number.POSITIVE_INFINITY,
    stallMs: Number.POSITIVE_INFINITY,
  };
}
