import Type from "typebox";
import type { Static } from "typebox";
import { bounds, limits, settings } from "../base/limits.ts";

const closed = { additionalProperties: false } as const;
const Text = Type.String({ maxLength: 10_000 });
/** How many a coordinator takes is a limit of its own, which it refuses by name (LIMIT_EXCEEDED). */
const Partitions = Type.Integer({ minimum: settings.partitions.min, maximum: settings.mappers.max });
const Name = Type.String({ minLength: 1, maxLength: limits.labelCharsMax });
const Hash = Type.String({ pattern: "^[0-9a-f]{64}$" });
const Byte = Type.Integer({ minimum: 0, maximum: 255 });
const nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** A Framing of job/reader.ts; a delimiter's bytes in base64. */
const FramingSchema = Type.Union([
  Type.Object({ kind: Type.Literal("delimiter"), delimiter: Type.String({ maxLength: 10_000 }) }, closed),
  Type.Object(
    {
      kind: Type.Literal("quoted"),
      quote: Byte,
      delimiter: Type.Optional(Byte),
      newline: Type.Optional(Byte),
      lenient: Type.Optional(Type.Boolean()),
    },
    closed,
  ),
  Type.Object({ kind: Type.Literal("fixed"), bytes: Type.Integer({ minimum: 1 }) }, closed),
  Type.Object({ kind: Type.Literal("stream") }, closed),
]);

const InputSchema = Type.Union([
  Type.Object(
    {
      kind: Type.Literal("generate"),
      tasks: Type.Integer(bounds(settings.mappers)),
      count: Type.Optional(Type.Integer({ minimum: 0 })),
      forMs: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
      hasUntil: Type.Optional(Type.Boolean()),
      /** One task on each agent, or on each of those that are named; `paths` are what they use there. */
      nodes: Type.Optional(
        Type.Object(
          {
            names: Type.Array(Name, { maxItems: limits.jobPartsMax }),
            paths: Type.Array(Text, { maxItems: limits.jobPartsMax }),
          },
          closed,
        ),
      ),
    },
    closed,
  ),
  Type.Object(
    {
      kind: Text,
      framing: FramingSchema,
      needsHeader: Type.Boolean(),
      compression: Text,
      recordBytesMax: nullable(Type.Number()),
      content: Type.Optional(Type.Union([Type.Literal("text"), Type.Literal("lines")])),
      encoding: Type.Optional(
        Type.Object({ name: Type.String({ maxLength: 50 }), strict: Type.Boolean() }, closed),
      ),
    },
    closed,
  ),
]);

/** What the coordinator, which never loads the code, knows of a job: JobOutline of worker/messages.ts. */
export const OutlineSchema = Type.Object(
  {
    name: nullable(Text),
    /** Of several the first. */
    input: InputSchema,
    /** In a job with several inputs, in their order: `inputs` of the submission are "NAME=PATH" then. */
    inputs: Type.Optional(
      Type.Array(Type.Object({ name: Name, input: InputSchema }, closed), {
        minItems: 1,
        maxItems: limits.jobPartsMax,
      }),
    ),
    collections: Type.Array(
      Type.Object(
        {
          name: Text,
          partitions: nullable(Partitions),
          order: Type.Union([Type.Literal("hash"), Type.Literal("total")]),
          mapOnly: Type.Boolean(),
          estimates: Type.Optional(
            Type.Object(
              {
                columns: Type.Array(Type.Object({ column: Text, note: nullable(Text) }, closed), {
                  maxItems: limits.jobPartsMax,
                }),
                cannotWrite: nullable(Text),
              },
              closed,
            ),
          ),
          tells: Type.Optional(Type.Boolean()),
          merges: Type.Optional(Text),
        },
        closed,
      ),
      { minItems: 1, maxItems: limits.jobPartsMax },
    ),
    params: Type.Record(Type.String(), Type.String()),
    /** Files of the job's side data, as its code names them; `aux` of the submission has their content. */
    aux: Type.Array(Type.Object({ name: Text, file: Text }, closed), { maxItems: limits.jobPartsMax }),
    /** Files that travel with the job for its programs. Left out: none. */
    files: Type.Optional(
      Type.Array(Type.Object({ name: Text, file: Text }, closed), { maxItems: limits.jobPartsMax }),
    ),
    hasExpect: Type.Boolean(),
    seed: Type.Number(),
  },
  closed,
);

/**
 * A file of side data. `file`: its own name, where that is not the `path` that the code has. `place` is the
 * same for two only if they are one file, which two paths lead to. Left out: it is one of its own.
 */
export const AuxFileSchema = Type.Object(
  {
    path: Text,
    file: Type.Optional(Text),
    blob: Hash,
    bytes: Type.Integer({ minimum: 0 }),
    place: Type.Optional(Type.Integer({ minimum: 0 })),
  },
  closed,
);

/** As Chaos of worker/chaos.ts. */
export const ChaosSchema = Type.Object(
  {
    kill: Type.Number({ minimum: 0, maximum: 1 }),
    slow: Type.Number({ minimum: 0, maximum: 1 }),
    seed: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  },
  closed,
);

/** As ReadFile of engine/chosen-records.ts. */
export const ReadFileSchema = Type.Object(
  {
    name: Text,
    path: Text,
    input: Type.Integer({ minimum: 0 }),
    fileBytes: Type.Integer({ minimum: 0 }),
    mtimeMs: Type.Number(),
    version: Type.Optional(Text),
    agent: Type.Optional(Name),
  },
  closed,
);

/** As ChosenRecords of task/task-spec.ts. */
const ChosenSchema = Type.Object(
  {
    files: Type.Array(
      Type.Object(
        {
          ...ReadFileSchema.properties,
          offsets: Type.Array(Type.Integer({ minimum: 0 }), { maxItems: limits.retriedMax }),
        },
        closed,
      ),
      { maxItems: limits.retriedMax },
    ),
    whole: Type.Array(Type.Integer({ minimum: 0 }), { maxItems: limits.jobPartsMax }),
  },
  closed,
);

/** How the job is run: everything already resolved by the client (engine/resolve-options.ts). */
export const JobOptionsSchema = Type.Object(
  {
    /** Partitions by collection index; null: from the input's size. */
    partitions: Type.Array(nullable(Partitions)),
    splitBytes: nullable(Type.Integer({ minimum: settings.splitBytes.min })),
    memoryBytes: Type.Integer({ minimum: settings.memoryBytes.min }),
    /** null: what the agent gives each of its workers. */
    heapBytes: nullable(Type.Integer({ minimum: settings.heapBytes.min })),
    sample: Type.Number({ exclusiveMinimum: 0, maximum: 1 }),
    /** Results of the sample are scaled to all records. Left out: no. */
    estimate: Type.Optional(Type.Boolean()),
    /** Results are told while the job runs. Left out: no. */
    live: Type.Optional(Type.Boolean()),
    /** Records that each task of a source makes. Left out: as many as it says. */
    made: Type.Optional(Type.Array(Type.Integer({ minimum: 0 }), { maxItems: 100_000 })),
    /** Files may be appended to while the job runs. Left out: no. */
    growing: Type.Optional(Type.Boolean()),
    /** As wire JSON (bigints as {"$bigint": "..."}). */
    params: Type.Record(Type.String(), Type.Unknown()),
    badBudget: nullable(
      Type.Object(
        {
          kind: Type.Union([Type.Literal("count"), Type.Literal("share")]),
          max: Type.Number({ minimum: 0 }),
        },
        closed,
      ),
    ),
    attempts: Type.Integer(bounds(settings.attempts)),
    failedTasksShare: Type.Number({ minimum: 0, exclusiveMaximum: 1 }),
    noProgressMs: Type.Integer(bounds(settings.noProgressMs)),
    partBytes: Type.Integer({ minimum: settings.partBytes.min }),
    /** Cores wanted; null: as many as there are tasks for. */
    cores: nullable(Type.Integer(bounds(settings.cores))),
    priority: Type.Integer(bounds(settings.priority)),
    speculation: Type.Boolean(),
    /** Fails when no agent has come for so long; null: waits. */
    queueTimeoutMs: nullable(Type.Integer(bounds(settings.queueTimeoutMs))),
    /** Map tasks wanted (`--mappers`); null: from the input's size. */
    mappers: nullable(Type.Integer(bounds(settings.mappers))),
    /** Only these records are mapped. Left out: all are. */
    only: Type.Optional(ChosenSchema),
    /** Faults to inject at random. Left out: none. */
    chaos: Type.Optional(ChaosSchema),
  },
  closed,
);

/**
 * Where results go. "shared": attempts write to a path all agents see, and the job commit renames. "collect":
 * attempts hand their parts to the coordinator, the client fetches them and commits on its own disk.
 */
export const OutputTargetSchema = Type.Union([
  Type.Object({ kind: Type.Literal("shared"), path: Text, overwrite: Type.Boolean() }, closed),
  Type.Object(
    {
      kind: Type.Literal("collect"),
      /** Result files in the job's own format. */
      write: Type.Boolean(),
      /** Lossless records, for result.records() and --print. */
      collect: Type.Boolean(),
    },
    closed,
  ),
]);

/** Body of POST /jobs. The blobs it names have been uploaded before. */
/** A file of a job as it is sent: what programs find it as, its content, and its permissions. */
export const ProgramFileSchema = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 255, pattern: "^[^/\\\\\\u0000]+$" }),
    blob: Hash,
    bytes: Type.Integer({ minimum: 0 }),
    mode: Type.Integer({ minimum: 0, maximum: 0o777 }),
  },
  closed,
);

export const SubmissionSchema = Type.Object(
  {
    protocol: Type.Integer(),
    name: Name,
    submitter: Name,
    host: Name,
    group: nullable(Name),
    project: nullable(Name),
    /** The job file's path on the client, for people. */
    file: nullable(Text),
    /** Content hash of the bundle as clients show it (16 hex digits). */
    code: Type.String({ pattern: "^[0-9a-f]{16}$" }),
    /** Blobs: the portable bundle and its source map. */
    bundle: Hash,
    sourceMap: nullable(Hash),
    /** Side data files, in order, by the path or pattern the job's code names them with. */
    aux: Type.Array(AuxFileSchema, { maxItems: limits.auxFilesMax }),
    /** Files that programs of the job find in their directory. Left out: none. */
    files: Type.Optional(Type.Array(ProgramFileSchema, { maxItems: limits.jobPartsMax })),
    outline: OutlineSchema,
    inputs: Type.Array(Text, { maxItems: 100_000 }),
    options: JobOptionsSchema,
    output: OutputTargetSchema,
    /** Attached: the job stops when its client is not heard of for three leases. */
    attached: Type.Boolean(),
    /**
     * Nothing is run when a job that is kept has done the same. Else it is run, or fails (OUTPUT_EXISTS),
     * since what the client has would be in the way. Left out: it is run in any case.
     */
    once: Type.Optional(Type.Union([Type.Literal("run"), Type.Literal("fail")])),
    /** Asked for with "once", and to be run all the same: for its record. Left out: no. */
    force: Type.Optional(Type.Boolean()),
    /** Jobs that have to succeed before it is planned. Left out: none. */
    after: Type.Optional(Type.Array(Type.String({ maxLength: 100 }), { maxItems: limits.afterMax })),
    /** How long it is kept from its end on. Left out: as the coordinator keeps others. */
    keepMs: Type.Optional(Type.Integer(bounds(settings.keepMs))),
    /** Its bundle stays when it is no longer kept. Left out: no. */
    keepBundle: Type.Optional(Type.Boolean()),
    /**
     * Only what has changed since the run that made the shared output is mapped. Left out: all of the input.
     */
    incremental: Type.Optional(Type.Boolean()),
    /**
     * With incremental: only maps that have set records aside run again, whatever the code was. Left out: no.
     */
    mends: Type.Optional(Type.Boolean()),
    /**
     * The records that map is given are kept: in a directory that all agents see, where the output is shared,
     * and which is replaced where the output is; null: by the coordinator. Left out: they are not.
     */
    materialize: Type.Optional(nullable(Text)),
    /** Events tell of each task why it runs or not. Left out: no. */
    explain: Type.Optional(Type.Boolean()),
    /** Faults to inject, for tests. */
    faults: Type.Array(Type.Unknown(), { maxItems: 100 }),
  },
  closed,
);

export type Submission = Static<typeof SubmissionSchema>;
export type JobOptions = Static<typeof JobOptionsSchema>;
export type OutputTarget = Static<typeof OutputTargetSchema>;

/** Answer to POST /jobs: 201 when it is new, 200 when the idempotency key had submitted it before. */
export const SubmittedSchema = Type.Object({ job: Type.String(), isNew: Type.Boolean() }, closed);
