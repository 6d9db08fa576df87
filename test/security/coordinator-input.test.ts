import fc from "fast-check";
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tempDir } from "../cli/support.js";
import { jobOf, json, octets, startCoordinator, submission } from "./coordinator-process.js";
import type { CoordinatorProcess } from "./coordinator-process.js";
import { fill, forAgents, hash, routesOf } from "./coordinator-routes.js";
import { codeOf, rawRequest, sendRaw } from "./http-support.js";
import { traversals } from "./traversals.js";

test("what a coordinator takes in", async (t) => {
  const coordinator = await startCoordinator(t);
  const { client, agent, port } = coordinator;
  const routes = await routesOf(coordinator);

  await t.test("no path, however it is written, leads to anything", async () => {
    const short = traversals.filter((text) => text.length < 300).map((text) => encodeURIComponent(text));
    const written = [...short, ...short.slice(0, 5).map((text) => encodeURIComponent(text))];
    for (const route of routes) {
      const [method = "", path = ""] = route.split(" ");
      const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
      const token = forAgents.includes(route) ? agent : client;
      const body =
        method === "GET" || method === "HEAD"
          ? {}
          : { body: "{}", headers: path.includes("results") ? octets : json };
      for (const name of names) {
        const targets = written.map((text) => fill(path, { [name]: text }));
        const answers = await Promise.all(
          targets.map((target) => coordinator.ask({ method, target, token, ...body })),
        );
        for (const [i, { status, raw }] of answers.entries()) {
          assert.ok(status >= 400 && status < 500, `${method} ${targets[i]} ${raw.slice(0, 200)}`);
        }
      }
    }
    // As they are, without a client that tidies them up.
    for (const text of [
      "/../../../etc/passwd",
      "/jobs/../../etc/passwd",
      "/blobs/..%2f..%2fetc%2fpasswd",
      "//etc/passwd",
    ]) {
      const { status } = await coordinator.ask({ target: text, token: client });
      assert.ok(status === 404 || status === 400, `${text} ${status}`);
    }
    assert.doesNotMatch(coordinator.said(), /a request failed/);
  });

  await t.test("what is logged is one line of JSON each, whatever names and reasons hold", async () => {
    const forged = 'x\n{"level":30,"event":"submit","outcome":"accepted","job":"forged"}\u001b[2J\u2028';
    const job = jobOf(await coordinator.submit({ name: forged, submitter: `${forged} ${client}` }));
    await coordinator.send("POST", `/jobs/${job}/kill`, { reason: forged });
    const lines = coordinator
      .said()
      .split("\n")
      .filter((line) => line !== "");
    // The first says where it listens.
    for (const line of lines.filter((one) => !one.startsWith("sheaf coordinator listens"))) {
      assert.ok(line.startsWith("{"), line);
      // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
      assert.doesNotMatch(line, /[\u0000-\u001f\u007f-\u009f\u2028]/);
    }
    const own = coordinator.logged().filter((line) => line["job"] === "forged");
    assert.deepEqual(own, []);
    assert.ok(coordinator.logged().some((line) => line["name"] === forged));
    for (const secret of [client, agent]) assert.ok(!coordinator.said().includes(secret.slice(8)));
  });

  await t.test("bodies at random are refused, and harm nothing", async () => {
    const junk = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom<unknown>({ __proto__: null }, [[[[[]]]]], "\u0000", -1, 1e308, "x".repeat(20_000)),
    );
    const place = fc.oneof(
      fc.constantFrom(...Object.keys(submission).map((key) => [key])),
      fc.constantFrom(...Object.keys(submission.options).map((key) => ["options", key])),
      fc.constantFrom(...Object.keys(submission.outline).map((key) => ["outline", key])),
    );
    const seen = new Set<number>();
    await fc.assert(
      fc.asyncProperty(place, junk, async (path, value) => {
        const body = structuredClone(submission) as unknown as Record<string, unknown>;
        const [first = "", second] = path;
        if (second === undefined) body[first] = value;
        else (body[first] as Record<string, unknown>)[second] = value;
        const { status, raw } = await coordinator.submit(body);
        seen.add(status);
        assert.ok(status < 500, raw);
      }),
      { numRuns: 120 },
    );
    assert.ok(seen.has(400));
    const raw = fc.oneof(
      fc.string(),
      fc.json(),
      fc.constantFrom(
        "[".repeat(100_000),
        '{"a":'.repeat(50_000),
        "\ufeff{}",
        '{"__proto__":{"x":1}}',
        '{"constructor":{"prototype":{"x":1}}}',
      ),
    );
    const posts = routes.filter((route) => /^(POST|PUT)/.test(route) && !/results|blobs/.test(route));
    for (const route of posts) {
      const [method = "", path = ""] = route.split(" ");
      const token = forAgents.includes(route) ? agent : client;
      for (const body of fc.sample(raw, 8)) {
        const answer = await coordinator.ask({ method, target: fill(path), token, headers: json, body });
        assert.ok(answer.status < 500, `${route} ${body.slice(0, 100)} ${answer.raw}`);
      }
    }
    assert.equal((await coordinator.ask({ target: "/health" })).status, 200);
  });

  await t.test(
    "too many tasks or partitions, and bodies and headers that are too large, are refused",
    async () => {
      const { outline, options } = submission;
      const refused = async (change: Parameters<CoordinatorProcess["submit"]>[0]): Promise<string> => {
        const answer = await coordinator.submit(change);
        assert.ok(answer.status >= 400 && answer.status < 500, answer.raw);
        return codeOf(answer);
      };
      const million = { ...outline, input: { kind: "generate" as const, tasks: 1_000_000 } };
      assert.equal(await refused({ outline: million }), "LIMIT_EXCEEDED");
      assert.equal(await refused({ options: { ...options, mappers: 1_000_000 } }), "LIMIT_EXCEEDED");
      assert.equal(await refused({ options: { ...options, partitions: [1_000_000] } }), "LIMIT_EXCEEDED");
      const huge = rawRequest(port, {
        method: "POST",
        target: "/jobs",
        token: client,
        headers: { ...json, "Content-Length": "999999999999" },
      });
      assert.equal((await sendRaw(port, huge)).status, 413);
      const long = await coordinator.ask({ target: "/jobs", headers: { "X-Long": "x".repeat(100_000) } });
      assert.equal(long.status, 431);
    },
  );

  await t.test("uploads are kept under their hash only when they have it", async () => {
    const upload = (target: string): Promise<number> =>
      coordinator
        .ask({ method: "PUT", target, token: client, headers: octets, body: "x" })
        .then(({ status }) => status);
    assert.equal(await upload(`/blobs/${hash}`), 400);
    assert.equal((await coordinator.ask({ target: `/blobs/${hash}`, token: client })).status, 404);
    const before = readdirSync(join(coordinator.state, "blobs")).sort();
    assert.ok((await upload("/blobs/..%2f..%2fevil")) >= 400);
    assert.deepEqual(readdirSync(join(coordinator.state, "blobs")).sort(), before);
  });
});

test("with roots, a job names inputs and outputs inside them only", async (t) => {
  const root = tempDir(t);
  const coordinator = await startCoordinator(t, ["--root", root]);
  const text = {
    ...submission.outline,
    input: {
      kind: "text",
      framing: { kind: "delimiter", delimiter: "Cg==" },
      needsHeader: false,
      compression: "auto",
      recordBytesMax: null,
    },
  } as const;
  const status = async (inputs: readonly string[], output?: string): Promise<number> =>
    (
      await coordinator.submit({
        outline: text,
        inputs: [...inputs],
        ...(output !== undefined && { output: { kind: "shared", path: output, overwrite: false } }),
      })
    ).status;
  assert.equal(await status([join(root, "in")]), 201);
  assert.equal(await status([join(root, "in")], join(root, "out")), 201);
  for (const path of [
    "/etc/passwd",
    "/",
    "/etc/*",
    `${root}/../x`,
    `${root}-private/x`,
    "in",
    `${root}/%2e%2e/x\u0000`,
    "/proc/self/environ",
  ]) {
    assert.equal(await status([path]), 403, path);
    assert.equal(await status([join(root, "in")], path), 403, path);
  }
});
