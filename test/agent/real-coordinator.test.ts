import assert from "node:assert/strict";
import { cpSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { pino } from "pino";
import type { AgentOptions } from "#src/agent/agent-options.js";
import { startAgent } from "#src/agent/agent.js";
import type { Agent } from "#src/agent/agent.js";
import { systemClock } from "#src/base/clock.js";
import type { SheafError } from "#src/base/errors.js";
import { bundleJob } from "#src/bundle/bundle-job.js";
import { ApiClient } from "#src/client/api-client.js";
import { Coordinator } from "#src/coordinator/coordinator.js";
import type { JobView } from "#src/protocol/job-view.js";
import type { OutputTarget, Submission } from "#src/protocol/submission.js";
import { PROTOCOL_VERSION } from "#src/protocol/version.js";
import { coordinatorRoutes } from "#src/rest/coordinator-routes.js";
import { startServer } from "#src/rest/server.js";
import { hostList } from "#src/security/host-list.js";
import { digestToken, makeToken } from "#src/security/token.js";
import { waitFor } from "../kit/wait.js";
import { counted, jobOptions, Stage, text, wordCount, wordsOutline } from "./support.js";

/** A coordinator as it ships, behind its HTTP server, and one agent. */
class Cluster extends Stage {
  api!: ApiClient;
  readonly #t: TestContext;
  #agentOptions!: AgentOptions;

  constructor(t: TestContext) {
    super(t);
    this.#t = t;
  }

  async begin(slots = 1): Promise<void> {
    const [client, agent] = [makeToken("client"), makeToken("agent")];
    const coordinator = new Coordinator({
      stateDirectory: join(this.root, "coordinator"),
      roots: [this.root],
      version: "0.0.0",
      clock: systemClock,
      random: Math.random,
      timings: { heartbeatMs: 200, leaseMs: 5_000 },
      log: ({ level, message }) => this.said.push(`coordinator ${level}: ${message}`),
    });
    const timer = setInterval(() => coordinator.tick(), 50);
    const server = await startServer({
      routes: (app) => coordinatorRoutes(app, coordinator),
      policy: {
        tokens: [
          { role: "client", digest: digestToken(client) },
          { role: "agent", digest: digestToken(agent) },
        ],
        open: false,
        hosts: hostList({ bound: "127.0.0.1" }),
        jobKey: (job) => coordinator.agents.jobKey(job),
        clock: systemClock,
      },
      host: "127.0.0.1",
      port: 0,
      tls: null,
      version: "0.0.0",
      log: pino({ level: "silent" }),
    });
    this.api = new ApiClient({ url: server.url, token: client });
    this.#t.after(async () => {
      await this.agent?.end();
      clearInterval(timer);
      await this.api.close();
      await server.close();
      coordinator.close();
    });
    const { startShuffle: _, ...options } = this.options({ join: server.url, token: agent, slots });
    this.#agentOptions = options;
    this.agent = await startAgent(options);
    await this.agent.joined;
  }

  /** Another agent of the name of the first, with this state. */
  async second(stateDirectory: string): Promise<Agent> {
    const second = await startAgent({ ...this.#agentOptions, stateDirectory });
    this.#t.after(() => second.end().catch(() => undefined));
    return second;
  }

  async submit(code: string, inputs: string[], output: OutputTarget): Promise<string> {
    const bundle = await bundleJob(this.file("job.ts", code), {
      outDirectory: join(this.root, "bundles"),
      cache: false,
    });
    const hash = this.coordinator.blob(readFileSync(bundle.path));
    const bytes = this.coordinator.blobs.get(hash)!;
    await this.api.putBlob(hash, { bytes: bytes.length, open: () => Readable.from([bytes]) });
    const submission: Submission = {
      protocol: PROTOCOL_VERSION,
      name: "words",
      submitter: "tester",
      host: "here",
      group: null,
      project: null,
      file: null,
      code: bundle.hash,
      bundle: hash,
      sourceMap: null,
      aux: [],
      outline: wordsOutline,
      inputs,
      options: jobOptions,
      output,
      attached: false,
      faults: [],
    };
    return (await this.api.submit(submission, "key-1-of-this-test")).job;
  }

  ended(job: string): Promise<JobView> {
    return waitFor("the job to end", async () => {
      const view = await this.api.job(job);
      return ["SUCCEEDED", "FAILED", "CANCELLED"].includes(view.state) ? view : undefined;
    });
  }
}

test("with a real coordinator: output on a shared path", async (t) => {
  const cluster = new Cluster(t);
  await cluster.begin(2);
  const path = join(cluster.root, "place", "out");
  const input = cluster.file("place/in.txt", text);
  const job = await cluster.submit(wordCount(), [input], { kind: "shared", path, overwrite: false });
  const view = await cluster.ended(job);
  assert.equal(view.state, "SUCCEEDED", JSON.stringify(view.error));
  const parts = view.parts.map(({ file }) => readFileSync(join(path, file), "utf8").trimEnd().split("\n"));
  assert.deepEqual(parts.flat().sort(), counted);
  assert.deepEqual(readdirSync(join(cluster.root, "place")).sort(), ["in.txt", "out"]);
  assert.equal(view.counters["lines"], 4);
});

test("with a real coordinator: results collected", async (t) => {
  const cluster = new Cluster(t);
  await cluster.begin();
  const output: OutputTarget = { kind: "collect", write: true, collect: false };
  const job = await cluster.submit(wordCount(), [cluster.file("in.txt", text)], output);
  const view = await cluster.ended(job);
  assert.equal(view.state, "SUCCEEDED", JSON.stringify(view.error));
  const lines: string[] = [];
  for (const [index] of view.parts.entries()) {
    const { body } = await cluster.api.resultFile(job, "output", index, 0);
    for await (const chunk of body) lines.push(...String(chunk).trimEnd().split("\n"));
  }
  assert.deepEqual(lines.sort(), counted);
});

test("with a real coordinator: user code that throws fails the job, which names the place", async (t) => {
  const cluster = new Cluster(t);
  await cluster.begin();
  const code = wordCount({ map: `if (line === "that is") throw new Error("no that");` });
  const job = await cluster.submit(code, [cluster.file("in.txt", text)], {
    kind: "collect",
    write: true,
    collect: false,
  });
  const view = await cluster.ended(job);
  assert.equal(view.state, "FAILED");
  assert.equal(view.error?.code, "USER_CODE");
  assert.match(view.error?.report ?? "", /no that/);
});

test("two agents of one name: the second, a copy or not, is refused, and the first works on", async (t) => {
  const cluster = new Cluster(t);
  await cluster.begin();
  const [before] = await cluster.api.nodes();
  const copy = join(cluster.root, "copy");
  cpSync(cluster.state, copy, { recursive: true, filter: (path) => !path.endsWith("agent.lock") });
  const seconds = await Promise.all([cluster.second(copy), cluster.second(join(cluster.root, "other"))]);
  const refused = Promise.allSettled(seconds.map(({ ended }) => ended));
  const output: OutputTarget = { kind: "collect", write: true, collect: false };
  const job = await cluster.submit(wordCount(), [cluster.file("in.txt", text)], output);
  const view = await cluster.ended(job);
  assert.equal(view.state, "SUCCEEDED", JSON.stringify(view.error));
  for (const end of await refused) {
    assert.equal(end.status, "rejected");
    const { code, message, hint } = end.reason as SheafError;
    assert.deepEqual(code, "NAME_TAKEN");
    assert.match(message, /another agent named "a1" is alive, on /);
    assert.match(hint ?? "", /another --name.*remove the directory/);
  }
  const [after] = await cluster.api.nodes();
  assert.deepEqual([after!.incarnation, after!.state], [before!.incarnation, "up"]);
});
