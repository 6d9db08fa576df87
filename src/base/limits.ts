import { KiB, MiB } from "./size.ts";

/** Every limit and default, in one place. Sizes are bytes, times milliseconds. */
export const limits = {
  /** Memory one worker may use for buffers, tables, merges and prefetch together. */
  memoryBytesDefault: 256 * MiB,
  memoryBytesMin: 8 * MiB,
  /** Raw (uncompressed) size at which a block is closed. A record larger than this has a block to itself. */
  blockBytes: 256 * KiB,
  /** Runs merged at once; more take several passes. */
  mergeFanIn: 64,
  recordBytesMaxDefault: 64 * MiB,
  readChunkBytes: 1 * MiB,
  /** Window that a zstd frame may ask for: what libzstd takes unless it is told otherwise. */
  zstdWindowBytesMax: 128 * MiB,
  /** Paths that the braces of one input make. */
  bracedPathsMax: 100_000,
  /** Output files are closed and a new part begun at this size. */
  partBytesDefault: 64 * MiB,
  partitionsMax: 10_000,
  /** Different names that route() may give in one task. */
  outputNamesMax: 10_000,
  mappersMax: 1_000_000,
  attemptsMaxDefault: 4,
  /** A worker in another language that is not heard of for this long is lost. */
  foreignWorkerMsDefault: 60_000,
  /** A task that finishes no record (and calls no ctx.progress()) for this long is killed. */
  noProgressMsDefault: 60_000,
  /** Of the files that gave no record, so many are named. */
  emptyFilesNamed: 5,
  valueDepthMax: 1_000,
  /** Counters of one task, and the length of their names. */
  countersMax: 1_000,
  counterNameCharsMax: 200,
  keyBytesMax: 16 * MiB,
  /** What a worker process says at once: the result of a task with all its output files. */
  workerMessageBytesMax: 64 * MiB,
  /** What a server takes of a request, unless its route says otherwise. */
  serverBodyBytesMax: 8 * MiB,
  /** Values in it, those in one another too: parsing and checking takes as long as there are many. */
  serverBodyValuesMax: 250_000,
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
