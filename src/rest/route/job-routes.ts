import { Readable } from "node:stream";
import Type from "typebox";
import { SheafError } from "../../base/errors.ts";
import { bounds, limits, settings } from "../../base/limits.ts";
import type { Coordinator } from "../../coordinator/coordinator.ts";
import type { AttemptView } from "../../protocol/job-view.ts";
import {
  AttemptViewSchema,
  BadInputsSchema,
  JobStateName,
  JobSummarySchema,
  JobViewSchema,
} from "../../protocol/job-view.ts";
import { SubmissionSchema, SubmittedSchema } from "../../protocol/submission.ts";
import { HEADERS } from "../../protocol/version.ts";
import { access } from "../app.ts";
import type { App } from "../app.ts";
import { JobParams } from "../params.ts";
import { callerOf } from "../server-policy.ts";

const Label = Type.String({ minLength: 1, maxLength: limits.labelCharsMax });
const Pattern = Type.String({
  minLength: 1,
  maxLength: limits.labelCharsMax,
  description: "Of names: * stands for any characters, ? for one",
});
const keyPattern = "^[A-Za-z0-9_-]{8,100}$";
const SubmitHeaders = Type.Object({
  [HEADERS.idempotencyKey]: Type.String({
    pattern: keyPattern,
    description: "Chosen at random; the same again submits nothing anew",
  }),
});

/** Jobs as clients see and steer them. */
export function jobRoutes(app: App, coordinator: Coordinator): void {
  app.post(
    "/jobs",
    {
      config: { ...access.client, headers: SubmitHeaders },
      bodyLimit: limits.submissionBytesMax,
      schema: {
        summary: "Submit a job; the same idempotency key submits it once",
        body: SubmissionSchema,
        response: { 200: SubmittedSchema, 201: SubmittedSchema },
      },
    },
    async (request, reply) => {
      const key = request.headers[HEADERS.idempotencyKey];
      if (typeof key !== "string" || !new RegExp(keyPattern).test(key)) {
        throw new SheafError("USAGE", `the header ${HEADERS.idempotencyKey} is missing or malformed`, {
          hint: "Send 8 to 100 letters and digits, chosen at random; repeat them when you repeat the request.",
        });
      }
      const submitted = coordinator.clients.submit(request.body, key, callerOf(request));
      return reply.code(submitted.isNew ? 201 : 200).send(submitted);
    },
  );
  app.get(
    "/jobs",
    {
      config: access.client,
      schema: {
        summary: "Jobs, newest first",
        querystring: Type.Object(
          {
            name: Type.Optional(Label),
            pattern: Type.Optional(Pattern),
            state: Type.Optional(JobStateName),
            group: Type.Optional(Label),
            project: Type.Optional(Label),
            limit: Type.Optional(Type.Integer(bounds(settings.listed))),
          },
          { additionalProperties: false },
        ),
        response: {
          200: Type.Object({ jobs: Type.Array(JobSummarySchema), truncated: Type.Boolean() }),
        },
      },
    },
    ({ query }) => {
      const { jobs, truncated } = coordinator.clients.jobs(query);
      return { jobs: [...jobs], truncated };
    },
  );
  app.get(
    "/jobs/:job",
    {
      config: access.client,
      schema: { summary: "All about a job", params: JobParams, response: { 200: JobViewSchema } },
    },
    ({ params }) => coordinator.clients.job(params.job),
  );
  app.get(
    "/jobs/:job/attempts",
    {
      config: access.client,
      schema: {
        summary: "Every attempt of the job's tasks, with its end and cause",
        params: JobParams,
        response: { 200: Type.Array(AttemptViewSchema) },
      },
    },
    ({ params }, reply) => {
      const texts = arrayText(coordinator.clients.attempts(params.job));
      void reply.header("content-type", "application/json; charset=utf-8");
      return Readable.from(texts) as unknown as AttemptView[];
    },
  );
  badRoute(app, coordinator);
  steeringRoutes(app, coordinator);
}

const piecesOf = 500;

/** As JSON, a piece at a time: a job may have a hundred thousand attempts. */
function* arrayText(all: readonly unknown[]): Generator<string> {
  for (let from = 0; from < all.length; from += piecesOf) {
    const texts = all.slice(from, from + piecesOf).map((one) => JSON.stringify(one));
    yield `${from === 0 ? "[" : ","}${texts.join(",")}`;
  }
  yield all.length === 0 ? "[]" : "]";
}

function badRoute(app: App, coordinator: Coordinator): void {
  app.get(
    "/jobs/:job/bad",
    {
      config: access.client,
      schema: {
        summary: "What it takes to run the records again that the job has set aside",
        params: JobParams,
        response: { 200: BadInputsSchema },
      },
    },
    ({ params }) => coordinator.clients.badInputs(params.job),
  );
}

function steeringRoutes(app: App, coordinator: Coordinator): void {
  app.post(
    "/jobs/:job/kill",
    {
      config: access.client,
      schema: {
        summary: "Cancel a job; one that has ended stays as it is",
        params: JobParams,
        body: Type.Object({ reason: Type.String({ maxLength: 1_000 }) }, { additionalProperties: false }),
        response: { 200: JobSummarySchema },
      },
    },
    (request) => coordinator.clients.kill(request.params.job, request.body.reason, callerOf(request)),
  );
  app.post(
    "/jobs/:job/delete",
    {
      config: access.client,
      schema: {
        summary: "All that is kept of a job that has ended goes: its history, logs and results",
        params: JobParams,
        body: Type.Object({}, { additionalProperties: false }),
        response: { 200: JobSummarySchema },
      },
    },
    (request) => coordinator.clients.delete(request.params.job, callerOf(request)),
  );
  app.post(
    "/jobs/:job/attach",
    {
      config: access.client,
      schema: {
        summary: "Attached jobs stop with their client, detached ones go on",
        params: JobParams,
        body: Type.Object({ attached: Type.Boolean() }, { additionalProperties: false }),
        response: { 200: JobSummarySchema },
      },
    },
    ({ params, body }) => coordinator.clients.attach(params.job, body.attached),
  );
  app.post(
    "/jobs/:job/heartbeat",
    {
      config: access.client,
      schema: {
        summary: "The attached client lives",
        params: JobParams,
        body: Type.Object({}, { additionalProperties: false }),
        response: { 200: Type.Object({ state: JobStateName }) },
      },
    },
    ({ params }) => ({ state: coordinator.clients.clientBeat(params.job) }),
  );
}
