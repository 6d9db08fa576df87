import assert from "node:assert/strict";
import { METHODS } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { answerHeaders } from "#src/security/answer-headers.js";
import type { GatePolicy } from "#src/security/gate.js";
import { guard, guardedOptions } from "#src/security/guard.js";
import { signRequest } from "#src/security/signed-url.js";
import { fastify } from "#src/vendor/fastify.js";
import type { FastifyInstance } from "#src/vendor/fastify.js";
import { jobKeys, nowMs, policy, tokens } from "./gate-support.js";
import { ask, closing, codeOf, rawRequest, sendRaw } from "./http-support.js";
import type { RawAnswer, RawRequest } from "./http-support.js";

interface Server {
  readonly app: FastifyInstance;
  readonly port: number;
  /** What handlers have been called with: "POST /jobs client". */
  readonly called: string[];
  ask(request: RawRequest): Promise<RawAnswer>;
}

/** A real server behind the gate, with a route of each kind. */
async function serve(t: TestContext, using: GatePolicy = policy): Promise<Server> {
  const app = closing(t, fastify({ ...guardedOptions(using), forceCloseConnections: true }));
  guard(app, using);
  const called: string[] = [];
  app.addHook("preHandler", async (request) => {
    const { caller } = request;
    called.push(`${request.method} ${request.url} ${caller.who}`);
  });
  app.addContentTypeParser("application/octet-stream", { parseAs: "buffer" }, (_request, body, done) =>
    done(null, body),
  );
  app.get("/health", { config: { access: { may: ["anyone"] } } }, async () => ({ ok: true }));
  app.get("/jobs", { config: { access: { may: ["client"] } } }, async () => []);
  app.post("/jobs", { config: { access: { may: ["client"] } } }, async (request) => ({ got: request.body }));
  app.delete("/jobs/:job", { config: { access: { may: ["client"] } } }, async () => ({}));
  app.put("/blobs/:hash", { config: { access: { may: ["client"], body: "binary" } } }, async () => ({}));
  app.put("/task", { config: { access: { may: ["agent"] } } }, async () => ({}));
  app.get("/shuffle/:job/:attempt", { config: { access: { may: ["shuffle"] } } }, async (request) => ({
    job: request.caller.who === "shuffle" ? request.caller.job : null,
  }));
  app.get("/stream", { config: { access: { may: ["client"] } } }, async (_request, reply) => {
    reply.hijack();
    reply.raw.writeHead(200, { "content-type": "text/event-stream" });
    reply.raw.end("data: 1\n\n");
  });
  await app.register(async (inner) => {
    inner.get("/inner", { config: { access: { may: ["client"] } } }, async () => ({}));
  });
  await app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = app.server.address() as AddressInfo;
  return { app, port, called, ask: (request) => ask(port, request) };
}

const methods = [...METHODS.filter((method) => method !== "CONNECT"), "FOO", "get", "TRACEX"];
const targets = [
  "/",
  "/health",
  "/jobs",
  "/jobs/x",
  "/jobs/x?y=1",
  "/blobs/00",
  "/task",
  "/shuffle/a/map-00000.1",
  "/stream",
  "/inner",
  "/metrics",
  "/static/app.js",
  "/nowhere",
  "/%",
  "/%zz",
  "/%2e%2e/%2e%2e/etc/passwd",
  "/../health",
  "/health/..",
  "/health/",
  "//health",
  "/HEALTH",
  "/health;x",
  "/health%00",
  `/jobs/${"x".repeat(1_000)}`,
  "*",
];

test("without a token every method on every path, known or not, is refused but for the few that are for anyone", async (t) => {
  const server = await serve(t);
  const answers = new Map<string, number>();
  for (const target of targets) {
    const all = await Promise.all(
      methods.map(async (method) => ({ method, answer: await server.ask({ method, target }) })),
    );
    for (const { method, answer } of all)
      if (answer.status !== 401) answers.set(`${method} ${target}`, answer.status);
  }
  assert.deepEqual(Object.fromEntries(answers), {
    "GET /health": 200,
    "HEAD /health": 200,
  });
  assert.deepEqual([...new Set(server.called)].sort(), ["GET /health anyone", "HEAD /health anyone"]);
});

test("with a token unknown routes are not found, and each role gets only what is for it", async (t) => {
  const server = await serve(t);
  const { client, agent } = tokens;
  const status = async (method: string, target: string, token: string): Promise<number> =>
    (await server.ask({ method, target, token })).status;
  assert.equal(await status("GET", "/jobs", client), 200);
  assert.equal(await status("HEAD", "/jobs", client), 200);
  assert.equal(await status("GET", "/inner", client), 200);
  assert.equal(await status("PUT", "/task", agent), 200);
  assert.equal(await status("DELETE", "/jobs/x", client), 200);
  for (const token of [client, agent]) {
    assert.equal(await status("GET", "/nowhere", token), 404);
    assert.equal(await status("PATCH", "/jobs", token), 404);
    assert.equal(await status("TRACE", "/jobs", token), 404);
    assert.equal(await status("OPTIONS", "/jobs", token), 404);
    assert.equal(await status("GET", "/%zz", token), 400);
    assert.equal(await status("DELETE", `/jobs/${"x".repeat(1_000)}`, token), 414);
  }
  const called = server.called.length;
  assert.equal(await status("PUT", "/task", client), 403);
  assert.equal(await status("GET", "/shuffle/a/x", client), 403);
  for (const [method, target] of [
    ["GET", "/jobs"],
    ["POST", "/jobs"],
    ["DELETE", "/jobs/x"],
    ["PUT", "/blobs/00"],
    ["GET", "/stream"],
    ["GET", "/inner"],
  ] as const)
    assert.equal(await status(method, target, agent), 403, `${method} ${target}`);
  const key = jobKeys["a"]!;
  assert.equal(await status("GET", "/jobs", key), 401);
  assert.equal(server.called.length, called, server.called.join("\n"));
});

test("blocks are for whoever holds a URL signed with the key of their job", async (t) => {
  const server = await serve(t);
  const [a, b] = [jobKeys["a"]!, jobKeys["b"]!];
  const sign = (key: string, job: string, expiresMs = nowMs + 1): string =>
    signRequest(key, { method: "GET", path: `/shuffle/${job}/map-00000.1`, job, expiresMs });
  const good = await server.ask({ target: sign(a, "a") });
  assert.equal(good.status, 200);
  assert.deepEqual(JSON.parse(good.body), { job: "a" });
  const refused = [
    sign(b, "a"),
    sign(a, "b"),
    sign(a, "a").replace("/shuffle/a/", "/shuffle/b/"),
    sign(a, "a").replace("00000", "00001"),
    sign(a, "a").replace("map-", "%6dap-"),
    sign(a, "a").replace("/shuffle", "//shuffle"),
    sign(a, "a", nowMs),
    `${sign(a, "a")}&partition=2`,
    sign(a, "a").replace("?", "?partition=2&"),
  ];
  for (const target of refused) assert.equal((await server.ask({ target })).status, 401, target);
  assert.equal((await server.ask({ target: sign(a, "a"), method: "HEAD" })).status, 401);
});

test("every answer carries the headers that keep a browser from making something of it", async (t) => {
  const server = await serve(t);
  const { client } = tokens;
  const requests: readonly (readonly [number, RawRequest])[] = [
    [200, { target: "/health" }],
    [200, { target: "/jobs", token: client }],
    [200, { target: "/stream", token: client }],
    [404, { target: "/nowhere", token: client }],
    [400, { target: "/%zz", token: client }],
    [401, { target: "/%zz" }],
    [401, { target: "/jobs" }],
    [401, { target: "/jobs", method: "FOO" }],
    [403, { target: "/task", method: "PUT", token: client }],
    [403, { target: "/health", host: "evil.test" }],
    [403, { target: "/health", host: null }],
    [415, { target: "/jobs", method: "POST", token: client, body: "a=1" }],
    [
      400,
      {
        target: "/jobs",
        method: "POST",
        token: client,
        body: "{",
        headers: { "Content-Type": "application/json" },
      },
    ],
    [431, { target: "/jobs", token: client, headers: { "X-Long": "x".repeat(20_000) } }],
  ];
  for (const [status, request] of requests) {
    const answer = await server.ask(request);
    assert.equal(answer.status, status, answer.raw);
    for (const [name, value] of Object.entries(answerHeaders))
      assert.equal(answer.headers[name], value, `${name} of ${JSON.stringify(request).slice(0, 100)}`);
    assert.ok(!Object.keys(answer.headers).some((name) => name.startsWith("access-control-")), answer.raw);
    assert.equal(
      answer.headers["www-authenticate"] !== undefined,
      status === 401 && request.method !== "FOO",
    );
  }
});

test("a Host that is not known gets nothing from any route, with or without a token", async (t) => {
  const server = await serve(t);
  for (const target of ["/health", "/jobs", "/nowhere", "/%zz"]) {
    for (const host of ["evil.test", `evil.test:${server.port}`, "", "127.0.0.1.evil.test"]) {
      for (const credential of [{}, { token: tokens.client }]) {
        const answer = await server.ask({ target, host, ...credential });
        assert.equal(answer.status, 403, `${target} ${host}`);
        assert.equal(codeOf(answer), "FORBIDDEN");
      }
    }
  }
  // Twice, and in the request line: neither makes up for the header.
  const twice = rawRequest(server.port, { target: "/health" }).replace("Host:", "Host: evil.test\r\nHost:");
  assert.equal((await sendRaw(server.port, twice)).status, 403);
  const absolute = { target: "http://127.0.0.1/health", host: "evil.test" };
  assert.equal((await server.ask(absolute)).status, 403);
  assert.deepEqual(server.called, []);
});

test("a page of another site changes nothing, and neither does a form", async (t) => {
  const server = await serve(t);
  const token = tokens.client;
  const json = { "Content-Type": "application/json" };
  const own = { Origin: `http://127.0.0.1:${server.port}`, "Sec-Fetch-Site": "same-origin" };
  const post = async (headers: Readonly<Record<string, string>>, body = "{}"): Promise<number> =>
    (await server.ask({ method: "POST", target: "/jobs", token, headers, body })).status;
  assert.equal(await post(json), 200);
  assert.equal(await post({ ...json, ...own }), 200);
  server.called.length = 0;
  assert.equal(await post({ ...json, Origin: "http://evil.test" }), 403);
  assert.equal(await post({ ...json, Origin: "null" }), 403);
  assert.equal(await post({ ...json, "Sec-Fetch-Site": "cross-site" }), 403);
  assert.equal(await post({}), 415);
  assert.equal(await post({ "Content-Type": "text/plain" }), 415);
  assert.equal(await post({ "Content-Type": "application/x-www-form-urlencoded" }, "a=1"), 415);
  assert.equal(await post({ "Content-Type": "multipart/form-data; boundary=x" }, "--x--"), 415);
  const remove = { method: "DELETE", target: "/jobs/x", token };
  assert.equal((await server.ask({ ...remove, headers: { Origin: "http://evil.test" } })).status, 403);
  const chunked = "POST /jobs HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n";
  const form = `Host: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n3\r\na=1\r\n0\r\n\r\n`;
  assert.equal((await sendRaw(server.port, chunked + form)).status, 415);
  const upload = { method: "PUT", target: "/blobs/00", token, body: "x" };
  const octets = { "Content-Type": "application/octet-stream" };
  assert.equal((await server.ask({ ...upload, headers: { "Content-Type": "text/plain" } })).status, 415);
  assert.deepEqual(server.called, []);
  assert.equal((await server.ask({ ...upload, headers: octets })).status, 200);
});

test("what a request says about where it comes from or what it is decides nothing", async (t) => {
  const server = await serve(t);
  const claims = {
    "X-Forwarded-For": "127.0.0.1",
    "X-Forwarded-Host": "127.0.0.1",
    "X-Forwarded-Proto": "https",
    "X-Real-IP": "127.0.0.1",
    Forwarded: "for=127.0.0.1;host=127.0.0.1",
    "X-Original-URL": "/health",
    "X-Rewrite-URL": "/health",
    "X-HTTP-Method-Override": "GET",
    "User-Agent": "sheaf",
    Cookie: `token=${tokens.client}`,
  };
  assert.equal((await server.ask({ target: "/jobs", headers: claims })).status, 401);
  assert.equal((await server.ask({ target: "/health", host: "evil.test", headers: claims })).status, 403);
  assert.equal((await server.ask({ target: `/jobs?token=${tokens.client}` })).status, 401);
  const agent = { method: "POST", target: "/jobs", token: tokens.agent, headers: claims };
  assert.equal((await server.ask(agent)).status, 403);
  assert.deepEqual(server.called, []);
});

test("keys that reach prototypes are dropped from bodies", async (t) => {
  const server = await serve(t);
  const body = '{"a":1,"__proto__":{"b":2},"constructor":{"prototype":{"c":3}},"d":{"__proto__":4}}';
  const headers = { "Content-Type": "application/json" };
  const answer = await server.ask({ method: "POST", target: "/jobs", token: tokens.client, headers, body });
  assert.equal(answer.body, '{"got":{"a":1,"d":{}}}');
});

test("a body that is too large is refused before it is read, without and with a token", async (t) => {
  const server = await serve(t);
  const huge = { "Content-Type": "application/json", "Content-Length": "1000000000000" };
  const request = { method: "POST", target: "/jobs", headers: huge };
  assert.equal((await server.ask(request)).status, 401);
  const allowed = await server.ask({ ...request, token: tokens.client });
  assert.equal(allowed.status, 413, allowed.raw);
});

test("a request that arrives too slowly is ended", async (t) => {
  const options = guardedOptions(policy);
  const http = { ...options.http, headersTimeout: 100, connectionsCheckingInterval: 20 };
  const app = closing(t, fastify({ ...options, http, forceCloseConnections: true }));
  guard(app, policy);
  await app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const answer = await sendRaw(port, "GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
  assert.equal(answer.status, 408);
  assert.equal(codeOf(answer), "LIMIT_EXCEEDED");
});

test("the limits of the server are in force", async (t) => {
  const { app } = await serve(t);
  const { server } = app;
  assert.equal(server.headersTimeout, 10_000);
  assert.equal(server.requestTimeout, 300_000);
  assert.equal(server.maxConnections, 10_000);
});

test("a route that does not say who may call it stops the server from being built", async (t) => {
  const app = closing(t, fastify(guardedOptions(policy)));
  guard(app, policy);
  const handler = async (): Promise<object> => ({});
  const message = /does not say who may call it/;
  assert.throws(() => app.get("/open", handler), message);
  assert.throws(() => app.get("/empty", { config: { access: { may: [] } } }, handler), message);
  await assert.rejects(async () => {
    await app.register(async (inner) => {
      inner.get("/inner", handler);
    });
  }, message);
  const access = { may: ["shuffle"] } as const;
  assert.throws(() => app.get("/shuffle/:attempt", { config: { access } }, handler), /names no :job/);
});

test("a handler sees the address of the connection", async (t) => {
  const app = closing(t, fastify({ ...guardedOptions(policy), forceCloseConnections: true }));
  guard(app, policy);
  app.get("/ip", { config: { access: { may: ["anyone"] } } }, async ({ ip, host }) => ({ ip, host }));
  await app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const headers = { "X-Forwarded-For": "6.6.6.6", "X-Forwarded-Host": "evil.test" };
  const answer = await ask(port, { target: "/ip", headers });
  assert.deepEqual(JSON.parse(answer.body), { ip: "127.0.0.1", host: `127.0.0.1:${port}` });
});
