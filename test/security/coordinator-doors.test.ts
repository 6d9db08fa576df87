import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { answerHeaders } from "#src/security/answer-headers.js";
import { jobOf, json, startCoordinator, submission } from "./coordinator-process.js";
import { fill, forAgents, forBoth, hash, routesOf } from "./coordinator-routes.js";
import { listeners } from "./listeners.js";

const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO"];

test("a coordinator's doors", async (t) => {
  const coordinator = await startCoordinator(t);
  const { client, agent, port } = coordinator;
  const routes = await routesOf(coordinator);
  const jobs = async (): Promise<number> => {
    const answer = await coordinator.ask({ target: "/jobs", token: client });
    return (JSON.parse(answer.body) as { readonly jobs: readonly unknown[] }).jobs.length;
  };

  await t.test("it listens on loopback only", { skip: process.platform !== "linux" }, () => {
    assert.deepEqual(listeners(coordinator.sheaf.child.pid!), ["0100007F"]);
  });

  await t.test("it has made tokens, which only its user can read and which stand nowhere else", async () => {
    for (const kind of ["client", "agent"])
      assert.equal(statSync(join(coordinator.state, `${kind}.token`)).mode & 0o777, 0o600);
    assert.equal(statSync(coordinator.state).mode & 0o777, 0o700);
    const { pid } = coordinator.sheaf.child;
    if (process.platform !== "linux") return;
    for (const file of ["cmdline", "environ"])
      assert.doesNotMatch(readFileSync(`/proc/${pid}/${file}`, "utf8"), /sheaf_[caj]_/);
  });

  await t.test("without a token every route and method is refused but GET /health", async () => {
    const open: string[] = [];
    const paths = new Set(routes.map((route) => fill(route.split(" ")[1]!)));
    for (const target of [
      ...paths,
      "/",
      "/nowhere",
      "/ui",
      "/static/app.js",
      "/metrics/",
      "/openapi.json?x",
      "/%zz",
    ]) {
      await Promise.all(
        methods.map(async (method) => {
          const answer = await coordinator.ask({ method, target });
          if (answer.status !== 401) open.push(`${method} ${target} ${answer.status}`);
        }),
      );
    }
    assert.deepEqual(open.sort(), ["GET /health 200", "HEAD /health 200"]);
  });

  await t.test("a token opens what it is for, and nothing else", async () => {
    const wrong: string[] = [];
    for (const route of routes) {
      const [method = "", path = ""] = route.split(" ");
      if (path === "/health") continue;
      const body = method === "GET" || method === "HEAD" ? {} : { body: "[]", headers: json };
      const status = async (token: string): Promise<number> =>
        (await coordinator.ask({ method, target: fill(path), token, ...body })).status;
      const [asClient, asAgent] = [await status(client), await status(agent)];
      const isForAgents = forAgents.includes(route);
      if ((asAgent === 403) !== !(isForAgents || forBoth.includes(route)))
        wrong.push(`${route}: agent ${asAgent}`);
      if ((asClient === 403) !== isForAgents) wrong.push(`${route}: client ${asClient}`);
      if (asClient >= 500 || asAgent >= 500) wrong.push(`${route}: ${asClient} ${asAgent}`);
    }
    assert.deepEqual(wrong, []);
    for (const route of [...forAgents, ...forBoth]) assert.ok(routes.includes(route), `${route} is no route`);
    const refused = await coordinator.submit({}, { token: agent });
    assert.equal(refused.status, 403);
    assert.equal(await jobs(), 0);
  });

  await t.test("other names and other sites are refused, without effect", async () => {
    for (const target of ["/health", "/jobs", "/metrics", "/nowhere"]) {
      const answer = await coordinator.ask({ target, token: client, host: `evil.test:${port}` });
      assert.equal(answer.status, 403, target);
    }
    const job = jobOf(await coordinator.submit());
    const sites = [{ Origin: "http://evil.test" }, { "Sec-Fetch-Site": "cross-site" }, { Origin: "null" }];
    for (const headers of sites) {
      assert.equal((await coordinator.submit({}, { headers })).status, 403);
      const killed = await coordinator.send("POST", `/jobs/${job}/kill`, { reason: "x" }, { headers });
      assert.equal(killed.status, 403);
    }
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=x",
    ]) {
      assert.equal((await coordinator.submit({}, { headers: { "Content-Type": type } })).status, 415);
    }
    assert.equal(await jobs(), 1);
    const view = JSON.parse((await coordinator.ask({ target: `/jobs/${job}`, token: client })).body) as {
      readonly state: string;
    };
    assert.equal(view.state, "QUEUED");
  });

  await t.test("claims about where a request comes from change nothing", async () => {
    const headers = {
      "X-Forwarded-For": "127.0.0.1",
      "X-Forwarded-Host": "127.0.0.1",
      Forwarded: "for=6.6.6.6",
      "User-Agent": "sheaf",
    };
    assert.equal((await coordinator.ask({ target: "/jobs", headers })).status, 401);
    assert.equal((await coordinator.ask({ target: "/health", host: "evil.test", headers })).status, 403);
    await coordinator.submit({ name: "claimed" }, { headers });
    const [line] = coordinator.logged().filter((one) => one["name"] === "claimed");
    assert.equal(line!["remote"], "127.0.0.1");
  });

  await t.test("one line of the log tells of every submission and every cancelling", async () => {
    const headers = { "idempotency-key": "one-and-the-same" };
    const answers = [await coordinator.submit({ name: "audited" }, { headers })];
    const job = jobOf(answers[0]!);
    const bad = await coordinator.submit({ name: "audited-bad", protocol: 999 });
    assert.equal(bad.status, 409);
    const kill = (): Promise<unknown> => coordinator.send("POST", `/jobs/${job}/kill`, { reason: "enough" });
    await kill();
    const lines = (event: string): readonly Readonly<Record<string, unknown>>[] =>
      coordinator
        .logged()
        .filter((line) => line["event"] === event && (line["job"] === job || line["name"] === "audited-bad"));
    const [submitted, refused, ...more] = lines("submit");
    assert.deepEqual(more, []);
    assert.equal(submitted!["outcome"], "accepted");
    assert.equal(submitted!["role"], "client");
    assert.equal(submitted!["remote"], "127.0.0.1");
    assert.equal(submitted!["submitter"], submission.submitter);
    assert.equal(submitted!["bundle"], submission.bundle);
    assert.match(String(refused!["outcome"]), /refused/);
    const [cancelled, ...others] = lines("cancel");
    assert.deepEqual(others, []);
    assert.equal(cancelled!["remote"], "127.0.0.1");
    assert.equal(cancelled!["role"], "client");
  });

  await t.test(
    "every answer carries the headers that keep a browser from making something of it",
    async () => {
      const job = jobOf(await coordinator.submit());
      await coordinator.send("POST", `/jobs/${job}/kill`, { reason: "seen enough" });
      for (const target of [
        "/health",
        "/jobs",
        "/metrics",
        "/openapi.json",
        "/nowhere",
        `/jobs/${job}/events`,
        `/jobs/${job}/logs`,
        `/blobs/${submission.bundle}`,
        `/blobs/${hash}`,
      ]) {
        for (const token of [client, ""]) {
          const answer = await coordinator.ask({ target, ...(token === "" ? {} : { token }) });
          for (const [name, value] of Object.entries(answerHeaders))
            assert.equal(answer.headers[name], value, `${name} of ${target} ${answer.status}`);
          assert.ok(!Object.keys(answer.headers).some((name) => name.startsWith("access-control")));
        }
      }
      const logs = await coordinator.ask({ target: `/jobs/${job}/logs`, token: client });
      assert.match(logs.headers["content-type"]!, /^text\/plain/);
    },
  );
});
