import type { AddressInfo } from "node:net";
import type { ServerResponse } from "node:http";
import { fastify } from "../vendor/fastify.ts";
import type { FastifyInstance } from "../vendor/fastify.ts";
import type { Clock } from "../base/clock.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { isSheafError } from "../base/errors.ts";
import type { GatePolicy } from "../security/gate.ts";
import { guard, guardedOptions, serverSettings } from "../security/guard.ts";
import { hostList } from "../security/host-list.ts";
import { ownNames, reachableHost } from "../security/own-names.ts";
import { parseSliceQuery } from "./shuffle-request.ts";
import type { SliceQuestion } from "./shuffle-request.ts";
import type { FindOutput, SendBuffers } from "./shuffle-sender.ts";
import { SEND_BYTES, sendSlices } from "./shuffle-sender.ts";

export interface ShuffleServerOptions {
  readonly host: string;
  readonly port: number;
  /** Names and addresses by which others reach it, for the Host header. */
  readonly names: readonly string[];
  /** Options of an HTTPS server; null: HTTP. */
  readonly tls: object | null;
  readonly clock: Clock;
  /** Key of a job's signed URLs; null: no such job. */
  jobKey(job: string): string | null;
  findOutput(job: string): FindOutput;
  /** Answers sent at once; more wait their turn. Each takes 1 MiB of memory. */
  readonly answersMax: number;
  /** A connection on which nothing can be sent for so long is cut, ms. */
  readonly idleMs: number;
}

interface Answer {
  readonly job: string;
  readonly response: ServerResponse;
  readonly ended: Promise<void>;
}

/** Serves the registered map outputs of this machine to whoever holds a URL signed with the job's key. */
export class ShuffleServer {
  readonly #options: ShuffleServerOptions;
  readonly #app: FastifyInstance;
  readonly #answers = new Set<Answer>();
  readonly #buffers: BufferPool;

  private constructor(options: ShuffleServerOptions) {
    this.#options = options;
    this.#buffers = new BufferPool(options.answersMax);
    const policy: GatePolicy = {
      tokens: [],
      open: false,
      hosts: hostList({ bound: options.host, told: options.names, own: ownNames() }),
      jobKey: (job) => options.jobKey(job),
      clock: options.clock,
    };
    const { http, ...guarded } = guardedOptions(policy);
    const settings = { ...guarded, exposeHeadRoutes: false, forceCloseConnections: true } as const;
    this.#app = (
      options.tls === null
        ? fastify({ ...settings, http })
        : fastify({ ...settings, https: { ...serverSettings, ...options.tls } })
    ) as FastifyInstance;
    this.#app.server.setTimeout(options.idleMs);
    guard(this.#app, policy);
    this.#route();
  }

  /** @throws SheafError when it cannot listen there */
  static async start(options: ShuffleServerOptions): Promise<ShuffleServer> {
    const server = new ShuffleServer(options);
    const { host, port } = options;
    try {
      await server.#app.listen({ host, port });
    } catch (error) {
      throw asSheafError(error, { path: `${host}:${port}`, doing: "open", code: "USAGE" });
    }
    return server;
  }

  /** "http://127.0.0.1:40123". */
  get address(): string {
    const { address, port } = this.#app.server.address() as AddressInfo;
    const reached = reachableHost(address);
    const host = reached.includes(":") ? `[${reached}]` : reached;
    return `${this.#options.tls === null ? "http" : "https"}://${host}:${port}`;
  }

  /** Cuts what is being sent of a job; resolves when none of its files is open any more. */
  async cut(job: string): Promise<void> {
    const cut = [...this.#answers].filter((answer) => answer.job === job);
    for (const { response } of cut) response.destroy();
    await Promise.all(cut.map(({ ended }) => ended));
  }

  async close(): Promise<void> {
    const all = [...this.#answers];
    const closed = this.#app.close();
    this.#app.server.closeAllConnections();
    await Promise.all([closed, ...all.map(({ ended }) => ended)]);
  }

  #route(): void {
    this.#app.setErrorHandler((error, _request, reply) => {
      if (!isSheafError(error)) return reply.code(500).send(bodyOf("INTERNAL", "it failed unexpectedly", ""));
      return reply.code(400).send(bodyOf(error.code, error.message, error.hint ?? ""));
    });
    this.#app.get("/health", { config: { access: { may: ["anyone"] } } }, () => ({ ok: true }));
    this.#app.get("/shuffle/:job", { config: { access: { may: ["shuffle"] } } }, (request, reply) => {
      const { job } = request.params as { readonly job: string };
      const question = parseSliceQuery(job, request.query as Readonly<Record<string, unknown>>);
      reply.hijack();
      const ended = this.#answer(reply.raw, question);
      const answer = { job, response: reply.raw, ended };
      this.#answers.add(answer);
      void ended.then(() => this.#answers.delete(answer));
    });
  }

  /** Never rejects: an answer that cannot be finished is cut, and asked for again by those who need it. */
  async #answer(response: ServerResponse, question: SliceQuestion): Promise<void> {
    const buffers = await this.#buffers.take();
    try {
      if (response.destroyed) return;
      response.writeHead(200, { "content-type": "application/x-sheaf-slices" });
      await sendSlices(response, question, this.#options.findOutput(question.job), buffers);
    } catch {
      response.destroy();
    } finally {
      this.#buffers.give(buffers);
    }
  }
}

/** Pairs of buffers for so many answers at once, made as they are needed and used again. */
class BufferPool {
  readonly #free: SendBuffers[] = [];
  readonly #waiting: ((buffers: SendBuffers) => void)[] = [];
  #left: number;

  constructor(most: number) {
    this.#left = most;
  }

  async take(): Promise<SendBuffers> {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#left > 0) {
      this.#left--;
      return [Buffer.allocUnsafeSlow(SEND_BYTES), Buffer.allocUnsafeSlow(SEND_BYTES)];
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  give(buffers: SendBuffers): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(buffers);
    else next(buffers);
  }
}

const bodyOf = (code: string, message: string, hint: string): object => ({ error: { code, message, hint } });
