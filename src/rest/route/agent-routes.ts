import Type from "typebox";
import type { Coordinator } from "../../coordinator/coordinator.ts";
import {
  ErrandResultSchema,
  HeartbeatAnswerSchema,
  HeartbeatSchema,
  LeaveSchema,
  OrdersQuestionSchema,
  OrdersSchema,
  RegisteredSchema,
  RegisterSchema,
  SplitPageSchema,
} from "../../protocol/agent-messages.ts";
import { access, largeBody } from "../app.ts";
import type { App } from "../app.ts";
import { goneSignal } from "../gone-signal.ts";
import { AgentParams } from "../params.ts";

const Nothing = Type.Object({});

/** What agents say of themselves, and what they are told to do beside tasks. */
export function agentRoutes(app: App, coordinator: Coordinator): void {
  app.post(
    "/agents",
    {
      config: access.agent,
      schema: {
        summary: "An agent begins a life, or says again that it has",
        body: RegisterSchema,
        response: { 200: RegisteredSchema },
      },
    },
    (request) => coordinator.agents.register(request.body),
  );
  app.post(
    "/agents/:agent/heartbeat",
    {
      config: access.agent,
      schema: {
        summary: "An agent lives; what runs on it",
        params: AgentParams,
        body: HeartbeatSchema,
        response: { 200: HeartbeatAnswerSchema },
      },
    },
    (request) => coordinator.agents.heartbeat(request.params.agent, request.body),
  );
  app.post(
    "/agents/:agent/leave",
    {
      config: access.agent,
      schema: {
        summary: "An agent goes, on purpose",
        params: AgentParams,
        body: LeaveSchema,
        response: { 200: Nothing },
      },
    },
    ({ params, body }) => {
      coordinator.agents.leave(params.agent, body);
      return {};
    },
  );
  app.post(
    "/agents/:agent/orders",
    {
      config: access.agent,
      schema: {
        summary: "Long poll: what an agent is to do at once",
        params: AgentParams,
        body: OrdersQuestionSchema,
        response: { 200: OrdersSchema },
      },
    },
    (request, reply) => coordinator.agents.orders(request.params.agent, request.body, goneSignal(reply)),
  );
  errandRoutes(app, coordinator);
}

function errandRoutes(app: App, coordinator: Coordinator): void {
  const params = Type.Object({ errand: Type.String({ pattern: "^[A-Za-z0-9._:/-]{1,200}$" }) });
  app.post(
    "/errands/:errand/splits",
    {
      ...largeBody,
      schema: {
        summary: "A page of a large plan, ahead of the errand's result",
        params,
        body: SplitPageSchema,
        response: { 200: Nothing },
      },
    },
    (request) => {
      coordinator.agents.errandPage(request.params.errand, request.body);
      return {};
    },
  );
  app.post(
    "/errands/:errand",
    {
      ...largeBody,
      schema: {
        summary: "How an errand went",
        params,
        body: ErrandResultSchema,
        response: { 200: Nothing },
      },
    },
    (request) => {
      coordinator.agents.errandDone(request.params.errand, request.body);
      return {};
    },
  );
}
