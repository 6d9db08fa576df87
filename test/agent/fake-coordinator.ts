import { crc32c } from "@node-rs/crc32";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type {
  Errand,
  ErrandResult,
  Heartbeat,
  HeartbeatAnswer,
  Order,
  Register,
  SplitPage,
} from "#src/protocol/agent-messages.js";
import type {
  LogLines,
  MapOutputs,
  Preparation,
  Stray,
  TaskAnswer,
  TaskOrder,
  TaskReport,
} from "#src/protocol/task-messages.js";
import { HEADERS, JOB_STATUS } from "#src/protocol/version.js";
import { waitFor } from "../kit/wait.js";

/**
 * What is done with a request instead of answering it; a number: an answer of that status; `instead`: that is
 * the answer.
 */
export type Interference = "lose-request" | "lose-answer" | number | { readonly instead: unknown } | null;

export interface Reported {
  readonly report: TaskReport;
  readonly headers: IncomingMessage["headers"];
}

interface Question {
  readonly ask: number;
  readonly answer: (answer: TaskAnswer) => void;
}

/**
 * The routes that agents speak to, over real HTTP, with a test instead of a coordinator behind them: it gives
 * orders and waits for what is told.
 */
export class FakeCoordinator {
  readonly registrations: Register[] = [];
  readonly heartbeats: Heartbeat[] = [];
  readonly reports: Reported[] = [];
  readonly logs: LogLines["lines"] = [];
  readonly errandResults: ErrandResult[] = [];
  /** Pages of large plans. */
  readonly splitPages: SplitPage[] = [];
  readonly strays: Stray[] = [];
  readonly results = new Map<string, Buffer>();
  readonly blobs = new Map<string, Buffer>();
  readonly preparations = new Map<string, Preparation>();
  readonly outputs = new Map<string, MapOutputs>();
  /** Requests as "POST /agents". */
  readonly heard: string[] = [];
  /** Decides what happens to a request; called for each. */
  interfere: (request: string) => Interference = () => null;
  standing: HeartbeatAnswer["standing"] = "ok";
  forget: string[] = [];
  /** What heartbeats are answered besides. */
  beside: Pick<HeartbeatAnswer, "drop" | "needed"> = {};
  fencedBelow: number | null = null;
  /** Attempts (as "map 0 1") whose reports are not accepted. */
  readonly void = new Set<string>();
  heartbeatMs = 50;
  leaseMs = 10_000;
  #server: Server;
  readonly #waiting = new Map<number, Question>();
  readonly #tasks: TaskOrder[] = [];
  #orders: Order[] = [];
  #orderPoll: (() => void) | null = null;
  #port = 0;

  constructor() {
    this.#server = this.#makeServer();
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Begins to answer; again after `stop`, at the same port. */
  async start(): Promise<void> {
    this.#server.listen(this.#port, "127.0.0.1");
    await once(this.#server, "listening");
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
    this.#waiting.clear();
    this.#server = this.#makeServer();
  }

  blob(content: string | Uint8Array): string {
    const bytes = typeof content === "string" ? Buffer.from(content) : Buffer.from(content);
    const hash = createHash("sha256").update(bytes).digest("hex");
    this.blobs.set(hash, bytes);
    return hash;
  }

  /** Gives a task to the next slot that asks; resolves with its first report. */
  async run(order: TaskOrder): Promise<TaskReport> {
    const name = attemptName(order.attempt);
    this.give(order);
    return waitFor(`a report of ${name}`, () => this.reportOf(name));
  }

  give(order: TaskOrder): void {
    this.#tasks.push(order);
    this.#handOut();
  }

  /** The first report of the attempt "map 0 1". */
  reportOf(name: string): TaskReport | undefined {
    return this.reports.find(({ report }) => attemptName(report.attempt!) === name)?.report;
  }

  order(order: Order): void {
    this.#orders.push(order);
    this.#orderPoll?.();
  }

  async errand(errand: Errand): Promise<ErrandResult> {
    const before = this.errandResults.length;
    this.order({ kind: "errand", errand });
    await waitFor(`the result of ${errand.kind}`, () => this.errandResults.length > before || undefined);
    return this.errandResults.at(-1)!;
  }

  get lastHeartbeat(): Heartbeat | undefined {
    return this.heartbeats.at(-1);
  }

  /** Attempts that the last heartbeat lists, as "map 0 1". */
  get running(): string[] {
    return (this.lastHeartbeat?.running ?? []).map(({ attempt }) => attemptName(attempt));
  }

  #makeServer(): Server {
    return createServer((request, response) => {
      this.#handle(request, response).catch((error: unknown) => {
        if (response.destroyed) return;
        response.writeHead(500, { "content-type": "application/json" });
        response.end(JSON.stringify({ error: { code: "INTERNAL", message: String(error), hint: null } }));
      });
    });
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url!, "http://x");
    const route = `${request.method} ${pathname}`;
    this.heard.push(route);
    const interference = this.interfere(route);
    if (interference === "lose-request") {
      request.socket.destroy();
      return;
    }
    const body = await bodyOf(request);
    if (typeof interference === "number") {
      response.writeHead(interference, { "content-type": "application/json" });
      response.end(JSON.stringify({ error: { code: "VERSION_MISMATCH", message: "no", hint: null } }));
      return;
    }
    if (typeof interference === "object" && interference !== null) {
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify(interference.instead));
      return;
    }
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    const answer = await this.#answer(route, searchParams, request, body, gone.signal);
    if (interference === "lose-answer") {
      request.socket.destroy();
      return;
    }
    if (answer instanceof Uint8Array) {
      response.writeHead(200, { "content-type": "application/octet-stream" });
      response.end(answer);
      return;
    }
    const failed = "httpStatus" in answer ? Number(answer.httpStatus) : 200;
    response.writeHead(failed, { "content-type": "application/json" });
    response.end(JSON.stringify(answer));
  }

  async #answer(
    route: string,
    query: URLSearchParams,
    request: IncomingMessage,
    body: Buffer,
    gone: AbortSignal,
  ): Promise<object> {
    const json = (): unknown => JSON.parse(body.toString("utf8"));
    const [method, path = ""] = route.split(" ");
    const [, first, second = "", third = "", fourth, fifth] = path.split("/");
    switch (`${method} ${first}/${third}`) {
      case "POST agents/":
        return this.#register(json() as Register);
      case "POST agents/heartbeat":
        return this.#beat(json() as Heartbeat);
      case "POST agents/orders":
        return this.#takeOrders(gone);
      case "POST errands/":
        this.errandResults.push(json() as ErrandResult);
        return {};
      case "POST errands/splits":
        this.splitPages.push(json() as SplitPage);
        return {};
      case "POST agents/leave":
        return {};
      case "POST jobs/stray":
        this.strays.push(json() as Stray);
        return { accepted: true };
      case "PUT task/":
        return this.#ask(request, gone);
      case "POST jobs/task":
        return this.#report(json() as TaskReport, request.headers);
      case "GET jobs/preparation":
        return this.preparations.get(second) ?? notFound(`job ${second}`);
      case "GET jobs/outputs":
        return this.#outputsAfter(second, Number(query.get("after")));
      case "POST jobs/logs":
        this.logs.push(...(json() as LogLines).lines);
        return {};
      case "PUT jobs/results":
        assert.equal(body.length, Number(query.get("bytes")));
        assert.equal(crc32c(body).toString(16).padStart(8, "0"), query.get("crc32c"));
        this.results.set(`${fourth}/${fifth}`, body);
        return {};
      case "GET blobs/":
        return this.blobs.get(second) ?? notFound(`blob ${second}`);
      default:
        return notFound(route);
    }
  }

  #register(register: Register): object {
    this.registrations.push(register);
    const isFenced = this.fencedBelow !== null && register.incarnation <= this.fencedBelow;
    if (!isFenced) this.standing = "ok";
    const fencedBelow = isFenced ? this.fencedBelow : null;
    return { coordinator: "c1", heartbeatMs: this.heartbeatMs, leaseMs: this.leaseMs, fencedBelow };
  }

  #beat(heartbeat: Heartbeat): object {
    this.heartbeats.push(heartbeat);
    const { forget } = this;
    this.forget = [];
    const known = [...this.outputs].filter(([job]) => heartbeat.jobs.includes(job));
    const outputs = Object.fromEntries(known.map(([job, list]) => [job, list.version]));
    return { standing: this.standing, forget, outputs, ...this.beside };
  }

  async #takeOrders(gone: AbortSignal): Promise<object> {
    if (this.#orders.length === 0) {
      await new Promise<void>((resolve) => {
        this.#orderPoll = resolve;
        gone.addEventListener("abort", () => resolve());
      });
    }
    if (gone.aborted) return { orders: [] };
    const orders = this.#orders;
    this.#orders = [];
    return { orders };
  }

  #ask(request: IncomingMessage, gone: AbortSignal): Promise<object> {
    const slot = Number(request.headers[HEADERS.slot]);
    const ask = Number(request.headers[HEADERS.ask]);
    return new Promise((resolve) => {
      this.#waiting.set(slot, { ask, answer: resolve });
      gone.addEventListener("abort", () => {
        if (this.#waiting.get(slot)?.answer === resolve) this.#waiting.delete(slot);
      });
      this.#handOut();
    });
  }

  #handOut(): void {
    for (const [slot, { answer }] of this.#waiting) {
      const order = this.#tasks.shift();
      if (order === undefined) return;
      this.#waiting.delete(slot);
      answer(taskAnswer(order));
    }
  }

  #report(report: TaskReport, headers: IncomingMessage["headers"]): object {
    this.reports.push({ report, headers });
    return { status: report.status, accepted: !this.void.has(attemptName(report.attempt!)) };
  }

  #outputsAfter(job: string, after: number): object {
    const list = this.outputs.get(job) ?? { version: 0, entries: [] };
    return { version: list.version, entries: list.entries.slice(after) };
  }
}

export function attemptName(attempt: { phase: string; task: number; attempt: number }): string {
  return `${attempt.phase} ${attempt.task} ${attempt.attempt}`;
}

function taskAnswer(order: TaskOrder): TaskAnswer {
  const type = ({ sample: "sampler", map: "mapper", reduce: "reducer" } as const)[order.attempt.phase];
  return {
    type,
    id: order.attempt.task,
    status: 3,
    job_status: JOB_STATUS.RUNNING,
    job_uuid: order.attempt.job,
    i_path: [],
    o_path: null,
    n_buckets: 1,
    retry_after_ms: null,
    ask_anew: false,
    order,
  };
}

function notFound(what: string): object {
  return { httpStatus: 404, error: { code: "NOT_FOUND", message: `there is no ${what}`, hint: null } };
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}
