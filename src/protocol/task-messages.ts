import Type from "typebox";
import type { Static } from "typebox";
import { limits } from "../base/limits.ts";
import { AuxFileSchema, ChaosSchema, OutputTargetSchema, ProgramFileSchema } from "./submission.ts";
import { AttemptId, FailureSchema, NotesName, SplitSchema, SuccessSchema } from "./task-result.ts";

const closed = { additionalProperties: false } as const;
const Text = Type.String({ maxLength: 10_000 });
const Whole = Type.Integer({ minimum: 0 });
const nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** Records that map attempts of the task skip, because they ended workers (worker/trace.ts). */
const SkipSchema = Type.Array(Type.Object({ piece: Whole, offset: Type.Number(), message: Text }, closed));

/** What sheaf's own workers are told beyond the fields for everyone. */
const TaskOrderSchema = Type.Object(
  {
    attempt: AttemptId,
    backup: Type.Boolean(),
    /** Version of the job's settings: fetch PreparationSchema again when yours is older. */
    settings: Whole,
    work: Type.Union([
      Type.Object({ kind: Type.Literal("sample"), split: SplitSchema }, closed),
      Type.Object(
        {
          kind: Type.Literal("map"),
          split: SplitSchema,
          /** Trace the attempt and skip these records; null: not traced. */
          skip: nullable(SkipSchema),
        },
        closed,
      ),
      Type.Object(
        {
          kind: Type.Literal("reduce"),
          collection: Whole,
          partition: Whole,
          /** Read the list of map outputs at least this far; what it then says is the input. */
          outputs: Whole,
        },
        closed,
      ),
    ]),
  },
  closed,
);

/** Answer to PUT /task. `type` null: there is no task now; "later" or, by job_status DONE, "exit". */
export const TaskAnswerSchema = Type.Object(
  {
    type: nullable(Type.Union([Type.Literal("mapper"), Type.Literal("reducer"), Type.Literal("sampler")])),
    id: nullable(Whole),
    status: nullable(Whole),
    job_status: Whole,
    job_uuid: nullable(Type.String()),
    i_path: Type.Array(Text),
    o_path: nullable(Text),
    n_buckets: Whole,
    /** When to ask again, ms; only with type null. */
    retry_after_ms: nullable(Type.Integer({ minimum: 0, maximum: 60_000 })),
    /** The number of the question this answers must not be used any more: ask under the next one. */
    ask_anew: Type.Boolean(),
    order: nullable(TaskOrderSchema),
  },
  closed,
);

/** POST /jobs/{job}/task/{type}/{id}/status by sheaf's own agents. */
export const TaskReportSchema = Type.Object(
  {
    /** TASK_STATUS: RUNNING (progress), FINISHED, FAILED, CANCELLED (ended because it was told to). */
    status: Whole,
    attempt: Type.Optional(AttemptId),
    /** FINISHED: a success; FAILED: a failure. */
    result: Type.Optional(Type.Union([SuccessSchema, FailureSchema])),
    /** FINISHED map: what its output looks like to reduces; null when it emitted nothing. */
    output: Type.Optional(
      nullable(
        Type.Object(
          {
            bytes: Whole,
            /** Same for the same content: shows a map that is not deterministic. */
            fingerprint: Text,
          },
          closed,
        ),
      ),
    ),
    /** RUNNING and FINISHED map: what it has aggregated (task/told-states.ts, base64). */
    told: Type.Optional(
      Type.Object(
        {
          states: Type.String({ maxLength: 3 * limits.liveBytesMax, pattern: "^[A-Za-z0-9+/]*={0,2}$" }),
          records: Whole,
          made: Whole,
        },
        closed,
      ),
    ),
    /** FAILED reduce: the map attempt whose output could not be had. */
    unreadable: Type.Optional(Type.Object({ task: Whole, attempt: Whole }, closed)),
    /** FAILED map that was traced: the record it was at. */
    place: Type.Optional(nullable(Type.Object({ piece: Whole, offset: Type.Number() }, closed))),
    /** It was traced (a `skip` list came with it). */
    traced: Type.Optional(Type.Boolean()),
    /** For workers in other languages: share done, 0 to 1. */
    progress: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
    counters: Type.Optional(Type.Record(Type.String(), Type.Number())),
    message: Type.Optional(Text),
  },
  closed,
);

/** `accepted` false: the attempt was void; delete what it wrote. */
export const TaskReportAnswerSchema = Type.Object({ status: Whole, accepted: Type.Boolean() }, closed);

/** GET /jobs/{job}/preparation: all an agent needs before its first task of a job. */
export const PreparationSchema = Type.Object(
  {
    job: Type.String(),
    name: Text,
    version: Whole,
    /** task/task-spec.ts JobSettings as wire JSON, without jobId and name. */
    settings: Type.Record(Type.String(), Type.Unknown()),
    bundle: Type.String(),
    sourceMap: nullable(Type.String()),
    aux: Type.Array(AuxFileSchema),
    /** The paths and patterns that the job's code has for side data. Left out: those of its files. */
    auxSources: Type.Optional(Type.Array(Text)),
    /** As the submission has it. */
    files: Type.Optional(Type.Array(ProgramFileSchema)),
    heapBytes: nullable(Whole),
    noProgressMs: Whole,
    keepBad: Type.Boolean(),
    /** Attempts after which a task fails, and the job with it. Left out: tasks may fail without it. */
    attempts: Type.Optional(Whole),
    faults: Type.Array(Type.Unknown()),
    /** Left out: none. */
    chaos: Type.Optional(ChaosSchema),
    output: OutputTargetSchema,
    /** Of an incremental run: what its planning has left beside the output. */
    notes: Type.Optional(NotesName),
    /** Signs the URLs of this job's map outputs, base64url. */
    shuffleKey: Type.String(),
    /** Partitions this agent will probably reduce: fetch for them early. */
    expected: Type.Array(Type.Object({ task: Whole, collection: Whole, partition: Whole }, closed)),
    maps: Whole,
  },
  closed,
);

/**
 * GET /jobs/{job}/outputs?after=N: the list of map outputs from entry N on. It only grows; a later entry of a
 * task stands for its earlier ones. `agent` null: withdrawn (lost), to be made again.
 */
export const OutputsSchema = Type.Object(
  {
    version: Whole,
    entries: Type.Array(
      Type.Object(
        {
          task: Whole,
          attempt: Whole,
          agent: nullable(Type.String()),
          incarnation: Whole,
          /** Shuffle server of the agent; null for withdrawn ones and maps that emitted nothing. */
          address: nullable(Type.String()),
          bytes: Whole,
        },
        closed,
      ),
    ),
  },
  closed,
);

/**
 * POST /jobs/{job}/stray: user code emitted after its task was over and reported, in a worker whose last
 * attempt was `attempt`. What the job has taken may lack it: the job fails, unless that life of the agent is
 * over and what it made does not count.
 */
export const StraySchema = Type.Object(
  {
    agent: Type.String({ maxLength: limits.agentNameCharsMax }),
    incarnation: Whole,
    attempt: AttemptId,
    failure: FailureSchema,
  },
  closed,
);

/** POST /jobs/{job}/logs by agents. */
export const LogLinesSchema = Type.Object(
  {
    lines: Type.Array(
      Type.Object(
        {
          task: Type.String({ maxLength: 40 }),
          attempt: Whole,
          stream: Type.Union([Type.Literal("log"), Type.Literal("stdout"), Type.Literal("stderr")]),
          text: Type.String({ maxLength: 1_000_000 }),
        },
        closed,
      ),
      { maxItems: 10_000 },
    ),
  },
  closed,
);

export type TaskOrder = Static<typeof TaskOrderSchema>;
export type TaskAnswer = Static<typeof TaskAnswerSchema>;
export type TaskReport = Static<typeof TaskReportSchema>;
export type TaskReportAnswer = Static<typeof TaskReportAnswerSchema>;
export type Preparation = Static<typeof PreparationSchema>;
export type MapOutputs = Static<typeof OutputsSchema>;
export type Stray = Static<typeof StraySchema>;
export type LogLines = Static<typeof LogLinesSchema>;
