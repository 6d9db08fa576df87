import { GiB, KiB, MiB } from "./size.ts";

/*
 * The numbers that users meet, each here and nowhere else: flags, options, schemas and docs/limits.md take
 * them from these tables. Sizes are bytes, times milliseconds; bounds are included.
 */

/** What a user may set: its default, where that is a number, and its bounds. */
export const settings = {
  workers: { min: 1, max: 1_024 },
  /** Memory one worker may use for buffers, tables, merges and prefetch together. */
  memoryBytes: { default: 256 * MiB, min: 8 * MiB },
  /** Below the least V8 itself hardly starts. */
  heapBytes: { min: 64 * MiB, leastByDefault: 512 * MiB, mostByDefault: 4 * GiB, elsewhere: 768 * MiB },
  splitBytes: { min: 1 },
  /** Also of map tasks that make their own records. */
  mappers: { min: 1, max: 1_000_000 },
  partitions: { min: 1, max: 10_000 },
  /** Output files are closed and a new part begun at this size. */
  partBytes: { default: 64 * MiB, min: 1 },
  attempts: { default: 4, min: 1, max: 1_000 },
  /** A task that finishes no record (and calls no ctx.progress()) for this long is killed. */
  noProgressMs: { default: 60_000, min: 1, max: 2 ** 31 - 1 },
  recordBytes: { default: 64 * MiB },
  /** A job's side data: its files, and what is in them when they are decompressed. */
  auxBytes: { default: 1 * GiB, min: 1 },
  cores: { min: 1, max: 100_000 },
  priority: { default: 0, min: -10, max: 10 },
  queueTimeoutMs: { min: 1, max: Number.MAX_SAFE_INTEGER },
  /** A worker in another language that is not heard of for this long is lost. */
  workerTimeoutMs: { default: 60_000 },
  port: { min: 0, max: 65_535 },
  coordinatorPort: { default: 7_077 },
  /** Agents and attached clients are to be heard of this often. */
  heartbeatMs: { default: 1_000 },
  /** An agent silent for this long is lost. */
  leaseMs: { default: 10_000 },
  /** Ended jobs that a coordinator keeps. */
  retention: { default: 100, min: 1 },
  /** How long one job is kept that has a time of its own. */
  keepMs: { min: 60_000, max: 3_650 * 86_400_000 },
  /** Tasks an agent runs at a time. */
  slots: { min: 1, max: 4_096 },
  /** Agents that `sheaf cluster up` starts. */
  agents: { default: 3, min: 1, max: 64 },
  /** What a worker of an agent may take in all. */
  workerMemoryBytes: { min: 64 * MiB },
  /** How long an agent that is to end waits for what runs. */
  graceMs: { default: 30_000 },
  certificateDays: { default: 365, min: 1, max: 36_500 },
  authorityDays: { default: 3_650, min: 1, max: 36_500 },
  /** Jobs, or tasks of one, that are listed. */
  listed: { default: 20, min: 1, max: 10_000 },
  /** How long `sheaf watch` waits between two looks. */
  watchIntervalMs: { default: 5_000, min: 10 },
  /** Records of a run file that are shown. */
  recordsShown: { default: 10, min: 0 },
} as const;

/** A whole number's bounds, as a schema has them. */
export function bounds(setting: { readonly min: number; readonly max: number }): {
  readonly minimum: number;
  readonly maximum: number;
} {
  return { minimum: setting.min, maximum: setting.max };
}

/** What is fixed. */
export const limits = {
  /** Raw (uncompressed) size at which a block is closed. A record larger than this has a block to itself. */
  blockBytes: 256 * KiB,
  /** Runs merged at once; more take several passes. */
  mergeFanIn: 64,
  readChunkBytes: 1 * MiB,
  /** Of a file behind an address: bytes of one request, and requests that run ahead of who reads it. */
  storageRequestBytes: 4 * MiB,
  storageRequestsAhead: 8,
  /** For how long a storage is asked again that does not answer, or says it will later. */
  storageRetryMs: 45_000,
  /** Files of an output that are uploaded at once. */
  storageUploadsAtOnce: 8,
  /** Letters of what a storage calls a version of a file. */
  storageVersionCharsMax: 1_024,
  /** Window that a zstd frame may ask for: what libzstd takes unless it is told otherwise. */
  zstdWindowBytesMax: 128 * MiB,
  /** Paths that the braces of one input make. */
  bracedPathsMax: 100_000,
  /** Different names that route() may give in one task, and the length of each and of its segments. */
  outputNamesMax: 10_000,
  outputNameCharsMax: 1_000,
  outputSegmentBytesMax: 200,
  /** Output files of route() that are open at once. */
  outputFilesOpenMax: 32,
  /** Memory in which results wait that route() has named; a quarter of a task's memory where that is less. */
  outputsHeldBytes: 32 * MiB,
  /** Of the files that gave no record, so many are named. */
  emptyFilesNamed: 5,
  /**
   * So many new files, or stretches of files, have map tasks of their own in an incremental run: the next one
   * can take over those of which nothing has changed. More share tasks.
   */
  keptApartMax: 256,
  keyBytesMax: 16 * MiB,
  keyDepthMax: 100,
  valueDepthMax: 1_000,
  /** Counters of one task, and the length of their names. */
  countersMax: 1_000,
  counterNameCharsMax: 200,
  /** Log of one task that is kept. */
  taskLogBytesMax: 1 * MiB,
  /** What a map task tells while its job runs: keys of a collection, and bytes in all. */
  liveKeysMax: 1_000,
  liveBytesMax: 64 * KiB,
  /** What all tasks together have told: keys of a collection, bytes that are merged, bytes that wait. */
  liveKeysMergedMax: 4_000,
  liveMergedBytesMax: 256 * KiB,
  liveWaitingBytesMax: 16 * MiB,
  /** The same of a cluster, where it is sent to an agent. */
  liveErrandBytesMax: 2 * MiB,
  /** What one partial result shows: keys of a collection, and characters of it and of one value. */
  liveKeysShownMax: 100,
  liveEventCharsMax: 20_000,
  liveValueCharsMax: 2_000,
  /** Steps of a pipeline that run at one time. */
  stepsAtOnce: 4,
  /** Jobs kept in the history of this machine. */
  jobsKept: 100,
  /** New files that `sheaf watch` gives one run; the longest wait after runs that failed. */
  watchFilesMax: 10_000,
  watchAgainMs: 300_000,
  /** A sheaf.config.ts: how long it may take to load, and its data as JSON. */
  configLoadMs: 10_000,
  configCharsMax: 1_000_000,
  /** Jobs, no longer kept themselves, whose bundles a coordinator keeps. */
  bundlesKept: 1_000,
  /** Map outputs kept with the capsule of a reduce. */
  capsuleInputBytesMax: 1 * GiB,
  /** The same of a cluster's: slices of its partition, which go to the coordinator. */
  capsuleSliceBytesMax: 64 * MiB,
  /** Attempts of a task that --chaos may hit, and for how long it lets one wait or run. */
  chaosAttemptsMax: 2,
  chaosDelayMsMax: 500,
  /** What a worker process says at once: the result of a task with all its output files. */
  workerMessageBytesMax: 64 * MiB,
  /** Letters of an agent's name, and of a label or name of a job on a cluster. */
  agentNameCharsMax: 64,
  labelCharsMax: 200,
  /** Schedules of a coordinator, and letters of their patterns. */
  schedulesMax: 1_000,
  cronCharsMax: 200,
  /** Inputs, collections, and paths of side data of a job. */
  jobPartsMax: 1_000,
  /** Files of its side data. */
  auxFilesMax: 10_000,
  /** Jobs that one job may follow. */
  afterMax: 100,
  /** Bad records of a cluster's job that are tried again at once. */
  retriedMax: 100_000,
  /** What a server takes of a request, unless its route says otherwise. */
  serverBodyBytesMax: 8 * MiB,
  /** Values in it, those in one another too: parsing and checking takes as long as there are many. */
  serverBodyValuesMax: 250_000,
  /** A job that is submitted. */
  submissionBytesMax: 16 * MiB,
  /** The same of plans, reports and commits of the largest jobs, which agents send. */
  serverLargeBodyBytesMax: 32 * MiB,
  serverLargeBodyValuesMax: 2_000_000,
  /** One text or number in it. */
  serverTokenBytesMax: 8 * MiB,
  serverHeaderBytesMax: 16 * KiB,
  serverConnectionsMax: 10_000,
  /** On one connection, whose answers are not yet sent. */
  serverRequestsQueuedMax: 16,
  /** A request's headers, and all of it, must have arrived within these. */
  serverHeadersMs: 10_000,
  serverRequestMs: 300_000,
} as const;
