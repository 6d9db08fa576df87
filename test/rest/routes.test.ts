import assert from "node:assert/strict";
import { text } from "node:stream/consumers";
import { describe, test } from "node:test";
import { SheafError } from "#src/base/errors.js";
import type { TaskAnswer } from "#src/protocol/task-messages.js";
import type { Asker } from "#src/protocol/worker-protocol.js";
import { agentToken, jobId, serve, sha256, storedFile } from "./support.js";

interface Refused {
  readonly error: { readonly code: string; readonly message: string; readonly hint: string | null };
}

async function refusalOf(response: Response): Promise<Refused["error"]> {
  return ((await response.json()) as Refused).error;
}

const asAgent = {
  token: agentToken,
  headers: {
    "worker-pid": "77",
    "sheaf-agent": "a1",
    "sheaf-incarnation": "9",
    "sheaf-slot": "2",
    "sheaf-ask": "31",
  },
};

describe("requests that are not understood are refused before the service hears of them", () => {
  const cases: readonly (readonly [string, string, unknown, RegExp])[] = [
    ["POST", `/jobs/${jobId}/kill`, { reason: 1 }, /body\/reason/],
    ["POST", `/jobs/${jobId}/kill`, {}, /reason/],
    ["POST", `/jobs/${jobId}/kill`, { reason: "x", more: 1 }, /more/],
    ["POST", "/jobs/..%2f..%2fetc/kill", { reason: "x" }, /params\/job/],
    ["GET", "/jobs?limit=0", undefined, /querystring\/limit/],
    ["GET", "/jobs?limt=3", undefined, /limt/],
    ["GET", "/jobs?state=running", undefined, /querystring\/state/],
    ["POST", "/jobs", { protocol: 1 }, /body/],
    ["GET", `/jobs/${jobId}/results/output/-1`, undefined, /params\/index/],
    ["POST", "/nodes/a%00b/bar", { reason: "x" }, /params\/agent/],
  ];
  for (const [method, path, body, message] of cases) {
    test(`${method} ${path} ${JSON.stringify(body) ?? ""}`, async (t) => {
      const { ask } = await serve(t, {});
      const response = await ask(path, { method, ...(body === undefined ? {} : { body }) });
      const error = await refusalOf(response);
      assert.equal(response.status, 400, JSON.stringify(error));
      assert.equal(error.code, "USAGE");
      assert.match(error.message, message);
    });
  }

  test("a submission without an idempotency key names the header", async (t) => {
    const { ask } = await serve(t, {});
    const response = await ask("/jobs", { method: "POST", body: minimalSubmission() });
    assert.equal(response.status, 400);
    assert.match((await refusalOf(response)).message, /idempotency-key/);
  });

  test("a task is not handed to somebody who does not say who asks", async (t) => {
    const { ask } = await serve(t, {});
    const response = await ask("/task", { method: "PUT", token: agentToken });
    assert.equal(response.status, 400);
    assert.match((await refusalOf(response)).message, /worker-pid/);
  });
});

test("a submission reaches the service once per key, and who sent it is known by the token", async (t) => {
  const heard: unknown[] = [];
  const { ask } = await serve(t, {
    submit: ({ name }, key, caller) => {
      heard.push([name, key, caller.role]);
      return { job: jobId, isNew: heard.length === 1 };
    },
  });
  const request = {
    method: "POST",
    body: minimalSubmission(),
    headers: { "idempotency-key": "0123456789" },
  };
  assert.equal((await ask("/jobs", request)).status, 201);
  const again = await ask("/jobs", request);
  assert.equal(again.status, 200);
  assert.deepEqual(await again.json(), { job: jobId, isNew: false });
  assert.deepEqual(heard, Array(2).fill(["wc", "0123456789", "client"]));
});

test("what the service throws becomes the status of its code", async (t) => {
  const codes = [
    ["NOT_FOUND", 404],
    ["FORBIDDEN", 403],
    ["LIMIT_EXCEEDED", 429],
    ["VERSION_MISMATCH", 409],
    ["INTERNAL", 500],
  ] as const;
  for (const [code, status] of codes) {
    const { ask } = await serve(t, {
      attempts: () => {
        throw new SheafError(code, "no", { hint: "do this" });
      },
    });
    const response = await ask(`/jobs/${jobId}/attempts`);
    assert.equal(response.status, status);
    assert.deepEqual(await refusalOf(response), { code, message: "no", hint: "do this" });
  }
});

test("a bug of the coordinator is told without what is inside it", async (t) => {
  const { ask } = await serve(t, {
    attempts: () => {
      throw new TypeError("secret is undefined");
    },
  });
  const response = await ask(`/jobs/${jobId}/attempts`);
  assert.equal(response.status, 500);
  assert.doesNotMatch(JSON.stringify(await response.json()), /secret/);
});

const anyTask = {
  type: "mapper",
  id: 3,
  status: 3,
  job_status: 1,
  job_uuid: jobId,
  i_path: ["/a"],
  o_path: "/b",
  n_buckets: 2,
  retry_after_ms: null,
  ask_anew: false,
  order: null,
} satisfies TaskAnswer;

test("the slot that asks is read from the headers, and its task comes back", async (t) => {
  const askers: Asker[] = [];
  const { ask } = await serve(t, {
    askTask: async (asker) => {
      askers.push(asker);
      return anyTask;
    },
  });
  assert.deepEqual(await (await ask("/task", { method: "PUT", ...asAgent })).json(), anyTask);
  const [{ remote, ...asker }] = askers as [Asker];
  assert.deepEqual(asker, { agent: "a1", incarnation: 9, slot: 2, ask: 31, workerPid: 77 });
  assert.equal(remote, "127.0.0.1");
});

test("a body that is left out under a JSON content type is none; routes that need one say so", async (t) => {
  const asked: Asker[] = [];
  const { ask } = await serve(t, {
    askTask: async (asker) => {
      asked.push(asker);
      return anyTask;
    },
  });
  const json = { ...asAgent, headers: { ...asAgent.headers, "content-type": "application/json" } };
  const charset = { "content-type": "application/json; charset=utf-8", "content-length": "0" };
  for (const headers of [json.headers, { ...json.headers, ...charset }]) {
    const response = await ask("/task", { method: "PUT", ...asAgent, headers });
    assert.equal(response.status, 200, await response.text());
  }
  assert.equal(asked.length, 2);
  const report = await ask("/task/mapper/1/status", { method: "POST", ...json });
  assert.equal(report.status, 400);
  assert.match((await refusalOf(report)).message, /body/);
  const broken = await ask("/task/mapper/1/status", { method: "POST", ...json, bytes: Buffer.from("{") });
  assert.equal(broken.status, 400, await broken.text());
  const blank = await ask("/task/mapper/1/status", { method: "POST", ...json, bytes: Buffer.from(" ") });
  assert.equal(blank.status, 400, await blank.text());
});

test("a long poll hears that whoever asked has gone", async (t) => {
  let heard!: () => void;
  const aborted = new Promise<void>((resolve) => (heard = resolve));
  let began!: () => void;
  const waiting = new Promise<void>((resolve) => (began = resolve));
  const { ask } = await serve(t, {
    askTask: (_asker, signal) => {
      signal.addEventListener("abort", () => heard());
      began();
      return new Promise(() => undefined);
    },
  });
  const leave = new AbortController();
  const asked = ask("/task", { method: "PUT", ...asAgent, signal: leave.signal });
  await waiting;
  leave.abort();
  await assert.rejects(asked);
  await aborted;
});

test("events are streamed with their numbers, from where the client was, and end with the job", async (t) => {
  const { ask } = await serve(t, {
    listen: (job, after, listener, done) => {
      assert.equal(job, jobId);
      for (let number = after + 1; number <= 3; number++) void listener(number, `{"number":${number}}`);
      setImmediate(() => {
        void listener(4, `{"kind":"job-finished"}`);
        done();
      });
      return () => undefined;
    },
  });
  const response = await ask(`/jobs/${jobId}/events`, { headers: { "last-event-id": "2" } });
  assert.equal(response.headers.get("content-type"), "text/event-stream; charset=utf-8");
  assert.equal(response.headers.get("x-content-type-options"), "nosniff");
  const expected = `: sheaf\n\nid: 3\ndata: {"number":3}\n\nid: 4\ndata: {"kind":"job-finished"}\n\n`;
  assert.equal(await response.text(), expected);
});

test("events of a job that does not exist are an ordinary 404", async (t) => {
  const { ask } = await serve(t, {
    listen: () => {
      throw new SheafError("NOT_FOUND", "no such job", { hint: "look" });
    },
  });
  const response = await ask(`/jobs/${jobId}/events`);
  assert.equal(response.status, 404);
  assert.equal((await refusalOf(response)).code, "NOT_FOUND");
});

test("a client that leaves the events is no longer listened for", async (t) => {
  let stopped!: () => void;
  const isStopped = new Promise<void>((resolve) => (stopped = resolve));
  const { ask } = await serve(t, {
    listen: (_job, _after, listener) => {
      void listener(1, "{}");
      return () => stopped();
    },
  });
  const leave = new AbortController();
  const response = await ask(`/jobs/${jobId}/events`, { signal: leave.signal });
  await response.body!.getReader().read();
  leave.abort();
  await isStopped;
});

test("logs come as lines of plain text", async (t) => {
  const { ask } = await serve(t, {
    async *logs(_job, task, follow) {
      yield `${task} ${follow}`;
      yield "<b>not html</b>";
    },
  });
  const response = await ask(`/jobs/${jobId}/logs?task=map-00003&follow=1`);
  assert.equal(response.headers.get("content-type"), "text/plain; charset=utf-8");
  assert.equal(await response.text(), "map-00003 true\n<b>not html</b>\n");
});

describe("files", () => {
  const ranges: readonly (readonly [string | undefined, number, string])[] = [
    [undefined, 200, "0123456789"],
    ["bytes=0-", 206, "0123456789"],
    ["bytes=7-", 206, "789"],
    ["bytes=10-", 206, ""],
    ["bytes=11-", 400, ""],
    ["bytes=-3", 400, ""],
    ["bytes=1-2", 400, ""],
  ];
  for (const [range, status, expected] of ranges) {
    test(`range ${range} of ten bytes: ${status}`, async (t) => {
      const file = storedFile(t, "0123456789");
      const { ask } = await serve(t, { resultFile: () => file });
      const headers: Record<string, string> = range === undefined ? {} : { range };
      const response = await ask(`/jobs/${jobId}/results/output/0`, { headers });
      assert.equal(response.status, status);
      if (status < 300) assert.equal(await response.text(), expected);
    });
  }

  test("blobs go in as they are and are asked for by their hash", async (t) => {
    const kept = new Map<string, string>();
    const { ask } = await serve(t, {
      putBlob: async (hash, content) => void kept.set(hash, await text(content)),
      hasBlob: async (hash) => kept.has(hash),
    });
    const content = "\u0000\u0001 sheaf ".repeat(100_000);
    const path = `/blobs/${sha256(content)}`;
    assert.equal((await ask(path, { method: "HEAD" })).status, 404);
    assert.equal((await ask(path, { method: "PUT", bytes: Buffer.from(content) })).status, 204);
    assert.equal((await ask(path, { method: "HEAD" })).status, 200);
    assert.equal(kept.get(sha256(content)), content);
  });

  test("a result file is handed on with what it must be", async (t) => {
    const heard: unknown[] = [];
    const { ask } = await serve(t, {
      putResult: async (job, attempt, name, expected, content) =>
        void heard.push(job, attempt, name, expected, await text(content)),
    });
    const path = `/jobs/${jobId}/results/reduce-00001.2/part-0.tsv?crc32c=00c0ffee&bytes=5`;
    const response = await ask(path, { method: "PUT", token: agentToken, bytes: Buffer.from("hello") });
    assert.equal(response.status, 204);
    const expected = { crc32c: 0xc0ffee, bytes: 5 };
    assert.deepEqual(heard, [jobId, "reduce-00001.2", "part-0.tsv", expected, "hello"]);
  });
});

test("the document describes every route", async (t) => {
  const { ask } = await serve(t, {});
  const document = (await (await ask("/openapi.json")).json()) as {
    readonly paths: Readonly<Record<string, object>>;
  };
  const paths = Object.keys(document.paths);
  for (const path of ["/task", "/jobs", "/jobs/{job}/events", "/agents/{agent}/heartbeat", "/blobs/{hash}"]) {
    assert.ok(paths.includes(path), `${path} is not among ${paths.join(" ")}`);
  }
  assert.ok(paths.length > 25);
});

test("metrics show what the service counts", async (t) => {
  const { ask } = await serve(t, {
    gauges: () => ({
      queued: 1,
      running: 2,
      agents: 3,
      slots: 4,
      busySlots: 5,
      tasksReady: 6,
      tasksRunning: 7,
      heartbeatAgeMsMax: 8,
    }),
    totals: () => ({
      jobsSucceeded: 9,
      jobsFailed: 0,
      jobsCancelled: 0,
      attemptsFinished: 10,
      attemptsFailed: 0,
      attemptsLost: 0,
      fetchFailures: 11,
      inputBytes: 0,
      shuffleBytes: 0,
      outputBytes: 0,
    }),
  });
  const told = await (await ask("/metrics")).text();
  assert.match(told, /^sheaf_agents 3$/m);
  assert.match(told, /^sheaf_fetch_failures_total 11$/m);
  const again = await (await ask("/metrics")).text();
  assert.match(again, /^sheaf_fetch_failures_total 11$/m);
});

function minimalSubmission(): object {
  return {
    protocol: 1,
    name: "wc",
    submitter: "me",
    host: "here",
    group: null,
    project: null,
    file: null,
    code: "0123456789abcdef",
    bundle: sha256("code"),
    sourceMap: null,
    aux: [],
    outline: {
      name: null,
      input: { kind: "generate", tasks: 1 },
      collections: [{ name: "", partitions: null, order: "hash", mapOnly: false }],
      params: {},
      hasExpect: false,
      seed: 0,
      aux: [],
    },
    inputs: [],
    options: {
      partitions: [1],
      splitBytes: null,
      memoryBytes: 8 << 20,
      heapBytes: null,
      sample: 1,
      params: {},
      badBudget: null,
      attempts: 4,
      failedTasksShare: 0,
      noProgressMs: 1,
      partBytes: 1,
      cores: null,
      priority: 0,
      speculation: true,
      queueTimeoutMs: null,
      mappers: null,
    },
    output: { kind: "collect", write: true, collect: false },
    attached: true,
    faults: [],
  };
}
