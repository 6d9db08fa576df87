import { crc32c } from "@node-rs/crc32";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { RunEvent } from "#src/engine/events.js";
import type { LocalRunOptions } from "#src/engine/options.js";
import { resolveOptions } from "#src/engine/resolve-options.js";
import type { RunResult } from "#src/engine/run-result.js";
import type { JobView } from "#src/protocol/job-view.js";
import type { Submission } from "#src/protocol/submission.js";
import { PROTOCOL_VERSION } from "#src/protocol/version.js";
import { LocalRun } from "#src/runner/local-run.js";
import { finishRun } from "#src/runner/run-result.js";
import { startWorkerInline } from "#src/worker/worker-inline.js";
import { startWorkerThread } from "#src/worker/worker-thread.js";
import type { StartWorker } from "#src/worker/worker.js";
import { answerError, answerJson, fakeServer } from "./fake-server.js";
import type { FakeRequest } from "./fake-server.js";

interface FakeJob {
  readonly id: string;
  readonly submission: Submission;
  readonly directory: string;
  readonly abort: AbortController;
  readonly events: RunEvent[];
  readonly listeners: Set<() => void>;
  readonly beats: number[];
  result: RunResult | null;
  collected: readonly { readonly collection: string; readonly path: string }[];
  state: JobView["state"];
  killed: string | null;
}

/** Answers a request instead of the coordinator; false: it answers itself. */
export type Intercept = (request: FakeRequest, response: ServerResponse, count: number) => boolean;

/**
 * All routes a client uses, over jobs that run on this machine: what the client makes of the answers must be
 * what a local run gives.
 */
export class FakeCoordinator {
  url = "";
  roots: string[] = ["/"];
  heartbeatMs = 20;
  /** In this thread jobs are done sooner; endless ones need one of their own. */
  isolate: "inline" | "thread" = "inline";
  readonly jobs = new Map<string, FakeJob>();
  readonly blobs = new Map<string, Buffer>();
  asked: readonly string[] = [];
  intercept: Intercept = () => false;
  readonly #keys = new Map<string, string>();
  readonly #root = mkdtempSync(join(tmpdir(), "sheaf-fake-coordinator-"));

  static async start(t: TestContext): Promise<FakeCoordinator> {
    const fake = new FakeCoordinator();
    t.after(() => rmSync(fake.#root, { recursive: true, force: true }));
    const server = await fakeServer(t, (request, response, count) => {
      if (!fake.intercept(request, response, count)) fake.#answer(request, response);
    });
    fake.url = server.url;
    fake.asked = server.asked;
    return fake;
  }

  get onlyJob(): FakeJob {
    return [...this.jobs.values()][0]!;
  }

  #answer(request: FakeRequest, response: ServerResponse): void {
    const [, head, id, verb, kind, index] = request.path.split("/");
    if (head === "cluster") return answerJson(response, 200, this.#cluster());
    if (head === "blobs") return this.#blob(request, response, id!);
    if (head === "jobs" && id === undefined) {
      if (request.method === "POST") return this.#submit(request, response);
      const summaries = [...this.jobs.values()].map((job) => viewOf(job)).reverse();
      return answerJson(response, 200, { jobs: summaries, truncated: false });
    }
    const job = this.jobs.get(id ?? "");
    if (job === undefined) return answerError(response, 404, "NOT_FOUND", `no job ${id}`);
    switch (`${request.method} ${verb ?? ""}`) {
      case "GET ":
        return answerJson(response, 200, viewOf(job));
      case "GET events":
        return sendEvents(job, Number(request.headers["last-event-id"] ?? 0), response);
      case "POST heartbeat":
        job.beats.push(performance.now());
        return answerJson(response, 200, { state: job.state });
      case "POST kill":
        job.killed = (JSON.parse(request.body.toString()) as { reason: string }).reason;
        job.abort.abort(new Error("killed"));
        return answerJson(response, 200, viewOf(job));
      case "POST attach":
        return answerJson(response, 200, viewOf(job));
      case "GET results":
        return sendFile(job, kind!, Number(index), request.headers.range, response);
      default:
        return answerError(response, 404, "NOT_FOUND", `no route ${request.path}`);
    }
  }

  #cluster() {
    const { roots, heartbeatMs } = this;
    const jobs = { queued: 0, running: 0 };
    const counts = { agents: 1, slots: 2, busy: 0, jobs };
    const about = { protocol: PROTOCOL_VERSION, version: "0", coordinator: "fake", startTime: "" };
    return { ...about, ...counts, roots, heartbeatMs };
  }

  #blob(request: FakeRequest, response: ServerResponse, hash: string): void {
    if (request.method === "HEAD") return void response.writeHead(this.blobs.has(hash) ? 200 : 404).end();
    const sum = createHash("sha256").update(request.body).digest("hex");
    if (sum !== hash) return answerError(response, 400, "USAGE", `the content has another hash: ${sum}`);
    this.blobs.set(hash, request.body);
    response.writeHead(204).end();
  }

  #submit(request: FakeRequest, response: ServerResponse): void {
    const key = String(request.headers["idempotency-key"]);
    const known = this.#keys.get(key);
    if (known !== undefined) return answerJson(response, 200, { job: known, isNew: false });
    const submission = JSON.parse(request.body.toString()) as Submission;
    for (const blob of [submission.bundle, ...submission.aux.map((one) => one.blob)]) {
      if (!this.blobs.has(blob)) return answerError(response, 400, "USAGE", `no blob ${blob}`);
    }
    const id = `20260101-000000000-${submission.name}-${this.jobs.size}`;
    const job: FakeJob = {
      id,
      submission,
      directory: join(this.#root, id),
      abort: new AbortController(),
      events: [],
      listeners: new Set(),
      beats: [],
      result: null,
      collected: [],
      state: "RUNNING",
      killed: null,
    };
    this.jobs.set(id, job);
    this.#keys.set(key, id);
    void runFake(job, this.isolate);
    answerJson(response, 201, { job: id, isNew: true });
  }
}

async function runFake(job: FakeJob, isolate: "inline" | "thread"): Promise<void> {
  const { submission } = job;
  const { options, output } = submission;
  const told: LocalRunOptions = {
    inputs: submission.inputs,
    output: output.kind === "shared" ? output.path : join(job.directory, "out"),
    overwrite: output.kind === "shared" && output.overwrite,
    collect: output.kind === "collect" && output.collect,
    name: submission.name,
    params: options.params,
    attempts: options.attempts,
    memory: options.memoryBytes,
    partBytes: options.partBytes,
    workers: 2,
    isolate,
    stateDirectory: null,
    ...(options.badBudget === null ? {} : { maxBad: options.badBudget.max }),
    signal: job.abort.signal,
    onEvent: (event) => {
      if (event.kind === "progress") return;
      if (event.kind === "job-finished") job.state = event.status;
      job.events.push(event.kind === "job-started" ? { ...event, jobId: job.id } : event);
      for (const listener of job.listeners) listener();
    },
  };
  const resolved = resolveOptions(told, isolate);
  const inline: StartWorker = (options) => startWorkerInline(options, undefined);
  const start = isolate === "thread" ? startWorkerThread : inline;
  const run = new LocalRun({ kind: "file", path: submission.file! }, told, resolved, start);
  job.result = await finishRun(run, await run.run());
  job.collected = run.driven?.collected ?? [];
  for (const listener of job.listeners) listener();
}

function viewOf(job: FakeJob): JobView {
  const { submission, result } = job;
  const error = result?.error ?? null;
  const collections = submission.outline.collections.map(({ name }) => name);
  return {
    job: job.id,
    name: submission.name,
    state: result === null ? "RUNNING" : result.status,
    submitter: submission.submitter,
    host: submission.host,
    group: submission.group,
    project: submission.project,
    priority: submission.options.priority,
    code: submission.code,
    attached: submission.attached,
    submitTime: "",
    startTime: null,
    endTime: null,
    elapsedMs: null,
    mapTasks: result?.mapTasks ?? 0,
    reduceTasks: result?.reduceTasks ?? 0,
    fraction: 0,
    exception: null,
    inputs: submission.inputs,
    output: submission.output.kind === "shared" ? submission.output.path : null,
    file: submission.file,
    waitingFor: null,
    phases: [],
    bidding: { wanted: 2, granted: 2, used: 2, grants: {}, rounds: [], note: null },
    agents: ["a"],
    barred: [],
    counters: { ...result?.counters },
    stats: result?.stats ?? null,
    badRecords: result?.badRecords ?? 0,
    parts: (result?.parts ?? []).map((part) => ({ ...part })),
    collected: collectedView(job),
    partitions: [],
    collections,
    hotKeys: [],
    skew: [],
    timings: [],
    failedTasks: [],
    error:
      error === null
        ? null
        : {
            code: error.code,
            message: error.message,
            hint: error.hint ?? null,
            task: error.task,
            attempt: error.attempt,
            host: "fake-host",
            report: error.report,
          },
  };
}

function collectedView({ collected }: FakeJob): JobView["collected"] {
  return collected.map(({ collection, path }) => {
    const bytes = readFileSync(path);
    const sum = crc32c(bytes).toString(16).padStart(8, "0");
    return { file: path, collection, partition: 0, bytes: bytes.length, records: 0, crc32c: sum };
  });
}

function sendEvents(job: FakeJob, after: number, response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  let told = after;
  const tell = (): void => {
    for (; told < job.events.length; told++) {
      const event = job.events[told]!;
      // What a job's end says must be there to be asked for.
      if (event.kind === "job-finished" && job.result === null) return;
      response.write(`id: ${told + 1}\ndata: ${JSON.stringify(event)}\n\n`);
      if (event.kind === "job-finished") response.end();
    }
  };
  job.listeners.add(tell);
  response.once("close", () => job.listeners.delete(tell));
  tell();
}

function sendFile(
  job: FakeJob,
  kind: string,
  index: number,
  range: string | undefined,
  response: ServerResponse,
): void {
  const out = join(job.directory, "out");
  const bad = existsSync(join(out, "_bad")) ? readdirSync(join(out, "_bad")).sort() : [];
  const path =
    kind === "output"
      ? join(out, viewOf(job).parts[index]!.file)
      : kind === "collected"
        ? job.collected[index]!.path
        : join(out, "_bad", bad[index] ?? "none");
  if (!existsSync(path)) return answerError(response, 404, "NOT_FOUND", `no ${kind} file ${index}`);
  const bytes = readFileSync(path);
  const from = range === undefined ? 0 : Number(/bytes=(\d+)-/.exec(range)![1]);
  response.writeHead(from > 0 ? 206 : 200, { "content-length": String(bytes.length - from) });
  response.end(bytes.subarray(from));
}
