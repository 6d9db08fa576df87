/*
 * Fastify, and what of it the doors need. The build (scripts/vendor.mjs) puts all of it into this one
 * module, so that no range of Fastify's own reaches those who install sheaf: its test kit asks for a package
 * that refuses Node 20.
 */
export { fastify, LogController } from "fastify";
export { default as swagger } from "@fastify/swagger";
export type {
  ConnectionError,
  FastifyBaseLogger,
  FastifyContextConfig,
  FastifyError,
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  FastifySchema,
  FastifySchemaCompiler,
  FastifyTypeProvider,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerBase,
  RawServerDefault,
  RouteOptions,
  onRequestHookHandler,
} from "fastify";
export type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
