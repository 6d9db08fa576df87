import Type from "typebox";
import type { Static } from "typebox";
import { UtilitySchema } from "./agent-messages.ts";
import { OutputTargetSchema, ReadFileSchema } from "./submission.ts";
import {
  AttemptId,
  EmptyFilesSchema,
  IncrementalSchema,
  PartViewSchema,
  StatsSchema,
} from "./task-result.ts";

const closed = { additionalProperties: false } as const;
const Whole = Type.Integer({ minimum: 0 });
const nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const Text = Type.String();

/** QUEUED: waits for an agent or to be planned. */
export const JobStateName = Type.Union([
  Type.Literal("QUEUED"),
  Type.Literal("PLANNING"),
  Type.Literal("RUNNING"),
  Type.Literal("COMMITTING"),
  Type.Literal("SUCCEEDED"),
  Type.Literal("FAILED"),
  Type.Literal("CANCELLED"),
]);

const BidRoundSchema = Type.Object(
  {
    bar: Type.Number(),
    answers: Type.Array(Type.Object({ node: Text, utility: Type.Number(), cores: Whole }, closed)),
  },
  closed,
);

/** Cores wanted, granted and used at most at one time. */
const BiddingSchema = Type.Object(
  {
    wanted: Whole,
    granted: Whole,
    used: Whole,
    grants: Type.Record(Type.String(), Whole),
    rounds: Type.Array(BidRoundSchema),
    /** Why fewer than wanted; null when all were granted. */
    note: nullable(Text),
  },
  closed,
);

const PhaseViewSchema = Type.Object(
  {
    phase: Type.Union([Type.Literal("sample"), Type.Literal("map"), Type.Literal("reduce")]),
    tasks: Whole,
    blocked: Whole,
    ready: Whole,
    running: Whole,
    finished: Whole,
    failed: Whole,
    backups: Whole,
    /** What its tasks have read so far, those that run as of their last heartbeat; left out in old states. */
    recordsIn: Type.Optional(Whole),
    bytesIn: Type.Optional(Whole),
    /** 0 to 1. */
    fraction: Type.Optional(Type.Number()),
  },
  closed,
);

/** Why a job failed, as its clients show it. */
const JobErrorSchema = Type.Object(
  {
    code: Text,
    message: Text,
    hint: nullable(Text),
    task: nullable(Text),
    attempt: nullable(Whole),
    host: nullable(Text),
    /** The one-screen text. */
    report: Text,
  },
  closed,
);

/** GET /jobs lists these; GET /jobs/{job} gives JobViewSchema. Times are ISO 8601 UTC. */
export const JobSummarySchema = Type.Object(
  {
    job: Text,
    name: Text,
    state: JobStateName,
    submitter: Text,
    host: Text,
    group: nullable(Text),
    project: nullable(Text),
    priority: Type.Integer(),
    code: Text,
    attached: Type.Boolean(),
    submitTime: Text,
    startTime: nullable(Text),
    endTime: nullable(Text),
    elapsedMs: nullable(Type.Number()),
    mapTasks: Whole,
    reduceTasks: Whole,
    /** 0 to 1 over all tasks. */
    fraction: Type.Number(),
    /** While it waits: for what. */
    waitingFor: nullable(Text),
    exception: nullable(Text),
  },
  closed,
);

export const JobViewSchema = Type.Object(
  {
    ...JobSummarySchema.properties,
    inputs: Type.Array(Text),
    output: nullable(Text),
    file: nullable(Text),
    /** Until when it is kept, once it has ended; left out: as long as the coordinator keeps others. */
    keptUntil: Type.Optional(Text),
    /** The earlier job whose output it has, since the same had been run before. Left out: it ran. */
    sameAs: Type.Optional(Text),
    /** How long it is kept from its end on; left out: as the coordinator keeps others. */
    keepMs: Type.Optional(Whole),
    /** Whether it was not to run when the same had been run before, and whether that was overruled. */
    runOnce: Type.Optional(Type.Boolean()),
    force: Type.Optional(Type.Boolean()),
    /** Jobs that had to succeed before it could begin. Left out: none. */
    after: Type.Optional(Type.Array(Text)),
    phases: Type.Array(PhaseViewSchema),
    bidding: nullable(BiddingSchema),
    agents: Type.Array(Text),
    barred: Type.Array(Type.Object({ agent: Text, reason: Text }, closed)),
    counters: Type.Record(Type.String(), Type.Number()),
    stats: nullable(StatsSchema),
    badRecords: Whole,
    /** Files that gave no record, once the job has ended; left out when there are none. */
    emptyFiles: Type.Optional(EmptyFilesSchema),
    /** Where a storage says where bytes lie: maps, and those of them that ran on a host that has theirs. */
    nearMaps: Type.Optional(Type.Object({ maps: Whole, local: Whole }, closed)),
    /** Of a job that generates its records: how many were made. `tasks` left out where there are many. */
    made: Type.Optional(
      Type.Object(
        {
          records: Whole,
          tasks: Type.Optional(Type.Array(Whole)),
          stoppedBy: nullable(Type.Union([Type.Literal("time"), Type.Literal("until")])),
        },
        closed,
      ),
    ),
    /** The share of the records that is read; left out: all of them. */
    sample: Type.Optional(Type.Number()),
    /** With `estimate`: what the values of the results are. */
    estimates: Type.Optional(
      Type.Array(
        Type.Object(
          { collection: Type.String(), column: Type.String(), note: nullable(Type.String()) },
          closed,
        ),
      ),
    ),
    /** Of an incremental run, once it has succeeded: what was taken over, and is not in `stats`. */
    incremental: Type.Optional(IncrementalSchema),
    /** The records that map was given, where they are kept: here, when `directory` is null. */
    materialized: Type.Optional(
      Type.Object({ directory: nullable(Text), parts: Type.Array(PartViewSchema) }, closed),
    ),
    parts: Type.Array(PartViewSchema),
    collected: Type.Array(PartViewSchema),
    partitions: Type.Array(Whole),
    collections: Type.Array(Text),
    hotKeys: Type.Array(
      Type.Object({ collection: Text, key: Text, values: Type.Number(), share: Type.Number() }, closed),
    ),
    skew: Type.Array(
      Type.Object(
        {
          collection: Text,
          partitions: Whole,
          largestPartition: Whole,
          largestBytes: Type.Number(),
          ratio: Type.Number(),
        },
        closed,
      ),
    ),
    timings: Type.Array(Type.Object({ phase: Text, tasks: Whole, elapsedMs: Type.Number() }, closed)),
    failedTasks: Type.Array(Text),
    error: nullable(JobErrorSchema),
  },
  closed,
);

/** GET /jobs/{job}/bad: what it takes to run the records again that a job has set aside. */
export const BadInputsSchema = Type.Object(
  {
    job: Text,
    name: Text,
    /** The job file's path on its client. */
    file: nullable(Text),
    inputs: Type.Array(Text),
    /** The names of several inputs, in order; null: it has one. */
    inputNames: nullable(Type.Array(Text)),
    /** As wire JSON. */
    params: Type.Record(Type.String(), Type.Unknown()),
    output: OutputTargetSchema,
    incremental: Type.Boolean(),
    partBytes: Whole,
    growing: Type.Boolean(),
    /** Of the maps that have set records aside; left out of a job whose input is generated. */
    files: Type.Array(ReadFileSchema),
  },
  closed,
);

/** GET /jobs/{job}/attempts: every attempt there was, with its end and cause. */
export const AttemptViewSchema = Type.Object(
  {
    attempt: AttemptId,
    agent: Text,
    incarnation: Whole,
    slot: Whole,
    backup: Type.Boolean(),
    /** Since the job was submitted, ms. */
    startedMs: Type.Number(),
    endedMs: nullable(Type.Number()),
    state: Type.Union([
      Type.Literal("RUNNING"),
      Type.Literal("SUCCEEDED"),
      Type.Literal("FAILED"),
      Type.Literal("LOST"),
      Type.Literal("CANCELLED"),
    ]),
    /** Why it ended, when not by success. */
    cause: nullable(Text),
    outputLost: nullable(Text),
    stats: nullable(StatsSchema),
  },
  closed,
);

/** GET /nodes. */
export const NodeViewSchema = Type.Object(
  {
    agent: Text,
    incarnation: Whole,
    host: Text,
    address: Text,
    state: Type.Union([Type.Literal("up"), Type.Literal("draining"), Type.Literal("lost")]),
    barred: nullable(Text),
    slots: Whole,
    busy: Whole,
    utility: UtilitySchema,
    /** Since its last heartbeat, ms. */
    silentMs: Type.Number(),
    version: Text,
    roots: Type.Array(Text),
  },
  closed,
);

/** GET /cluster. */
export const ClusterViewSchema = Type.Object(
  {
    protocol: Type.Integer(),
    version: Text,
    coordinator: Text,
    startTime: Text,
    agents: Whole,
    slots: Whole,
    busy: Whole,
    jobs: Type.Object({ queued: Whole, running: Whole }, closed),
    /** Directories that jobs may read from and write to by path. */
    roots: Type.Array(Text),
    heartbeatMs: Whole,
  },
  closed,
);

/** The body of every answer that is no success. */
export const ErrorSchema = Type.Object(
  { error: Type.Object({ code: Text, message: Text, hint: nullable(Text) }, closed) },
  closed,
);

export type JobStateText = Static<typeof JobStateName>;
export type Bidding = Static<typeof BiddingSchema>;
export type PhaseView = Static<typeof PhaseViewSchema>;
export type JobError = Static<typeof JobErrorSchema>;
export type JobSummary = Static<typeof JobSummarySchema>;
export type JobView = Static<typeof JobViewSchema>;
export type BadInputs = Static<typeof BadInputsSchema>;
export type AttemptView = Static<typeof AttemptViewSchema>;
export type NodeView = Static<typeof NodeViewSchema>;
export type ClusterView = Static<typeof ClusterViewSchema>;
export type ErrorBody = Static<typeof ErrorSchema>;
