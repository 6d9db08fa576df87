import type { Clock } from "../base/clock.ts";
import { settings } from "../base/limits.ts";
import { longPollMs } from "../protocol/version.ts";
import type { openDatabase } from "./database.ts";

/** Milliseconds. */
export interface CoordinatorTimings {
  /** Agents and attached clients are to be heard of this often. */
  readonly heartbeatMs: number;
  /** An agent silent for this long is lost; see `clientLeases`. */
  readonly leaseMs: number;
  /** A question for work or orders is answered "later" after this. */
  readonly longPollMs: number;
  /** Progress is told this often while somebody listens. */
  readonly progressMs: number;
  /** Kept blobs that no job names any more go when they are this old. */
  readonly blobUnusedMs: number;
  /** Planning or a commit that has not moved on for so long is given to another agent. */
  readonly errandStillMs: number;
  /**
   * A tick that comes later than this after the one before: the coordinator did not listen meanwhile (it was
   * stopped, its disk was full). Silence of others is counted only over time in which it did.
   */
  readonly absentAfterMs: number;
}

/**
 * A client not heard of for so many leases is gone, and its job with it. An agent that is given up too soon
 * costs what it runs, a client on a machine too busy for heartbeats the whole job.
 */
export const clientLeases = 3;

export const timingDefaults: CoordinatorTimings = {
  heartbeatMs: settings.heartbeatMs.default,
  leaseMs: settings.leaseMs.default,
  longPollMs,
  progressMs: 250,
  blobUnusedMs: 3_600_000,
  errandStillMs: 60_000,
  absentAfterMs: 1_000,
};

/** What one coordinator takes on at most. */
export interface CoordinatorLimits {
  /** Jobs that have not ended. */
  readonly jobsMax: number;
  /** Map tasks of a job, and reduce tasks. */
  readonly tasksMax: number;
  /** Partitions of a collection. */
  readonly partitionsMax: number;
  /** Ended jobs that are kept. */
  readonly retention: number;
  /** Printed lines kept of one job, bytes. */
  readonly logBytesMax: number;
}

export const limitDefaults: CoordinatorLimits = {
  jobsMax: 1_000,
  tasksMax: 200_000,
  partitionsMax: settings.partitions.max,
  retention: settings.retention.default,
  logBytesMax: 64 * 1024 * 1024,
};

/** One line of the coordinator's log: plain data, no secrets. */
export interface LogRecord {
  readonly level: "info" | "warn" | "error";
  /** "submit", "cancel": what audits look for; else what part speaks. */
  readonly event: string;
  readonly message: string;
  readonly [field: string]: string | number | boolean | null;
}

export interface CoordinatorOptions {
  /** Its own: coordinator.db, blobs/, jobs/. Made when it is not there. */
  readonly stateDirectory: string;
  /** Directories that jobs may name inputs and outputs in; none: jobs cannot name paths. */
  readonly roots: readonly string[];
  readonly version: string;
  readonly clock: Clock;
  /** Numbers in [0, 1), for job ids and the like; secrets are made elsewhere. */
  readonly random: () => number;
  readonly log: (record: LogRecord) => void;
  /** How the database is opened; default: openDatabase. */
  readonly openDatabase?: typeof openDatabase;
  readonly timings?: Partial<CoordinatorTimings>;
  readonly limits?: Partial<CoordinatorLimits>;
}
