import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { pino } from "pino";
import { systemClock } from "#src/base/clock.js";
import { SheafError } from "#src/base/errors.js";
import type { AgentRequests } from "#src/coordinator/agent-requests.js";
import type { ClientRequests } from "#src/coordinator/client-requests.js";
import type { Coordinator } from "#src/coordinator/coordinator.js";
import type { Operations } from "#src/coordinator/operations.js";
import type { TaskRequests } from "#src/coordinator/task-requests.js";
import { coordinatorRoutes } from "#src/rest/coordinator-routes.js";
import { startServer } from "#src/rest/server.js";
import type { RunningServer } from "#src/rest/server.js";
import { hostList } from "#src/security/host-list.js";
import { digestToken, makeToken } from "#src/security/token.js";

export const clientToken = makeToken("client");
export const agentToken = makeToken("agent");

/** Requests that a coordinator answers, of all kinds. */
type FakeRequests = Partial<
  Pick<ClientRequests, keyof ClientRequests> &
    Pick<AgentRequests, keyof AgentRequests> &
    Pick<TaskRequests, keyof TaskRequests> &
    Pick<Operations, keyof Operations>
>;

/** A coordinator of which only the methods given exist; every other call fails the request with 500. */
function fakeCoordinator(methods: FakeRequests): Coordinator {
  const requests = new Proxy(methods, {
    get: (target, name) =>
      Reflect.get(target, name) ??
      (() => {
        throw new SheafError("INTERNAL", `the test has no ${String(name)}`);
      }),
  });
  const all = { clients: requests, agents: requests, tasks: requests, operations: requests };
  return all as unknown as Coordinator;
}

/** A server over the service, closed when the test ends. */
export async function serve(
  context: TestContext,
  methods: FakeRequests,
): Promise<RunningServer & { readonly ask: (path: string, init?: Ask) => Promise<Response> }> {
  const server = await startServer({
    routes: (app) => coordinatorRoutes(app, fakeCoordinator(methods)),
    policy: {
      tokens: [
        { role: "client", digest: digestToken(clientToken) },
        { role: "agent", digest: digestToken(agentToken) },
      ],
      open: false,
      hosts: hostList({ bound: "127.0.0.1" }),
      jobKey: () => null,
      clock: systemClock,
    },
    host: "127.0.0.1",
    port: 0,
    tls: null,
    version: "0.0.0",
    log: pino({ level: "silent" }),
  });
  context.after(() => server.close());
  return { ...server, ask: (path, init) => ask(server.url, path, init) };
}

export interface Ask {
  readonly method?: string;
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly bytes?: Buffer;
  readonly signal?: AbortSignal;
}

async function ask(url: string, path: string, init: Ask = {}): Promise<Response> {
  const { method = "GET", token = clientToken, headers = {}, body, bytes, signal } = init;
  const type = bytes === undefined ? "application/json" : "application/octet-stream";
  const content = bytes ?? (body === undefined ? undefined : JSON.stringify(body));
  return fetch(`${url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(content === undefined ? {} : { "content-type": type }),
      ...headers,
    },
    ...(content === undefined ? {} : { body: content }),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** A file with this content, removed when the test ends. */
export function storedFile(context: TestContext, content: string): { path: string; bytes: number } {
  const directory = mkdtempSync(join(tmpdir(), "sheaf-rest-"));
  context.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "file");
  writeFileSync(path, content);
  return { path, bytes: Buffer.byteLength(content) };
}

export function sha256(content: string): string {
  return createHash("sha256").update(content).digest("hex");
}

export const jobId = "20260101-101010123-wordcount-k3x9";
