import type { ServerOptions as ServerOptionsOfTls } from "node:https";
import type { AddressInfo } from "node:net";
import { SheafError } from "../base/errors.ts";
import { toWireJson } from "../base/wire-json.ts";
import type { GatePolicy } from "../security/gate.ts";
import { guard, guardedOptions, serverSettings } from "../security/guard.ts";
import { fastify, LogController, swagger } from "../vendor/fastify.ts";
import type { FastifyBaseLogger } from "../vendor/fastify.ts";
import { access } from "./app.ts";
import type { App } from "./app.ts";
import { documented } from "./documented.ts";
import { answerError, bodyOf } from "./error-answer.ts";
import { takeJson } from "./take-json.ts";
import { Turns } from "./turns.ts";
import { compileValidator } from "./validation.ts";

export interface ServerOptions {
  /** Adds what it serves. */
  readonly routes: (app: App) => void;
  readonly policy: GatePolicy;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Options of an HTTPS server; null: plain HTTP. */
  readonly tls: { readonly server: ServerOptionsOfTls } | null;
  /** sheaf's version, for the OpenAPI document. */
  readonly version: string;
  readonly log: FastifyBaseLogger;
}

/**
 * Connections that wait to be taken: all agents of a large cluster come back at once, with one for each slot,
 * when their coordinator was started anew. Those that find no room try again only after seconds.
 */
const backlog = 4_096;

export interface RunningServer {
  /** "http://127.0.0.1:7077" */
  readonly url: string;
  readonly port: number;
  /** Ends long polls and event streams, then stops listening. */
  close(): Promise<void>;
}

/** @throws SheafError USAGE when the address is in use or cannot be had */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const app = await createApp(options);
  try {
    await app.listen({ host: options.host, port: options.port, backlog });
  } catch (error) {
    await app.close();
    throw listenError(error, options);
  }
  const { port } = app.server.address() as AddressInfo;
  const scheme = options.tls === null ? "http" : "https";
  const host = options.host.includes(":") ? `[${options.host}]` : options.host;
  return {
    url: `${scheme}://${host}:${port}`,
    port,
    close: async () => {
      app.server.closeAllConnections();
      await app.close();
    },
  };
}

/** All routes behind the gate; not listening yet. */
async function createApp(options: ServerOptions): Promise<App> {
  const { policy, tls, version, log } = options;
  const app = fastify({
    ...guardedOptions(policy),
    ...(tls === null ? {} : { https: { ...serverSettings, ...tls.server } }),
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    forceCloseConnections: true,
  }) as unknown as App;
  const turns = new Turns();
  app.server.on("connection", () => turns.connected());
  app.addHook("onRequest", (_request, _reply, done) => turns.take(done));
  guard(app, policy);
  app.setValidatorCompiler(compileValidator);
  // What the service answers is typed by the same schemas; params of jobs may hold bigints.
  app.setSerializerCompiler(() => toWireJson);
  app.setErrorHandler(answerError);
  app.setNotFoundHandler(({ method, url }, reply) => {
    const path = url.split("?", 1)[0]!.slice(0, 200);
    const hint = "GET /openapi.json describes every request.";
    void reply.code(404).send(bodyOf("NOT_FOUND", `there is no ${method} ${path}`, hint));
  });
  app.removeContentTypeParser("text/plain");
  takeJson(app);
  // Files are streamed to disk by their routes, never gathered in memory.
  app.addContentTypeParser("application/octet-stream", (_request, _payload, done) => done(null));
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "sheaf coordinator", version, description: "See docs/protocol.md." },
      components: { securitySchemes: { token: { type: "http", scheme: "bearer" } } },
      security: [{ token: [] }],
    },
    transform: ({ schema, url, route }) => ({ schema: documented(schema, route.config), url }),
  });
  await app.register((routes, _options, done) => {
    const typed = routes as unknown as App;
    options.routes(typed);
    let document: Buffer | undefined;
    const schema = { summary: "This document", produces: ["application/json"] };
    typed.get("/openapi.json", { config: access.client, schema }, (_request, reply) => {
      document ??= Buffer.from(JSON.stringify(app.swagger()));
      return reply.header("content-type", "application/json; charset=utf-8").send(document);
    });
    done();
  });
  await app.ready();
  return app;
}

function listenError(error: unknown, { host, port }: ServerOptions): SheafError {
  const { code } = error as NodeJS.ErrnoException;
  const what =
    code === "EADDRINUSE"
      ? "is in use"
      : code === "EADDRNOTAVAIL"
        ? "is no address of this machine"
        : code === "EACCES"
          ? "may not be listened on by this user"
          : `cannot be listened on (${code ?? String(error)})`;
  return new SheafError("USAGE", `${host}:${port} ${what}`, {
    hint: "Give another --port or --host; --port 0 takes any free port.",
    cause: error,
  });
}
