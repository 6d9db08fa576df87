import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { ApiClient } from "#src/client/api-client.js";
import type { HttpOptions } from "#src/client/http.js";
import { PROTOCOL_VERSION } from "#src/protocol/version.js";
import { answerError, answerJson, fakeServer } from "./fake-server.js";

function clientOf(t: TestContext, url: string, options: Partial<HttpOptions> = {}): ApiClient {
  const client = new ApiClient({ url, token: "sheaf_c_test", retryMs: 5_000, random: () => 1, ...options });
  t.after(() => client.close());
  return client;
}

const code = (expected: string) => (error: unknown) => {
  assert.ok(error instanceof Error && "code" in error);
  assert.equal(error.code, expected);
  return true;
};

test("every request carries the token, the protocol, and JSON where it has a body", async (t) => {
  const server = await fakeServer(t, (request, response) => {
    assert.equal(request.headers.authorization, "Bearer sheaf_c_test");
    assert.equal(request.headers["sheaf-protocol"], String(PROTOCOL_VERSION));
    assert.equal(request.headers["content-type"], "application/json");
    assert.deepEqual(JSON.parse(request.body.toString()), { reason: "noisy fan" });
    answerJson(response, 200, { agent: "a b" });
  });
  const node = await clientOf(t, server.url).bar("a b", "noisy fan");
  assert.equal(node.agent, "a b");
  assert.deepEqual(server.asked, ["POST /nodes/a%20b/bar"]);
});

for (const [status, name] of [
  [400, "USAGE"],
  [401, "UNAUTHORIZED"],
  [403, "FORBIDDEN"],
  [404, "NOT_FOUND"],
  [409, "FENCED"],
  [413, "LIMIT_EXCEEDED"],
  [429, "LIMIT_EXCEEDED"],
] as const) {
  test(`a ${status} is the error it says, at once and with its hint`, async (t) => {
    const server = await fakeServer(t, (_request, response) => answerError(response, status, name, "no"));
    const failure = clientOf(t, server.url).job("j");
    await assert.rejects(failure, { name: "SheafError", code: name, message: "no", hint: "Do so and so." });
    assert.equal(server.asked.length, 1);
  });
}

for (const [status, name, why] of [
  [503, "UNREACHABLE", "is starting"],
  [507, "DISK_FULL", "has no room on its disk"],
] as const) {
  test(`${status} is tried again: the coordinator ${why}, for now`, async (t) => {
    const server = await fakeServer(t, (_request, response, count) => {
      if (count < 3) answerError(response, status, name, why);
      else answerJson(response, 200, { job: "j" });
    });
    assert.equal((await clientOf(t, server.url).job("j")).job, "j");
    assert.equal(server.asked.length, 3);
  });
}

test("with retryMs 0 a call is one try", async (t) => {
  const server = await fakeServer(t, (_request, response) =>
    answerError(response, 503, "UNREACHABLE", "starting"),
  );
  await assert.rejects(clientOf(t, server.url, { retryMs: 0 }).job("j"), {
    code: "UNREACHABLE",
    message: "starting",
  });
  assert.equal(server.asked.length, 1);
});

test("a lost answer to a submission is asked for again under the same key", async (t) => {
  const keys: unknown[] = [];
  const server = await fakeServer(t, (request, response, count) => {
    keys.push(request.headers["idempotency-key"]);
    if (count === 1) response.destroy();
    else answerJson(response, 200, { job: "j", isNew: false });
  });
  const answer = await clientOf(t, server.url).submit({ name: "x" } as never, "key-1");
  assert.deepEqual(answer, { job: "j", isNew: false });
  assert.deepEqual(keys, ["key-1", "key-1"]);
});

test("an answer that is cut in the middle is asked for again", async (t) => {
  const server = await fakeServer(t, (_request, response, count) => {
    if (count > 1) return answerJson(response, 200, { jobs: [], truncated: false });
    response.writeHead(200, { "content-length": "100" });
    response.write("{", () => response.destroy());
  });
  assert.deepEqual(await clientOf(t, server.url).jobs(), { jobs: [], truncated: false });
  assert.equal(server.asked.length, 2);
});

test("where nothing listens, the error names the address and what to start", async (t) => {
  const failure = clientOf(t, "http://127.0.0.1:1", { retryMs: 0 }).cluster();
  await assert.rejects(failure, (error: Error & { hint?: string; retryable?: boolean }) => {
    assert.match(error.message, /^http:\/\/127\.0\.0\.1:1\/cluster: nothing listens at 127\.0\.0\.1:1$/);
    assert.match(error.hint ?? "", /sheaf coordinator/);
    assert.equal(error.retryable, true);
    return code("UNREACHABLE")(error);
  });
});

test("an answer that does not come is UNREACHABLE after its time", async (t) => {
  const server = await fakeServer(t, () => undefined);
  const failure = clientOf(t, server.url).job("j", { timeoutMs: 50, retryMs: 0 });
  await assert.rejects(failure, { code: "UNREACHABLE", message: /no answer within/ });
});

test("an abort ends a call, and a pause between tries, with the signal's reason", async (t) => {
  const abort = new AbortController();
  const server = await fakeServer(t, (request, response) => {
    if (request.path === "/jobs/slow") abort.abort(new Error("enough"));
    else answerError(response, 503, "UNREACHABLE", "starting");
  });
  await assert.rejects(clientOf(t, server.url).job("slow", { signal: abort.signal }), { message: "enough" });
  const second = new AbortController();
  const failure = clientOf(t, server.url, { random: () => 0, retryMs: 600_000 }).job("j", {
    signal: second.signal,
  });
  second.abort(new Error("stop"));
  await assert.rejects(failure, { message: "stop" });
});

test("another protocol is refused, naming both versions", async (t) => {
  const server = await fakeServer(t, (_request, response) =>
    answerJson(response, 200, { protocol: 99, version: "9.9.9" }),
  );
  await assert.rejects(clientOf(t, server.url).cluster(), {
    code: "VERSION_MISMATCH",
    message: /99.*9\.9\.9.*1/,
  });
});

test("what is not sheaf is told from it", async (t) => {
  const server = await fakeServer(t, (request, response) => {
    if (request.path === "/nodes") response.writeHead(200).end("<html>");
    else if (request.path === "/jobs") response.writeHead(302, { location: "http://elsewhere" }).end();
    else response.writeHead(401).end("<html>who are you</html>");
  });
  const client = clientOf(t, server.url);
  await assert.rejects(client.nodes(), { code: "INTERNAL", message: /not JSON/ });
  await assert.rejects(client.jobs(), { code: "INTERNAL", message: /answered 302/ });
  await assert.rejects(client.cluster(), { code: "UNAUTHORIZED", message: /answered 401/ });
});

test("URLs that are none are refused, with a guess", () => {
  for (const url of ["127.0.0.1:7077", "localhost", "ftp://x", "", "http://me:pw@host"]) {
    assert.throws(() => new ApiClient({ url, token: null }), { code: "USAGE" });
  }
  assert.throws(() => new ApiClient({ url: "127.0.0.1:7077", token: null }), {
    hint: /http:\/\/127\.0\.0\.1:7077\?/,
  });
});

test("an upload is sent whole, and from its start again when its answer was lost", async (t) => {
  const content = Buffer.alloc(3_000_000, "sheaf ");
  const got: Buffer[] = [];
  const server = await fakeServer(t, (request, response, count) => {
    got.push(request.body);
    assert.equal(request.headers["content-length"], String(content.length));
    if (count === 1) response.destroy();
    else response.writeHead(204).end();
  });
  let opened = 0;
  const open = () => {
    opened++;
    return Readable.from([content.subarray(0, 1_000_000), content.subarray(1_000_000)]);
  };
  await clientOf(t, server.url).putResult("j", "map-00000.1", "p 0", {
    open,
    bytes: content.length,
    crc32c: 255,
  });
  assert.equal(opened, 2);
  assert.ok(got.every((one) => one.equals(content)));
  assert.deepEqual(server.asked, Array(2).fill("PUT /jobs/j/results/map-00000.1/p%200"));
});

test("blobs are asked for by HEAD: 404 is an answer there", async (t) => {
  const server = await fakeServer(t, (request, response) =>
    response.writeHead(request.path.endsWith("1") ? 204 : 404).end(),
  );
  const client = clientOf(t, server.url);
  assert.equal(await client.hasBlob("b1"), true);
  assert.equal(await client.hasBlob("b2"), false);
});

test("a download says where it begins: a server that knows no ranges sends all", async (t) => {
  const server = await fakeServer(t, (request, response) => {
    if (request.path.endsWith("/1") && request.headers.range === "bytes=5-") {
      response.writeHead(206, { "content-length": "3" }).end("fgh");
    } else response.writeHead(200).end("abcdefgh");
  });
  const client = clientOf(t, server.url);
  const part = await client.resultFile("j", "output", 1, 5);
  assert.deepEqual([part.from, part.bytes, await text(part.body)], [5, 3, "fgh"]);
  const whole = await client.resultFile("j", "output", 2, 5);
  assert.deepEqual([whole.from, await text(whole.body)], [0, "abcdefgh"]);
});

test("events come with their numbers; the next connection asks from the last one on", async (t) => {
  const server = await fakeServer(t, (request, response) => {
    const after = Number(request.headers["last-event-id"] ?? 0);
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (let n = after + 1; n <= 3; n++) {
      response.write(`: alive\n\nid: ${n}\ndata: {"kind":"warning","message":"${n}","atMs":0}\n\n`);
    }
    response.write("id: 4\ndata: {");
    if (after === 0) response.socket?.destroySoon();
    else response.end();
  });
  const client = clientOf(t, server.url);
  const seen: number[] = [];
  const first = async () => {
    for await (const { number, event } of client.events("j", 0)) {
      assert.equal(event.kind, "warning");
      seen.push(number);
    }
  };
  await assert.rejects(first(), code("UNREACHABLE"));
  for await (const { number } of client.events("j", 2)) seen.push(number);
  assert.deepEqual(seen, [1, 2, 3, 3]);
});

async function text(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
