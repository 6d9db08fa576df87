import Type from "typebox";
import type { Static } from "typebox";
import { isErrorCode } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Split } from "../task/split.ts";
import type { TaskFailure, TaskSuccess } from "../task/task-spec.ts";

/* Schemas of what tasks read and report: the same shapes as in task/task-spec.ts. */

const closed = { additionalProperties: false } as const;
const Text = Type.String({ maxLength: 1_000_000 });
const Whole = Type.Integer({ minimum: 0 });
const nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

export const PhaseName = Type.Union([Type.Literal("sample"), Type.Literal("map"), Type.Literal("reduce")]);

export const AttemptId = Type.Object(
  {
    job: Type.String({ maxLength: 100 }),
    phase: PhaseName,
    task: Whole,
    attempt: Type.Integer({ minimum: 1 }),
  },
  closed,
);

const SplitPieceSchema = Type.Union([
  Type.Object(
    {
      kind: Type.Literal("file"),
      path: Text,
      name: Text,
      start: Whole,
      end: Whole,
      fileBytes: Whole,
      mtimeMs: Type.Number(),
      version: Type.Optional(Type.String({ maxLength: limits.storageVersionCharsMax })),
      exact: Type.Optional(Type.Literal(true)),
      place: Type.Optional(Whole),
      growing: Type.Optional(Whole),
      compression: Type.Union([
        Type.Literal("none"),
        Type.Literal("gzip"),
        Type.Literal("zstd"),
        Type.Literal("bzip2"),
      ]),
      recordStart: Type.Optional(Whole),
    },
    closed,
  ),
  Type.Object(
    {
      kind: Type.Literal("generate"),
      index: Whole,
      tasks: Whole,
      records: Type.Optional(Whole),
      /** The agent that it is the task of, and what of it jobs may use. */
      node: Type.Optional(Type.Object({ name: Text, roots: Type.Array(Text, { maxItems: 100 }) }, closed)),
    },
    closed,
  ),
]);

export const SplitSchema = Type.Object(
  {
    index: Whole,
    pieces: Type.Array(SplitPieceSchema),
    /** Index of the input it is of, when the job has several. */
    input: Type.Optional(Whole),
    bytes: Whole,
    hosts: Type.Optional(Type.Array(Type.String({ maxLength: 255 }), { maxItems: 100 })),
    /** What an earlier run has kept of it, by its number there. Left out: nothing. */
    kept: Type.Optional(Whole),
    /** Where that was asked: why it is mapped. */
    why: Type.Optional(Text),
  },
  closed,
);

export const StatsSchema = Type.Object(
  {
    recordsIn: Type.Number(),
    bytesIn: Type.Number(),
    recordsOut: Type.Number(),
    bytesOut: Type.Number(),
    emitted: Type.Number(),
    shuffleBytes: Type.Number(),
    spills: Type.Number(),
    badRecords: Type.Number(),
    groups: Type.Number(),
    elapsedMs: Type.Number(),
    cpuMs: Type.Number(),
  },
  closed,
);

const PartSchema = Type.Object(
  {
    kind: Type.Union([Type.Literal("output"), Type.Literal("collected"), Type.Literal("records")]),
    collection: Whole,
    partition: Whole,
    roll: Whole,
    /** On the shared path; for uploaded parts the name they were uploaded under. */
    path: Text,
    /** What route() named the results in it: directories below the collection's. */
    name: Type.Optional(Type.String({ minLength: 1, maxLength: 1_000 })),
    extension: Type.String({ maxLength: 100 }),
    bytes: Whole,
    records: Whole,
    crc32c: Whole,
    headerBytes: Type.Optional(Whole),
    layout: Type.Optional(Text),
  },
  closed,
);

export const EmptyFilesSchema = Type.Object(
  { files: Whole, names: Type.Array(Text, { maxItems: 100 }) },
  closed,
);

export const SuccessSchema = Type.Object(
  {
    kind: Type.Literal("success"),
    stats: StatsSchema,
    counters: Type.Record(Type.String(), Type.Number()),
    output: nullable(Type.Object({ task: Whole, attempt: Whole, path: nullable(Text) }, closed)),
    parts: Type.Array(PartSchema),
    keys: Type.Array(Type.Array(Text)),
    partitionBytes: Type.Array(Type.Array(Type.Number())),
    pairs: Type.Array(Type.Number()),
    hotKeys: Type.Array(Type.Object({ collection: Whole, key: Text, values: Type.Number() }, closed)),
    badPath: nullable(Text),
    emptyFiles: Type.Optional(EmptyFilesSchema),
    made: Type.Optional(Whole),
    /**
     * Of an incremental run: the directory, below those of the job's attempts beside the output, in which
     * lies what a later run may take over of a map.
     */
    adopted: Type.Optional(
      Type.Object(
        {
          recordsIn: Type.Number(),
          bytesIn: Type.Number(),
          emitted: Type.Number(),
          shuffleBytes: Type.Number(),
          badRecords: Type.Number(),
        },
        closed,
      ),
    ),
    unit: Type.Optional(Type.String({ pattern: "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$" })),
  },
  closed,
);

const ShortText = Type.String({ maxLength: 10_000 });

/** A committed part: CommittedPart of engine/events.ts. */
export const PartViewSchema = Type.Object(
  {
    file: ShortText,
    collection: ShortText,
    partition: Whole,
    bytes: Whole,
    records: Whole,
    crc32c: ShortText,
    headerBytes: Type.Optional(Whole),
  },
  closed,
);

/** Names what the planning of an incremental run has left beside the output. */
export const NotesName = Type.String({ pattern: "^[0-9a-f]{16}$" });

/** What an incremental run has taken over: IncrementalReport of incremental/run-notes.ts. */
export const IncrementalSchema = Type.Object(
  {
    full: nullable(Text),
    kept: Type.Object({ tasks: Whole, records: Type.Number(), bytes: Type.Number() }, closed),
    mappedTasks: Whole,
    goneFiles: Whole,
    stateBytes: Whole,
  },
  closed,
);

/** Of a failure: workers and agents cut what is longer. */
const Told = Type.String({ maxLength: 100_000 });

export const FailureSchema = Type.Object(
  {
    kind: Type.Literal("failure"),
    code: Type.String({ pattern: "^[A-Z_]{1,40}$" }),
    message: Told,
    hint: nullable(Told),
    name: Told,
    stack: nullable(Told),
    phase: Type.String({ maxLength: 100 }),
    blame: Type.Union([Type.Literal("user"), Type.Literal("data"), Type.Literal("system")]),
    path: nullable(Told),
    offset: nullable(Type.Number()),
    record: nullable(Told),
    key: nullable(Told),
    log: Type.Array(Told, { maxItems: 100 }),
  },
  closed,
);

/** A failure as it came from elsewhere: a code that this version does not know is the system's. */
export function knownFailure(failure: Static<typeof FailureSchema>): TaskFailure {
  const { code } = failure;
  return isErrorCode(code)
    ? { ...failure, code }
    : { ...failure, code: "INTERNAL", message: `${code}: ${failure.message}` };
}

/** Compile-time proof that each schema and its interface say the same, in both directions. */
type Readonlys<T> = T extends readonly (infer Item)[]
  ? readonly Readonlys<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Readonlys<T[Key]> }
    : T;
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never;
type Wire<Schema extends Type.TSchema> = Readonlys<Static<Schema>>;
const _split: Same<Wire<typeof SplitSchema>, Readonlys<Split>> = true;
// What a map hands over is cut by whoever runs it on this machine, and what is kept of it lies beside the
// output: they do not travel.
type Sent = Omit<TaskSuccess, "rest" | "keep" | "taken"> & { readonly unit?: string };
const _success: Same<Wire<typeof SuccessSchema>, Readonlys<Sent>> = true;
const _failure: Same<Omit<Wire<typeof FailureSchema>, "code">, Readonlys<Omit<TaskFailure, "code">>> = true;
void [_split, _success, _failure];
