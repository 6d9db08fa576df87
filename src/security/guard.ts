import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import { SheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  FastifyTypeProvider,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerBase,
  RouteOptions,
  onRequestHookHandler,
} from "../vendor/fastify.ts";
import { answerHeaders } from "./answer-headers.ts";
import { admit } from "./gate.ts";
import type { Access, Principal, GatePolicy, Refusal, RequestFacts } from "./gate.ts";
import { queueHook } from "./request-queue.ts";
import { describeRefusedPeer } from "./tls-error.ts";
import { answerUnparsed } from "./unparsed-request.ts";

/*
 * Puts the gate (gate.ts) in front of a Fastify server, before all of its routes and methods and before
 * those it does not have:
 *
 *   const app = fastify({ ...guardedOptions(policy), logger });
 *   guard(app, policy);
 *   app.get("/jobs", { config: { access: { may: ["client"] } } }, handler);
 */

declare module "fastify" {
  interface FastifyContextConfig {
    /** Who may call the route; guard() refuses to start a server with a route that does not say. */
    readonly access?: Access;
    /** Values a JSON body may hold. Default: limits.serverBodyValuesMax. */
    readonly bodyValuesMax?: number;
    /** Schema of headers that the route itself looks at, for its description. */
    readonly headers?: object;
  }
  interface FastifyRequest {
    /** Who is asking: set before any handler runs. */
    caller: Principal;
  }
}

/** Options of the HTTP or HTTPS server itself: limits of what one request may be and how long it may take. */
export const serverSettings = {
  maxHeaderSize: limits.serverHeaderBytesMax,
  headersTimeout: limits.serverHeadersMs,
  requestTimeout: limits.serverRequestMs,
  connectionsCheckingInterval: 1_000,
  // A request without a Host is for the gate to refuse.
  requireHostHeader: false,
} as const;

/** Options for fastify(). For TLS add `https: { ...serverSettings, ...tls.server }` in place of `http`. */
export function guardedOptions(policy: GatePolicy) {
  return {
    http: serverSettings,
    bodyLimit: limits.serverBodyBytesMax,
    requestTimeout: limits.serverRequestMs,
    trustProxy: false,
    requestIdHeader: false,
    // While it closes, the gate still comes first.
    return503OnClosing: false,
    onProtoPoisoning: "remove",
    onConstructorPoisoning: "remove",
    routerOptions: { maxParamLength: 200 },
    clientErrorHandler: answerUnparsed,
    frameworkErrors: (error: Error, request: unknown, reply: unknown) =>
      answerUnroutable(error, request as FastifyRequest, reply as FastifyReply, policy),
  } as const;
}

/** Puts the gate in front of the server. To be called before any route is added. */
export function guard<
  Server extends RawServerBase,
  Request extends RawRequestDefaultExpression<Server>,
  Reply extends RawReplyDefaultExpression<Server>,
  Logger extends FastifyBaseLogger,
  Provider extends FastifyTypeProvider,
>(app: FastifyInstance<Server, Request, Reply, Logger, Provider>, policy: GatePolicy): void {
  const server = app as unknown as FastifyInstance;
  server.server.maxConnections = limits.serverConnectionsMax;
  // Those whose certificate is refused learn little of why; its log says it.
  server.server.on("tlsClientError", (error: NodeJS.ErrnoException, socket: TLSSocket) => {
    const from = socket.remoteAddress ?? null;
    server.log.warn({ event: "tls", from }, describeRefusedPeer(error, socket.authorizationError));
  });
  server.decorateRequest("caller", null as never);
  server.addHook("onRequest", queueHook(limits.serverRequestsQueuedMax));
  server.addHook("onRequest", gateHook(policy));
  server.addHook("onRoute", checkRoute);
}

/** The gate as the hook that runs before everything else of a request. */
function gateHook(policy: GatePolicy): onRequestHookHandler {
  return (request, reply, done) => {
    for (const [name, value] of Object.entries(answerHeaders)) reply.raw.setHeader(name, value);
    const { job } = (request.params ?? {}) as { readonly job?: string };
    const access = request.is404 ? null : (request.routeOptions.config.access ?? nobody);
    const admission = admit(factsOf(request.raw, access, job ?? null), policy);
    if (admission.allowed) {
      request.caller = admission.caller;
      done();
    } else {
      refuse(request.raw, reply, admission);
    }
  };
}

const nobody: Access = { may: [] };

/** What the gate looks at in a request of Node's own server. */
export function factsOf(request: IncomingMessage, access: Access | null, job: string | null): RequestFacts {
  const { method = "", url = "", headers, headersDistinct } = request;
  return {
    method,
    target: url,
    host: headersDistinct["host"] ?? [],
    authorization: headersDistinct["authorization"] ?? [],
    origin: headersDistinct["origin"] ?? [],
    fetchSite: headersDistinct["sec-fetch-site"] ?? [],
    contentType: headersDistinct["content-type"] ?? [],
    hasBody: hasBody(headers),
    access,
    job,
  };
}

function hasBody(headers: IncomingHttpHeaders): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) !== 0;
}

/** A route that forgot to say who may call it is a mistake that must not wait for somebody to find it. */
function checkRoute(route: RouteOptions): void {
  const { access } = (route.config ?? {}) as { readonly access?: Access };
  const name = `${String(route.method)} ${route.url}`;
  if (access === undefined || access.may.length === 0) {
    throw new SheafError("INTERNAL", `the route ${name} does not say who may call it (config.access)`);
  }
  if (access.may.includes("shuffle") && !route.url.includes("/:job")) {
    throw new SheafError("INTERNAL", `the route ${name} takes signed URLs, but its path names no :job`);
  }
}

function refuse(request: IncomingMessage, reply: FastifyReply, refusal: Refusal): void {
  const { status, code, message, hint } = refusal;
  if (status === 401) reply.header("www-authenticate", 'Bearer realm="sheaf"');
  // What is still to come of a large body is not waited for.
  if (
    Number(request.headers["content-length"] ?? Infinity) > limits.serverBodyBytesMax &&
    hasBody(request.headers)
  )
    reply.header("connection", "close");
  void reply.code(status).send({ error: { code, message, hint } });
}

/** Requests whose path cannot be decoded or routed reach no hook: the gate decides about them here. */
function answerUnroutable(
  error: Error & { readonly statusCode?: number },
  request: FastifyRequest,
  reply: FastifyReply,
  policy: GatePolicy,
): void {
  for (const [name, value] of Object.entries(answerHeaders)) reply.raw.setHeader(name, value);
  const admission = admit(factsOf(request.raw, null, null), policy);
  if (!admission.allowed) return refuse(request.raw, reply, admission);
  const { statusCode = 400 } = error;
  const body = { code: "MESSAGE_INVALID", message: "the path of the request cannot be read", hint: pathHint };
  void reply.code(statusCode).send({ error: body });
}

const pathHint = "Encode it as a URL does, and look at the length of its parts.";
