import Type from "typebox";
import type { Static } from "typebox";
import { bounds, limits, settings } from "../base/limits.ts";
import { JobOptionsSchema, OutlineSchema, OutputTargetSchema } from "./submission.ts";
import {
  AttemptId,
  FailureSchema,
  IncrementalSchema,
  NotesName,
  PartViewSchema,
  SplitSchema,
  SuccessSchema,
} from "./task-result.ts";

const closed = { additionalProperties: false } as const;
const Text = Type.String({ maxLength: 10_000 });
const Whole = Type.Integer({ minimum: 0 });
const AgentName = Type.String({ pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" });
const nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** The time it began, ms, or more: far from where numbers end, so that a higher one can always follow. */
const Incarnation = Type.Integer({ minimum: 0, maximum: 2 ** 52 });
/** A time that a timer can wait, ms: a day at most. */
const TimerMs = Type.Integer({ minimum: 1, maximum: 86_400_000 });

/** Idle shares of the machine in percent, measured over the last seconds, and their combination. */
export const UtilitySchema = Type.Object(
  {
    cpuIdle: Type.Number({ minimum: 0, maximum: 100 }),
    diskIdle: Type.Number({ minimum: 0, maximum: 100 }),
    /** What is bid: the smaller of the two. */
    utility: Type.Number({ minimum: 0, maximum: 100 }),
    freeMemoryBytes: Whole,
  },
  closed,
);

/**
 * Which of all agents of a name one is. A name may be given twice and a state directory copied; no two agents
 * can have lived the same lives.
 */
const IdentitySchema = Type.Object(
  {
    /** Made when its state directory was first used, and kept there. */
    key: Type.String({ minLength: 1, maxLength: 100 }),
    /** Incarnation of the life before this one in that directory; 0: none. */
    previous: Whole,
    /** Made anew for each life. */
    life: Type.String({ minLength: 1, maxLength: 100 }),
    /** Of that directory on its machine, until the machine is started anew. No copy has the same. */
    place: Type.String({ maxLength: 300 }),
  },
  closed,
);

/** POST /agents: an agent begins a life, or repeats that it has begun it. */
export const RegisterSchema = Type.Object(
  {
    protocol: Type.Integer(),
    /** sheaf's version, for people. */
    version: Text,
    agent: AgentName,
    /** Higher than in any earlier life of this agent. */
    incarnation: Incarnation,
    identity: IdentitySchema,
    host: Text,
    pid: Whole,
    /** Where its shuffle server is reached by other agents: "http://10.0.0.5:7078". */
    address: Type.String({ maxLength: 300, pattern: "^https?://" }),
    slots: Type.Integer(bounds(settings.slots)),
    memoryBytes: Whole,
    utility: UtilitySchema,
    /** Directories whose files jobs may read and write on it; ["/"]: all. */
    roots: Type.Array(Text, { maxItems: 100 }),
  },
  closed,
);

/** `fencedBelow`: that life is over; the agent registers again with a higher incarnation. */
export const RegisteredSchema = Type.Object(
  {
    /** Changes with every start of the coordinator. */
    coordinator: Type.String(),
    heartbeatMs: TimerMs,
    /** Silent for so long, the agent counts as lost. */
    leaseMs: TimerMs,
    /** Register again with an incarnation above this one; null: welcome. */
    fencedBelow: nullable(Incarnation),
    /** Not joined: this other agent of the name is alive. Left out: there is none. */
    taken: Type.Optional(Type.Object({ host: Type.String(), address: Type.String() }, closed)),
  },
  closed,
);

const RunningSchema = Type.Object(
  {
    attempt: AttemptId,
    /** Grows when work has moved on. */
    beat: Whole,
    recordsIn: Type.Number(),
    bytesIn: Type.Number(),
    recordsOut: Type.Number(),
    spillBytes: Type.Number(),
    fraction: Type.Number(),
  },
  closed,
);

/** POST /agents/{agent}/heartbeat, sent by a thread of its own. */
export const HeartbeatSchema = Type.Object(
  {
    incarnation: Whole,
    running: Type.Array(RunningSchema, { maxItems: settings.slots.max }),
    /** Jobs of which it has files. */
    jobs: Type.Array(Type.String({ maxLength: 100 }), { maxItems: 100_000 }),
    utility: UtilitySchema,
    draining: Type.Boolean(),
    /** Errands it is at; `beat` grows when one has moved on. Left out: none. */
    errands: Type.Optional(
      Type.Array(Type.Object({ id: Type.String({ maxLength: 300 }), beat: Whole }, closed), {
        maxItems: 1_000,
      }),
    ),
  },
  closed,
);

/** `standing`: "ok"; "join": register (again) under the same incarnation; "fenced": this life is over. */
export const HeartbeatAnswerSchema = Type.Object(
  {
    standing: Type.Union([Type.Literal("ok"), Type.Literal("join"), Type.Literal("fenced")]),
    /** Of the jobs it listed, those of which nothing is needed any more: all their files go. */
    forget: Type.Array(Type.String()),
    /** Of the jobs it listed: length of the list of map outputs (see OutputsSchema); news when it grew. */
    outputs: Type.Record(Type.String(), Whole),
    /** Of the errands it listed, those that nobody waits for any more: given to another agent, or void. */
    drop: Type.Optional(Type.Array(Type.String())),
    /**
     * It drains and nothing runs on it: so many of its map outputs are still needed; 0: it may leave. Left
     * out: neither.
     */
    needed: Type.Optional(Whole),
  },
  closed,
);

/** POST /agents/{agent}/leave: this life of the agent is over, on purpose. What was on it is given up. */
export const LeaveSchema = Type.Object({ incarnation: Whole }, closed);

/** What an agent does beside tasks, in its own process. Repeated until its result comes; idempotent. */
const ErrandSchema = Type.Union([
  /** List and cut the input. `agentLocal`: only the paths given as "agent:..." , else only the others. */
  Type.Object(
    {
      kind: Type.Literal("plan"),
      id: Type.String(),
      job: Type.String(),
      outline: OutlineSchema,
      inputs: Type.Array(Text),
      options: JobOptionsSchema,
      agentLocal: Type.Boolean(),
      /** Cores there are in the cluster, for the number of splits. */
      workers: Whole,
      /** Checked (and its staging directory made) before anything runs, when shared. */
      output: OutputTargetSchema,
      /** An output that is there may be just what is wanted: it is told, not refused. Left out: no. */
      once: Type.Optional(Type.Boolean()),
      /** Directory for the records that map is given, checked as the output. Left out: none. */
      materialize: Type.Optional(Text),
      /** Left out: all is mapped. */
      incremental: Type.Optional(
        Type.Object(
          {
            /** What the job's maps depend on besides options and input: hashes. */
            code: Text,
            aux: Type.Record(Type.String(), Type.String()),
            /** Splits are to say why they are mapped. */
            explain: Type.Boolean(),
            /** As in SubmissionSchema. */
            mends: Type.Optional(Type.Boolean()),
          },
          closed,
        ),
      ),
    },
    closed,
  ),
  /** Ask the gate, then make the output final. `parts`: of the successful attempts. */
  Type.Object(
    {
      kind: Type.Literal("commit"),
      id: Type.String(),
      job: Type.String(),
      /** null: the job has no gate. */
      expect: nullable(Type.Record(Type.String(), Type.Number())),
      /** Of the successful attempts, in task order, for engine/commit.ts; null: nothing to rename. */
      results: nullable(Type.Array(SuccessSchema)),
      counters: Type.Record(Type.String(), Type.Number()),
      output: OutputTargetSchema,
      name: Text,
      code: Text,
      collections: Type.Array(Text),
      /** As in "plan". */
      materialize: Type.Optional(Text),
      /** What the output keeps for the next run. Left out: nothing. */
      incremental: Type.Optional(
        Type.Object(
          {
            notes: NotesName,
            /** Of the maps that have finished, in order: as in SuccessSchema. */
            units: Type.Array(Text),
            partitions: Type.Array(Whole),
            bounds: Type.Array(nullable(Type.Array(Type.String()))),
          },
          closed,
        ),
      ),
    },
    closed,
  ),
  /** Merge what map tasks have told (states in base64), and ask the source's stop condition. */
  Type.Object(
    {
      kind: Type.Literal("fold"),
      id: Type.String(),
      job: Type.String(),
      request: Type.Object(
        {
          merged: nullable(Type.String()),
          finished: Type.Array(Type.String()),
          running: Type.Array(Type.String()),
          progress: Type.Object(
            { records: Whole, finished: Whole, running: Whole, elapsedMs: Whole },
            closed,
          ),
          asks: Type.Boolean(),
        },
        closed,
      ),
    },
    closed,
  ),
  /** Remove the staging directory of a job that ended without output. */
  Type.Object(
    {
      kind: Type.Literal("discard"),
      id: Type.String(),
      job: Type.String(),
      output: OutputTargetSchema,
      /** As in "plan". */
      materialize: Type.Optional(Text),
    },
    closed,
  ),
]);

/** Answer to POST /agents/{agent}/orders, a long poll. Lost ones do no harm: heartbeats bring kills again. */
const OrderSchema = Type.Union([
  Type.Object({ kind: Type.Literal("kill"), attempt: AttemptId, reason: Text }, closed),
  /** The source of the attempt makes no more records. */
  Type.Object({ kind: Type.Literal("stop"), attempt: AttemptId }, closed),
  /** What the map has aggregated is to be told, also when it was told before. */
  Type.Object({ kind: Type.Literal("tell"), attempt: AttemptId }, closed),
  /** What the attempt wrote is of no use to anyone. */
  Type.Object({ kind: Type.Literal("discard"), attempt: AttemptId }, closed),
  Type.Object({ kind: Type.Literal("forget"), job: Type.String() }, closed),
  Type.Object({ kind: Type.Literal("errand"), errand: ErrandSchema }, closed),
  /** More map outputs of the job are there (see OutputsSchema). */
  Type.Object({ kind: Type.Literal("outputs"), job: Type.String(), version: Whole }, closed),
  Type.Object({ kind: Type.Literal("drain"), draining: Type.Boolean() }, closed),
]);

/** POST /agents/{agent}/orders: `errands` are those it has heard of and not yet answered. */
export const OrdersQuestionSchema = Type.Object(
  { incarnation: Whole, errands: Type.Array(Type.String(), { maxItems: 1_000 }) },
  closed,
);
export const OrdersSchema = Type.Object({ orders: Type.Array(OrderSchema) }, closed);

/** Splits sent in one request, at most. */
export const splitsPerPage = 1_000;

/**
 * POST /errands/{id}/splits, ahead of "planned": the map splits of a large plan, page by page, in order. The
 * same page again changes nothing.
 */
export const SplitPageSchema = Type.Object(
  {
    agent: AgentName,
    incarnation: Whole,
    /** Index of the first of them. */
    from: Whole,
    splits: Type.Array(SplitSchema, { minItems: 1, maxItems: splitsPerPage }),
  },
  closed,
);

/** POST /errands/{id}. A second answer changes nothing. */
export const ErrandResultSchema = Type.Union([
  Type.Object(
    {
      kind: Type.Literal("planned"),
      agent: AgentName,
      incarnation: Whole,
      /** Those that were not sent in pages before. */
      splits: Type.Array(SplitSchema),
      /** So many splits were sent before. Left out: none. */
      sent: Type.Optional(Whole),
      /** Short stretches for the sample phase; empty unless a collection is in total order. */
      sample: Type.Array(SplitSchema),
      files: Whole,
      bytes: Whole,
      partitions: Type.Array(Whole),
      /** Of the input files, and what reads them: the same for the same content. null: it cannot be told. */
      identity: Type.Optional(nullable(Text)),
      /**
       * With `once`, of a shared output: which one is there; null: something that is none, or not whole. Left
       * out: nothing.
       */
      existing: Type.Optional(nullable(Text)),
      /** What the user should know of the input. */
      warnings: Type.Optional(Type.Array(Text)),
      /** Of an incremental run; `full`: why every map runs, null when they need not. */
      incremental: Type.Optional(
        Type.Object(
          { notes: NotesName, full: nullable(Text), keptTasks: Whole, keptBytes: Type.Number() },
          closed,
        ),
      ),
    },
    closed,
  ),
  Type.Object(
    {
      kind: Type.Literal("committed"),
      agent: AgentName,
      incarnation: Whole,
      parts: Type.Array(PartViewSchema),
      /** The records that were kept. Left out: none were to be. */
      materialized: Type.Optional(Type.Array(PartViewSchema)),
      incremental: Type.Optional(IncrementalSchema),
    },
    closed,
  ),
  Type.Object(
    {
      kind: Type.Literal("folded"),
      agent: AgentName,
      incarnation: Whole,
      merged: Type.String({ maxLength: 3 * limits.liveMergedBytesMax }),
      collections: Type.Array(
        Type.Object(
          {
            name: Text,
            keys: Whole,
            more: Type.Boolean(),
            top: Type.Array(Type.Object({ key: Type.Unknown(), value: Type.Unknown() }, closed), {
              maxItems: limits.liveKeysShownMax,
            }),
          },
          closed,
        ),
        { maxItems: limits.jobPartsMax },
      ),
      stop: Type.Boolean(),
    },
    closed,
  ),
  Type.Object({ kind: Type.Literal("discarded"), agent: AgentName, incarnation: Whole }, closed),
  Type.Object(
    { kind: Type.Literal("failed"), agent: AgentName, incarnation: Whole, failure: FailureSchema },
    closed,
  ),
]);

export type Utility = Static<typeof UtilitySchema>;
export type Identity = Static<typeof IdentitySchema>;
export type Register = Static<typeof RegisterSchema>;
export type Registered = Static<typeof RegisteredSchema>;
export type Running = Static<typeof RunningSchema>;
export type Heartbeat = Static<typeof HeartbeatSchema>;
export type HeartbeatAnswer = Static<typeof HeartbeatAnswerSchema>;
export type Errand = Static<typeof ErrandSchema>;
export type Leave = Static<typeof LeaveSchema>;
export type SplitPage = Static<typeof SplitPageSchema>;
export type Order = Static<typeof OrderSchema>;
export type OrdersQuestion = Static<typeof OrdersQuestionSchema>;
export type Orders = Static<typeof OrdersSchema>;
export type ErrandResult = Static<typeof ErrandResultSchema>;
