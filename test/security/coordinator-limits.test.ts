import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { limits } from "#src/base/limits.js";
import { MiB } from "#src/base/size.js";
import { residentBytesOf } from "../cluster/processes.js";
import { startCoordinator } from "./coordinator-process.js";
import { codeOf, rawRequest, sendRaw } from "./http-support.js";

/** What a process of that kind may have grown by, whatever is done to it here. */
const grownBytesMax = 256 * MiB;

interface Slow {
  readonly socket: Socket;
  /** All it was sent before it was closed; rejects never. */
  readonly closed: Promise<string>;
}

function open(port: number, begin: string): Promise<Slow> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let said = "";
    socket.setEncoding("latin1").on("data", (text: string) => (said += text));
    socket.once("error", reject);
    const closed = new Promise<string>((done) => socket.once("close", () => done(said)));
    socket.once("connect", () => {
      socket.removeListener("error", reject);
      socket.on("error", () => undefined);
      socket.write(begin);
      resolve({ socket, closed });
    });
  });
}

/*
 * One after another of what somebody without a token can do to a server who only wants it to be busy, against
 * the process that ships, with its own limits.
 */
test("X21: a coordinator answers, and does not grow, whatever is begun and not finished", async (t) => {
  const coordinator = await startCoordinator(t);
  const { port, client, sheaf } = coordinator;
  const pid = sheaf.child.pid!;
  const before = residentBytesOf(pid);
  let most = before;
  const look = (): void => void (most = Math.max(most, residentBytesOf(pid)));
  const answers = async (): Promise<void> => {
    const answer = await sendRaw(port, rawRequest(port, { target: "/jobs", token: client }));
    assert.equal(answer.status, 200, answer.raw);
    look();
  };
  const begunMs = performance.now();

  // Headers that never end: one more byte now and then.
  const head = `GET /jobs HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nX-Slow: `;
  const slow = await Promise.all(Array.from({ length: 500 }, () => open(port, head)));
  const dripping = setInterval(() => slow.forEach(({ socket }) => socket.write("x")), 1_000);
  t.after(() => {
    clearInterval(dripping);
    for (const { socket } of slow) socket.destroy();
  });
  await answers();

  await t.test("many connections that say nothing", async () => {
    const idle: Slow[] = [];
    for (let n = 0; n < 3_000; n += 500)
      idle.push(...(await Promise.all(Array.from({ length: 500 }, () => open(port, "")))));
    await answers();
    for (const { socket } of idle) socket.destroy();
  });

  await t.test("bodies that are announced and do not come, or are too large", async () => {
    const post = (bytes: number, token?: string): string =>
      rawRequest(port, {
        method: "POST",
        target: "/jobs",
        headers: { "Content-Type": "application/json", "Content-Length": String(bytes) },
        ...(token === undefined ? {} : { token }),
      });
    // Without a token nothing of a body is waited for.
    const unknown = await sendRaw(port, post(10 * MiB));
    assert.equal(unknown.status, 401);
    const waiting = await Promise.all(Array.from({ length: 300 }, () => open(port, post(10 * MiB, client))));
    for (const { socket } of waiting) socket.write("[1,".repeat(10_000));
    await answers();
    for (const { socket } of waiting) socket.destroy();
    const large = await sendRaw(port, post(10_000 * MiB, client));
    assert.deepEqual([large.status, codeOf(large)], [413, "LIMIT_EXCEEDED"]);
    // Without a length it is counted as it comes.
    const chunked = post(0, client).replace("Content-Length: 0", "Transfer-Encoding: chunked");
    const chunk = `${MiB.toString(16)}\r\n${" ".repeat(MiB)}\r\n`;
    const streamed = await sendRaw(port, chunked + chunk.repeat(80));
    assert.equal(streamed.status, 413, streamed.raw.slice(0, 500));
    await answers();
  });

  await t.test("uploads whose sender leaves are nobody's fault, and leave nothing", async () => {
    const blobs = join(coordinator.state, "blobs");
    const incoming = (): number => readdirSync(blobs).filter((name) => name.startsWith("incoming-")).length;
    const announced = { "Content-Length": String(10 * MiB) };
    const upload = rawRequest(port, {
      method: "PUT",
      target: `/blobs/${"0".repeat(64)}`,
      headers: { "Content-Type": "application/octet-stream", ...announced },
      token: client,
    });
    const json = rawRequest(port, {
      method: "POST",
      target: "/jobs",
      headers: { "Content-Type": "application/json", ...announced },
      token: client,
    });
    const begun = await Promise.all([open(port, upload), open(port, json)]);
    for (const { socket } of begun) socket.write(" ".repeat(100_000));
    while (incoming() === 0) await answers();
    for (const { socket } of begun) socket.destroy();
    while (incoming() > 0) await answers();
    for (let n = 0; n < 5; n++) await answers();
    assert.doesNotMatch(coordinator.said(), /a request failed|cannot write/);
  });

  await t.test("requests one behind the other whose answers nobody reads", async () => {
    const one = rawRequest(port, { target: "/openapi.json", token: client }).replace(
      "Connection: close\r\n",
      "",
    );
    const greedy = await Promise.all(Array.from({ length: 20 }, () => open(port, "")));
    for (const { socket } of greedy) {
      socket.pause();
      socket.write(one.repeat(500));
    }
    for (let n = 0; n < 20; n++) await answers();
    for (const { socket } of greedy) socket.destroy();
  });

  await t.test("slow requests are ended after a while, and others are not", async () => {
    const said = await Promise.all(slow.map(({ closed }) => closed));
    const tookMs = performance.now() - begunMs;
    assert.ok(tookMs >= limits.serverHeadersMs - 1_000, `${tookMs} ms`);
    assert.deepEqual([...new Set(said.map((text) => text.slice(0, 12)))], ["HTTP/1.1 408"]);
    await answers();
  });

  const grown = most - before;
  t.diagnostic(`it has grown by ${Math.round(grown / MiB)} MiB at most`);
  assert.ok(before > 0 && grown < grownBytesMax, `it has grown by ${Math.round(grown / MiB)} MiB`);
});
