import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, renameSync, symlinkSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { seededRandom } from "#src/base/random.js";
import { sliceTarget, FRAME_HEAD_BYTES } from "#src/exchange/slice-protocol.js";
import { signRequest } from "#src/security/signed-url.js";
import type { Content } from "./support.js";
import { job, machine, randomContent, shuffleKey, strayFile, tempDir } from "./support.js";

interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

async function send(
  url: string,
  target: string,
  method = "GET",
  headers: Record<string, string> = {},
): Promise<Answer> {
  const { hostname, port } = new URL(url);
  const sent = request({ hostname, port, path: target, method, headers, agent: false });
  sent.end();
  const [response] = (await once(sent, "response")) as [AsyncIterable<Buffer> & { statusCode: number }];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return { status: response.statusCode, body: Buffer.concat(chunks) };
}

const inAnHour = (): number => Date.now() + 3_600_000;
const content: Content = [[Buffer.from("only for those who may")]];
const maps = [{ task: 0, attempt: 1 }];
const question = { job, collection: 0, partition: 0, maps, from: 0 };
const secret = "only for those who may";

describe("the shuffle server", () => {
  test("X23: gives map outputs to who signed just this request, and to nobody else", async (t) => {
    const { node, map } = await machine(t, 1, {});
    map(0, 1, [content, [[Buffer.from(`${secret} as well`)]]]);
    const good = sliceTarget(question, shuffleKey, inAnHour());
    const answer = await send(node.address, good);
    assert.equal(answer.status, 200);
    assert.ok(answer.body.includes(secret));
    const end = good.indexOf("&signature=");
    for (let at = 1; at < good.length; at++) {
      const changed = good.slice(0, at) + (good[at] === "1" ? "2" : "1") + good.slice(at + 1);
      const { status, body } = await send(node.address, changed);
      assert.ok(status >= 400 && status < 500, `${changed}: ${status}`);
      assert.ok(!body.includes(secret), changed);
      if (at > end) assert.equal(status, 401);
    }
  });

  test("X5: refuses another job's key, an expired URL, another method, a missing signature", async (t) => {
    const { node, map } = await machine(t, 1, {});
    map(0, 1, [content]);
    const directory = tempDir(t);
    node.prepared({ job: "job-2", directory, shuffleKey: "another key", maps: 1, expected: [] });
    const expired = sliceTarget(question, shuffleKey, Date.now() - 1);
    const otherKey = sliceTarget(question, "another key", inAnHour());
    const unknown = sliceTarget({ ...question, job: "job-3" }, "no key", inAnHour());
    const good = sliceTarget(question, shuffleKey, inAnHour());
    for (const target of [
      expired,
      otherKey,
      unknown,
      `/shuffle/${job}?maps=0.1&collection=0&partition=0&from=0`,
    ])
      assert.equal((await send(node.address, target)).status, 401, target);
    for (const method of ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
      assert.equal((await send(node.address, good, method)).status, 401, method);
    assert.equal((await send(node.address, good)).status, 200);
    await node.forget(job);
    assert.equal((await send(node.address, good)).status, 401);
  });

  test("X4: says nothing of itself to those without a signature, but that it lives", async (t) => {
    const { node } = await machine(t, 1, {});
    for (const target of ["/", "/shuffle", "/jobs", "/health/..", "/metrics", "/shuffle/a/b"])
      assert.equal((await send(node.address, target)).status, 401, target);
    assert.deepEqual(JSON.parse((await send(node.address, "/health")).body.toString()), { ok: true });
  });

  test("X7: refuses foreign Host headers", async (t) => {
    const { node, map } = await machine(t, 1, { names: ["http://agent-7.example:1234"] });
    map(0, 1, [content]);
    const good = sliceTarget(question, shuffleKey, inAnHour());
    for (const [host, status] of [
      ["evil.test", 403],
      ["agent-7.example:99", 200],
      ["localhost", 200],
    ] as const)
      assert.equal((await send(node.address, good, "GET", { host })).status, status, host);
  });

  test("X11: serves registered files only, whatever is asked for by whoever can sign", async (t) => {
    const { node, map, directory } = await machine(t, 1, {});
    map(0, 1, [content]);
    strayFile(directory, "map.run");
    const signedTarget = (other: Readonly<Record<string, string>>): string => {
      const query = { maps: "0.1", collection: 0, partition: 0, from: 0, ...other };
      const request = { method: "GET", path: `/shuffle/${job}`, query, job, expiresMs: inAnHour() } as const;
      return signRequest(shuffleKey, request);
    };
    const payloads = [
      "../../map.run",
      "..%2f..%2fmap.run",
      "%2e%2e/map.run",
      "0.1/../..",
      "0.1\\..\\map.run",
      "/etc/passwd",
      "file:///etc/passwd",
      "0.1%00",
      "0.1\n",
      "0x0.1",
      "-1.1",
      "0.-1",
      "0.1_",
      "_0.1",
      "0.1,1.1",
      "",
      " 0.1",
      "1e3.1",
      "00000000000.1",
      `${"0.1_".repeat(500)}0.1`,
    ];
    for (const payload of payloads) {
      const target = signedTarget({ maps: payload });
      const { status, body } = await send(node.address, target);
      assert.equal(status, 400, payload);
      assert.match(body.toString(), /MESSAGE_INVALID/);
      assert.ok(!body.includes("not to be served"));
    }
    for (const other of [{ collection: "x" }, { partition: "-1" }, { from: "1.5" }, { from: "1e9" }]) {
      assert.equal((await send(node.address, signedTarget(other))).status, 400, JSON.stringify(other));
    }
    const none = { ...question, maps: [{ task: 7, attempt: 1 }] };
    const { status, body } = await send(node.address, sliceTarget(none, shuffleKey, inAnHour()));
    assert.equal(status, 200);
    assert.equal(body.length, FRAME_HEAD_BYTES);
  });

  test("X11: registers nothing outside the job's directory, and follows no link put in a file's place", async (t) => {
    const { node, map, directory } = await machine(t, 1, {});
    const outside = tempDir(t);
    const stray = strayFile(outside, "map.run");
    assert.throws(() => node.add(job, { task: 1, attempt: 1, path: stray }), { code: "FORBIDDEN" });
    symlinkSync(stray, join(directory, "link.run"));
    assert.throws(() => node.add(job, { task: 1, attempt: 1, path: join(directory, "link.run") }), {
      code: "FORBIDDEN",
    });
    const path = map(0, 1, [content]);
    renameSync(path, join(outside, "moved.run"));
    symlinkSync(join(outside, "moved.run"), path);
    const { status, body } = await send(node.address, sliceTarget(question, shuffleKey, inAnHour()));
    assert.equal(status, 200);
    assert.equal(body.length, FRAME_HEAD_BYTES);
    assert.ok(!body.includes(secret));
  });

  test("S14: an answer that nobody reads waits on disk, not in memory", async (t) => {
    const { node, map } = await machine(t, 1, {});
    const random = seededRandom(1);
    const block = Buffer.alloc(256 * 1024);
    for (let at = 0; at < block.length; at += 4) block.writeInt32LE(random.below(2 ** 31), at);
    map(0, 1, [[Array.from({ length: 200 }, () => block)]]);
    const { hostname, port } = new URL(node.address);
    const before = process.memoryUsage().arrayBuffers;
    const socket = connect(Number(port), hostname);
    t.after(() => socket.destroy());
    socket.pause();
    socket.write(`GET ${sliceTarget(question, shuffleKey, inAnHour())} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
    for (let turn = 0; turn < 2_000; turn++) await new Promise((resolve) => setImmediate(resolve));
    const grown = process.memoryUsage().arrayBuffers - before;
    assert.ok(grown < 8 << 20, `${grown} bytes are held of an answer of 50 MiB`);
    // It can be forgotten all the same: the answer is cut.
    await node.forget(job);
  });

  test("S14: what waited for its reader is what was to be sent", async (t) => {
    const { node, map } = await machine(t, 1, {});
    const content: Content = [
      Array.from({ length: 100 }, (_, i) => randomContent(seededRandom(i), 1, 1, 120_000)[0]![0]!),
    ];
    const path = map(0, 1, [content]);
    const { hostname, port } = new URL(node.address);
    const target = sliceTarget(question, shuffleKey, inAnHour());
    const sent = request({ hostname, port, path: target, agent: false });
    sent.end();
    const [response] = (await once(sent, "response")) as [AsyncIterable<Buffer>];
    const chunks: Buffer[] = [];
    for await (const chunk of response) {
      chunks.push(chunk);
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    const expected = readFileSync(path);
    assert.ok(Buffer.concat(chunks).subarray(FRAME_HEAD_BYTES).equals(expected));
  });

  test("a port that is taken is said to be", async (t) => {
    const { node } = await machine(t, 1, {});
    const { port } = new URL(node.address);
    await assert.rejects(machine(t, 1, { port: Number(port) }), (error: Error) => {
      assert.match(error.message, new RegExp(`127.0.0.1:${port}`));
      return true;
    });
  });
});
