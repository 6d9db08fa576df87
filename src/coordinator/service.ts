import type { JobStateText } from "../protocol/job-view.ts";

/** Who asks, for the audit line: never decides anything. */
export interface Caller {
  /** "client" or "agent", by the token that was shown. */
  readonly role: string;
  /** Address of the connection's other end. */
  readonly remote: string;
}

export interface JobFilter {
  readonly name?: string;
  /** Of names, as base/wildcard.ts. */
  readonly pattern?: string;
  readonly state?: JobStateText;
  readonly group?: string;
  readonly project?: string;
  /** Default 100. */
  readonly limit?: number;
}

/** A file to be sent. */
export interface ServedFile {
  readonly path: string;
  readonly bytes: number;
}

export interface Gauges {
  readonly queued: number;
  readonly running: number;
  readonly agents: number;
  readonly slots: number;
  readonly busySlots: number;
  readonly tasksReady: number;
  readonly tasksRunning: number;
  /** Of the agent silent longest, ms. */
  readonly heartbeatAgeMsMax: number;
}

/** Since this coordinator started. */
export interface Totals {
  readonly jobsSucceeded: number;
  readonly jobsFailed: number;
  readonly jobsCancelled: number;
  readonly attemptsFinished: number;
  readonly attemptsFailed: number;
  readonly attemptsLost: number;
  readonly fetchFailures: number;
  readonly inputBytes: number;
  readonly shuffleBytes: number;
  readonly outputBytes: number;
}

/** The same while they are counted. */
export type Tallies = { -readonly [Name in keyof Totals]: Totals[Name] };

export function newTallies(): Tallies {
  return {
    jobsSucceeded: 0,
    jobsFailed: 0,
    jobsCancelled: 0,
    attemptsFinished: 0,
    attemptsFailed: 0,
    attemptsLost: 0,
    fetchFailures: 0,
    inputBytes: 0,
    shuffleBytes: 0,
    outputBytes: 0,
  };
}
