import assert from "node:assert/strict";
import { createConnection } from "node:net";
import { Readable } from "node:stream";
import { test } from "node:test";
import { MiB } from "#src/base/size.js";
import { Http } from "#src/client/http.js";
import { agentToken, clientToken, jobId, serve } from "./support.js";

interface Answer {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  /** Bytes of the body that were sent until the answer had come. */
  readonly sent: number;
}

/** Sends a body of `pieces` without end until there is an answer. */
async function pour(
  port: number,
  path: string,
  token: string,
  header: string,
  pieces: Iterable<string>,
): Promise<Answer> {
  const socket = createConnection({ port, host: "127.0.0.1" });
  let raw = "";
  let sent = 0;
  const over = new Promise<void>((done) => socket.once("close", () => done()));
  socket.setEncoding("utf8").on("data", (text: string) => (raw += text));
  socket.on("error", () => undefined);
  const isChunked = header.startsWith("Transfer");
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAuthorization: Bearer ${token}\r\n` +
      `Content-Type: application/json\r\nIdempotency-Key: 0123456789\r\n${header}\r\n\r\n`,
  );
  for (const piece of pieces) {
    if (raw !== "" || socket.destroyed) break;
    const text = isChunked ? `${piece.length.toString(16)}\r\n${piece}\r\n` : piece;
    await new Promise((done) => socket.write(text, done));
    sent += piece.length;
  }
  if (isChunked && raw === "" && !socket.destroyed) socket.write("0\r\n\r\n");
  await over;
  const status = Number(/^HTTP\/1.1 (\d+)/.exec(raw)?.[1]);
  const { error } = JSON.parse(raw.slice(raw.indexOf("\r\n\r\n") + 4)) as {
    readonly error: { readonly code: string; readonly message: string };
  };
  return { status, code: error.code, message: error.message, sent };
}

function* times(count: number, text: string): Generator<string> {
  for (let i = 0; i < count; i++) yield text;
}

test("bodies beyond the bounds of their route are refused while they come, and nothing of them is parsed", async (t) => {
  const { port } = await serve(t, {});
  const chunked = "Transfer-Encoding: chunked";
  const all = 250 * MiB;
  const length = `Content-Length: ${all}`;
  const kill = `/jobs/${jobId}/kill`;
  const cases: readonly (readonly [string, string, string, string, number, string, RegExp, number])[] = [
    // route, token, header, what comes over and over, status, code, message, bytes that may have been sent
    ["/errands/plan-1", agentToken, chunked, "[", 400, "MESSAGE_INVALID", /more than 1050 levels/, 8 * MiB],
    ["/jobs", clientToken, chunked, '{"a":', 400, "MESSAGE_INVALID", /levels/, 8 * MiB],
    [kill, clientToken, chunked, "[],", 413, "LIMIT_EXCEEDED", /more than \d+ values/, 8 * MiB],
    ["/errands/plan-1", agentToken, chunked, "0,", 413, "LIMIT_EXCEEDED", /more than \d+ values/, 16 * MiB],
    ["/errands/plan-1", agentToken, chunked, " ", 413, "LIMIT_EXCEEDED", /more than 32(\.0)? MiB/, 64 * MiB],
    ["/jobs", clientToken, chunked, " ", 413, "LIMIT_EXCEEDED", /more than 16(\.0)? MiB/, 40 * MiB],
    ["/jobs", clientToken, chunked, "1", 413, "LIMIT_EXCEEDED", /a text or number of more than 8/, 40 * MiB],
    // What says how long it is need not come at all.
    ["/errands/plan-1", agentToken, length, "[", 413, "LIMIT_EXCEEDED", /more than \d/, 8 * MiB],
    ["/jobs", clientToken, length, " ", 413, "LIMIT_EXCEEDED", /more than \d/, 8 * MiB],
  ];
  for (const [path, token, header, text, status, code, message, most] of cases) {
    const piece = text.repeat(Math.floor(MiB / text.length));
    const first = text === "[" || text.startsWith("{") ? piece : `[${piece}`;
    const pieces = [first, ...times(250, piece)];
    const answer = await pour(port, path, token, header, pieces);
    const told = `${path} ${header} ${text}: ${JSON.stringify(answer)}`;
    assert.deepEqual([answer.status, answer.code], [status, code], told);
    assert.match(answer.message, message);
    assert.ok(answer.sent <= most, told);
  }
});

test("what is meant passes: params nested as values may be, a commit of 10,000 parts", async (t) => {
  const parts = Array.from({ length: 10_000 }, (_, partition) => ({
    file: `part-${partition}.jsonl`,
    collection: "",
    partition,
    bytes: 1,
    records: 1,
    crc32c: "00000000",
  }));
  let heard = 0;
  const { ask } = await serve(t, {
    errandDone: (_id: string, result: { readonly kind: string }) => {
      assert.equal(result.kind, "committed");
      heard++;
    },
  });
  const body = { kind: "committed", agent: "a1", incarnation: 1, parts };
  assert.equal((await ask("/errands/commit-1", { method: "POST", token: agentToken, body })).status, 200);
  assert.equal(heard, 1);
  const deep = `${"[".repeat(1_000)}${"]".repeat(1_000)}`;
  const refused = await ask("/jobs", {
    method: "POST",
    body: { params: JSON.parse(deep) as unknown },
    headers: { "idempotency-key": "0123456789" },
  });
  // It was read, and is no submission.
  assert.equal(((await refused.json()) as { error: { code: string } }).error.code, "USAGE");
});

test("a client reads no answer that is too deep, and stops while it comes", async (t) => {
  const { createServer } = await import("node:http");
  let sent = 0;
  const server = createServer((_request, reply) => {
    const piece = "[".repeat(MiB);
    const pieces = (function* () {
      for (let i = 0; i < 200; i++) {
        sent += MiB;
        yield piece;
      }
    })();
    reply.setHeader("content-type", "application/json");
    Readable.from(pieces).pipe(reply);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => void (server.closeAllConnections(), server.close()));
  const { port } = server.address() as { readonly port: number };
  const http = new Http({ url: `http://127.0.0.1:${port}`, token: null, retryMs: 0 });
  t.after(() => http.close());
  await assert.rejects(http.json({ method: "GET", path: "/jobs" }), /the answer is not JSON/);
  assert.ok(sent < 50 * MiB, `${sent} bytes`);
});

test("a large body is parsed a piece at a time, and others are served in between", async (t) => {
  let parts = 0;
  const { ask } = await serve(t, {
    errandDone: (_id, result) => void (parts = result.kind === "committed" ? result.parts.length : 0),
  });
  const part = { file: "part-0", collection: "", partition: 1, bytes: 1, records: 1, crc32c: "00000000" };
  const all = Array.from({ length: 150_000 }, () => part);
  const body = { kind: "committed", agent: "a1", incarnation: 1, parts: all };
  const lengths: number[] = [];
  let turns = 0;
  let turn = 0;
  const { parse } = JSON;
  t.mock.method(JSON, "parse", (text: string) => {
    lengths.push(text.length);
    if (turn++ === 0) setImmediate(() => (turns++, (turn = 0)));
    return parse(text) as unknown;
  });
  const answer = await ask("/errands/commit-1", { method: "POST", token: agentToken, body });
  assert.deepEqual([answer.status, parts], [200, all.length]);
  const longest = Math.max(...lengths);
  assert.ok(
    longest < MiB && lengths.length > 10,
    `${lengths.length} texts, the longest has ${longest} letters`,
  );
  assert.ok(turns > 1, `all in ${turns} turns`);
});
