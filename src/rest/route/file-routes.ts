import { createReadStream } from "node:fs";
import Type from "typebox";
import { SheafError } from "../../base/errors.ts";
import type { Coordinator } from "../../coordinator/coordinator.ts";
import type { ServedFile } from "../../coordinator/service.ts";
import { capsuleFiles } from "../../protocol/slices.ts";
import { PartViewSchema } from "../../protocol/task-result.ts";
import type { FastifyReply } from "../../vendor/fastify.ts";
import { access } from "../app.ts";
import type { App } from "../app.ts";
import { HashParam, JobParam, JobParams, TaskNameParam } from "../params.ts";

/** Code and side data on their way in, results on their way out. */
export function fileRoutes(app: App, coordinator: Coordinator): void {
  blobRoutes(app, coordinator);
  app.get(
    "/jobs/:job/results",
    {
      config: access.client,
      schema: {
        summary: "Result files of a job whose output was collected",
        params: JobParams,
        response: {
          200: Type.Object({ parts: Type.Array(PartViewSchema), collected: Type.Array(PartViewSchema) }),
        },
      },
    },
    ({ params }) => {
      const { parts, collected } = coordinator.clients.job(params.job);
      return { parts, collected };
    },
  );
  app.get(
    "/jobs/:job/results/:kind/:index",
    {
      config: access.client,
      schema: {
        summary: "A result file; Range resumes",
        produces: ["application/octet-stream"],
        params: Type.Object({
          job: JobParam,
          kind: Type.Union([
            Type.Literal("output"),
            Type.Literal("collected"),
            Type.Literal("bad"),
            Type.Literal("records"),
          ]),
          index: Type.Integer({ minimum: 0 }),
        }),
      },
    },
    ({ params, headers }, reply) =>
      sendFile(coordinator.clients.resultFile(params.job, params.kind, params.index), headers.range, reply),
  );
  app.get(
    "/jobs/:job/capsules/:task/:file",
    {
      config: access.client,
      schema: {
        summary: "What it takes to run a failed task again",
        produces: ["application/octet-stream"],
        params: Type.Object({
          job: JobParam,
          task: TaskNameParam,
          file: Type.Union(capsuleFiles.map((file) => Type.Literal(file))),
        }),
      },
    },
    ({ params, headers }, reply) =>
      sendFile(coordinator.clients.capsuleFile(params.job, params.task, params.file), headers.range, reply),
  );
}

function blobRoutes(app: App, coordinator: Coordinator): void {
  const params = Type.Object({ hash: HashParam });
  app.put(
    "/blobs/:hash",
    {
      config: access.clientBinary,
      bodyLimit: Number.MAX_SAFE_INTEGER,
      schema: { summary: "Code or side data, by its SHA-256", params, response: { 204: Type.Null() } },
    },
    async (request, reply) => {
      await coordinator.clients.putBlob(request.params.hash, request.raw);
      return reply.code(204).send(null);
    },
  );
  app.get(
    "/blobs/:hash",
    {
      config: access.clientOrAgent,
      exposeHeadRoute: false,
      schema: { summary: "Code or side data", produces: ["application/octet-stream"], params },
    },
    async (request, reply) =>
      sendFile(await coordinator.clients.blob(request.params.hash), request.headers.range, reply),
  );
  app.head(
    "/blobs/:hash",
    { config: access.clientOrAgent, schema: { summary: "Whether it is there: 200 or 404", params } },
    async (request, reply) =>
      reply.code((await coordinator.clients.hasBlob(request.params.hash)) ? 200 : 404).send(),
  );
}

function sendFile(file: ServedFile, range: string | undefined, reply: FastifyReply): FastifyReply {
  const start = range === undefined ? 0 : startOf(range, file.bytes);
  void reply
    .code(range === undefined ? 200 : 206)
    .header("content-type", "application/octet-stream")
    .header("accept-ranges", "bytes")
    .header("content-length", String(file.bytes - start));
  if (range !== undefined) {
    void reply.header("content-range", `bytes ${start}-${Math.max(start, file.bytes - 1)}/${file.bytes}`);
  }
  // An empty file has no byte to begin at.
  if (start === file.bytes) return reply.send(Buffer.alloc(0));
  return reply.send(createReadStream(file.path, { start, highWaterMark: 256 * 1024 }));
}

function startOf(range: string, bytes: number): number {
  const match = /^bytes=(\d{1,15})-$/.exec(range);
  const start = match === null ? Number.NaN : Number(match[1]);
  if (start <= bytes) return start;
  throw new SheafError("USAGE", `the range ${JSON.stringify(range)} does not lie in ${bytes} bytes`, {
    hint: 'Ask for "bytes=N-", from where you stopped to the end.',
  });
}
