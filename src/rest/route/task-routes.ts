import Type from "typebox";
import type { Coordinator } from "../../coordinator/coordinator.ts";
import {
  LogLinesSchema,
  OutputsSchema,
  PreparationSchema,
  StraySchema,
  TaskAnswerSchema,
  TaskReportAnswerSchema,
  TaskReportSchema,
} from "../../protocol/task-messages.ts";
import type { MapOutputs } from "../../protocol/task-messages.ts";
import type { TaskService } from "../../protocol/worker-protocol.ts";
import { access, largeBody } from "../app.ts";
import type { App } from "../app.ts";
import { goneSignal } from "../gone-signal.ts";
import {
  AgentParam,
  askerOf,
  AttemptParam,
  FileNameParam,
  JobParam,
  JobParams,
  TaskTypeParam,
} from "../params.ts";

const Id = Type.Integer({ minimum: 0 });
const TaskParams = Type.Object({ type: TaskTypeParam, id: Id });
const JobTaskParams = Type.Object({ job: JobParam, type: TaskTypeParam, id: Id });
const Status = Type.Object({ status: Type.Integer() });

/** The worker protocol: what sheaf's agents and workers in any other language speak. */
export function taskRoutes(app: App, service: TaskService): void {
  app.put(
    "/task",
    {
      config: access.agent,
      schema: { summary: "Long poll: a task to run", response: { 200: TaskAnswerSchema } },
    },
    (request, reply) => service.askTask(askerOf(request), goneSignal(reply)),
  );
  app.post(
    "/task/:type/:id/status",
    {
      ...largeBody,
      schema: {
        summary: "How a task goes",
        params: TaskParams,
        body: TaskReportSchema,
        response: { 200: TaskReportAnswerSchema },
      },
    },
    (request) => {
      const { params, body } = request;
      return service.report(null, params.type, params.id, body, askerOf(request));
    },
  );
  app.get(
    "/task/:type/:id/status",
    {
      config: access.clientOrAgent,
      schema: { summary: "State of a task", params: TaskParams, response: { 200: Status } },
    },
    ({ params }) => service.taskStatus(null, params.type, params.id),
  );
  app.post(
    "/jobs/:job/task/:type/:id/status",
    {
      ...largeBody,
      schema: {
        summary: "How a task of the job goes",
        params: JobTaskParams,
        body: TaskReportSchema,
        response: { 200: TaskReportAnswerSchema },
      },
    },
    (request) => {
      const { params, body } = request;
      return service.report(params.job, params.type, params.id, body, askerOf(request));
    },
  );
  app.get(
    "/jobs/:job/task/:type/:id/status",
    {
      config: access.clientOrAgent,
      schema: { summary: "State of a task of the job", params: JobTaskParams, response: { 200: Status } },
    },
    ({ params }) => service.taskStatus(params.job, params.type, params.id),
  );
}

/** What an agent needs for the tasks of a job, and hands in beside its reports. */
export function jobSupplyRoutes(app: App, coordinator: Coordinator): void {
  app.get(
    "/jobs/:job/preparation",
    {
      config: access.agent,
      schema: {
        summary: "What an agent needs before its first task of the job",
        params: JobParams,
        querystring: Type.Object({ agent: AgentParam }),
        response: { 200: PreparationSchema },
      },
    },
    ({ params, query }) => coordinator.agents.preparation(params.job, query.agent),
  );
  app.get(
    "/jobs/:job/outputs",
    {
      config: access.agent,
      schema: {
        summary: "Where the outputs of maps lie, from entry `after` on: a page at most",
        params: JobParams,
        querystring: Type.Object({ after: Type.Integer({ minimum: 0 }) }),
        response: { 200: OutputsSchema },
      },
    },
    ({ params, query }, reply) => {
      void reply.header("content-type", "application/json; charset=utf-8");
      return coordinator.agents.outputsPage(params.job, query.after) as unknown as MapOutputs;
    },
  );
  strayRoute(app, coordinator);
  app.post(
    "/jobs/:job/logs",
    {
      ...largeBody,
      schema: {
        summary: "What tasks printed",
        params: JobParams,
        querystring: Type.Object({ agent: AgentParam }),
        body: LogLinesSchema,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      coordinator.agents.takeLogs(request.params.job, request.body);
      return reply.code(204).send(null);
    },
  );
  app.put(
    "/jobs/:job/results/:attempt/:name",
    {
      config: access.agentBinary,
      bodyLimit: Number.MAX_SAFE_INTEGER,
      schema: {
        summary: "A result file of an attempt",
        params: Type.Object({ job: JobParam, attempt: AttemptParam, name: FileNameParam }),
        querystring: Type.Object({
          crc32c: Type.String({ pattern: "^[0-9a-f]{8}$" }),
          bytes: Type.Integer({ minimum: 0 }),
        }),
        response: { 204: Type.Null() },
      },
    },
    async ({ params, query, raw }, reply) => {
      const expected = { crc32c: Number.parseInt(query.crc32c, 16), bytes: query.bytes };
      await coordinator.agents.putResult(params.job, params.attempt, params.name, expected, raw);
      return reply.code(204).send(null);
    },
  );
}

function strayRoute(app: App, coordinator: Coordinator): void {
  app.post(
    "/jobs/:job/stray",
    {
      ...largeBody,
      schema: {
        summary: "User code emitted after its task was over",
        params: JobParams,
        body: StraySchema,
        response: { 200: Type.Object({ accepted: Type.Boolean() }) },
      },
    },
    ({ params, body }) => ({ accepted: coordinator.tasks.stray(params.job, body) }),
  );
}
