import { limits } from "../base/limits.ts";
import type { TypeBoxTypeProvider } from "../vendor/fastify.ts";
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from "../vendor/fastify.ts";

/** The server as routes see it: handlers get the types of their schemas. */
export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

/** What routes declare: who may call them, and what their bodies are. The gate reads it. */
export const access = {
  anyone: { access: { may: ["anyone"] } },
  client: { access: { may: ["client"] } },
  agent: { access: { may: ["agent"] } },
  clientOrAgent: { access: { may: ["client", "agent"] } },
  clientBinary: { access: { may: ["client"], body: "binary" } },
  agentBinary: { access: { may: ["agent"], body: "binary" } },
} as const;

/** What agents say of whole plans, attempts and commits. */
export const largeBody = {
  config: { ...access.agent, bodyValuesMax: limits.serverLargeBodyValuesMax },
  bodyLimit: limits.serverLargeBodyBytesMax,
} as const;
