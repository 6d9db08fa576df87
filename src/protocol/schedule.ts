import Type from "typebox";
import type { Static } from "typebox";
import { limits } from "../base/limits.ts";
import { SubmissionSchema } from "./submission.ts";

const closed = { additionalProperties: false } as const;
const Text = Type.String();
const Whole = Type.Integer({ minimum: 0 });
const nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

export const schedulePattern = `^[A-Za-z0-9][A-Za-z0-9._-]{0,${limits.agentNameCharsMax - 1}}$`;
export const ScheduleName = Type.String({ pattern: schedulePattern });

/** What is done instead of a run that was missed, or that would overlap the one before. */
const Instead = Type.Union([Type.Literal("skip"), Type.Literal("run")]);

/** Body of POST /schedules. The blobs that its submission names have been uploaded before. */
export const ScheduleRequestSchema = Type.Object(
  {
    name: ScheduleName,
    /** Minute, hour, day of month, month, day of week; or "@daily" and the like. */
    cron: Type.String({ minLength: 1, maxLength: limits.cronCharsMax }),
    /** IANA name: "Europe/Berlin", "UTC". */
    timeZone: Type.String({ minLength: 1, maxLength: 100 }),
    /** Runs that nobody could start in time: none of them is made up for, or one for all of them. */
    missed: Instead,
    /** When the run before is not over yet: none is begun, or one more. */
    overlap: Instead,
    /** What each run submits: detached, without `after`. */
    submission: SubmissionSchema,
  },
  closed,
);

/** What has become of a time at which a schedule was due. */
const DueSchema = Type.Object(
  {
    /** When it was due. */
    time: Text,
    outcome: Type.Union([
      Type.Literal("started"),
      Type.Literal("missed"),
      Type.Literal("overlapped"),
      Type.Literal("refused"),
    ]),
    /** The job that was started; of "overlapped" the one that still ran. */
    job: nullable(Text),
    /** For people: why no job was started. */
    message: nullable(Text),
  },
  closed,
);

/** GET /schedules. Times are ISO 8601 UTC. */
export const ScheduleViewSchema = Type.Object(
  {
    name: Text,
    cron: Text,
    timeZone: Text,
    missed: Instead,
    overlap: Instead,
    paused: Type.Boolean(),
    createdTime: Text,
    /** null: it is paused, or has no more. */
    nextTime: nullable(Text),
    /** The last time at which it was due. */
    last: nullable(DueSchema),
    /** How often each has come of it. */
    counts: Type.Object({ started: Whole, missed: Whole, overlapped: Whole, refused: Whole }, closed),
    /** Of its submission. */
    job: Text,
    submitter: Text,
    host: Text,
    code: Text,
    file: nullable(Text),
    inputs: Type.Array(Text),
    output: nullable(Text),
  },
  closed,
);

export type ScheduleRequest = Static<typeof ScheduleRequestSchema>;
export type ScheduleView = Static<typeof ScheduleViewSchema>;
export type Due = Static<typeof DueSchema>;
