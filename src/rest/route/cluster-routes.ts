import Type from "typebox";
import type { Coordinator } from "../../coordinator/coordinator.ts";
import { ClusterViewSchema, NodeViewSchema } from "../../protocol/job-view.ts";
import { access } from "../app.ts";
import type { App } from "../app.ts";
import type { Metrics } from "../metrics.ts";
import { AgentParams } from "../params.ts";

const closed = { additionalProperties: false } as const;

/** The cluster as a whole, and its agents. */
export function clusterRoutes(app: App, coordinator: Coordinator): void {
  let metrics: Promise<Metrics> | null = null;
  app.get(
    "/health",
    {
      config: access.anyone,
      schema: { summary: "Whether it runs", response: { 200: Type.Object({ ok: Type.Boolean() }) } },
    },
    () => ({ ok: true }),
  );
  app.get(
    "/cluster",
    { config: access.client, schema: { summary: "The cluster", response: { 200: ClusterViewSchema } } },
    () => coordinator.operations.cluster(),
  );
  app.get(
    "/metrics",
    {
      config: access.client,
      schema: { summary: "Metrics in the format of Prometheus", produces: ["text/plain"] },
    },
    async (_request, reply) => {
      // When somebody asks for the first time: to load what makes them is a tenth of a coordinator's start.
      metrics ??= import("../metrics.ts").then(({ createMetrics }) => createMetrics(coordinator));
      const { contentType, text } = await metrics;
      return reply.header("content-type", contentType).send(await text());
    },
  );
  app.get(
    "/nodes",
    {
      config: access.client,
      schema: {
        summary: "Agents: where, how busy, in what state",
        response: { 200: Type.Object({ nodes: Type.Array(NodeViewSchema) }) },
      },
    },
    () => ({ nodes: [...coordinator.operations.nodes()] }),
  );
  nodeRoutes(app, coordinator);
}

function nodeRoutes(app: App, coordinator: Coordinator): void {
  const common = { config: access.client };
  const response = { 200: NodeViewSchema };
  app.post(
    "/nodes/:agent/bar",
    {
      ...common,
      schema: {
        summary: "No more tasks for this agent, also after it has started anew",
        params: AgentParams,
        body: Type.Object({ reason: Type.String({ minLength: 1, maxLength: 1_000 }) }, closed),
        response,
      },
    },
    ({ params, body }) => coordinator.operations.bar(params.agent, body.reason),
  );
  app.post(
    "/nodes/:agent/admit",
    {
      ...common,
      schema: {
        summary: "Tasks again for a barred agent",
        params: AgentParams,
        body: Type.Object({}, closed),
        response,
      },
    },
    ({ params }) => coordinator.operations.admit(params.agent),
  );
  app.post(
    "/nodes/:agent/drain",
    {
      ...common,
      schema: {
        summary: "Let an agent finish what runs, and give it nothing new",
        params: AgentParams,
        body: Type.Object({ draining: Type.Boolean() }, closed),
        response,
      },
    },
    ({ params, body }) => coordinator.operations.drain(params.agent, body.draining),
  );
}
