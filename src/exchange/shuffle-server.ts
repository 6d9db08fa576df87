import { closeSync, constants, openSync, read, readSync, realpathSync } from "node:fs";
import type { ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../base/clock.ts";
import { isSheafError } from "../base/errors.ts";
import { KiB } from "../base/size.ts";
import type { GatePolicy } from "../security/gate.ts";
import { guard, guardedOptions, serverSettings } from "../security/guard.ts";
import { hostList } from "../security/host-list.ts";
import { ownNames, reachableHost } from "../security/own-names.ts";
import type { PartitionSlice } from "../shuffle/partition-slice.ts";
import { slicePartition, slicePieces } from "../shuffle/partition-slice.ts";
import type { RunOwner } from "../shuffle/run-format.ts";
import { jobFingerprint } from "../shuffle/run-format.ts";
import { blockCorrupt, readOpenRunIndex } from "../shuffle/run-index.ts";
import { asSheafError } from "../storage/fs-error.ts";
import type { FastifyInstance } from "../vendor/fastify.ts";
import { fastify } from "../vendor/fastify.ts";
import type { SliceQuestion } from "./slice-protocol.ts";
import { parseSliceQuery, encodeFrameHead } from "./slice-protocol.ts";

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
      const answer = { job, response: reply.raw, ended: this.#answer(reply.raw, question) };
      this.#answers.add(answer);
      const forget = (): void => void this.#answers.delete(answer);
      answer.ended.then(forget, forget);
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

/** Bytes handed to the socket at once. */
const SEND_BYTES = 512 * KiB;
/**
 * Shorter stretches are read without waiting: a trip through the thread pool costs more than reading them,
 * and most of a shuffle's files are in memory, having just been written.
 */
const READ_NOW_BYTES = 32 * KiB;
/** After so many slices other requests get their turn. */
const SLICES_AT_ONCE = 16;

/** Two buffers that one answer is sent from: one is filled while the other one is on its way. */
type SendBuffers = readonly [Buffer, Buffer];

/** Where the run file of an attempt lies; null: not here. */
type FindOutput = (task: number, attempt: number) => string | null;

/**
 * Sends what was asked for as the body of a response whose head is written, and ends it. Rejects when the
 * other end is gone, and when a file turns out shorter than its index says: the connection is then to be cut.
 */
async function sendSlices(
  response: ServerResponse,
  question: SliceQuestion,
  find: FindOutput,
  buffers: SendBuffers,
): Promise<void> {
  const body = new BodyWriter(response, buffers);
  const job = jobFingerprint(question.job);
  for (const [i, map] of question.maps.entries()) {
    if (i > 0 && i % SLICES_AT_ONCE === 0) await turn();
    await sendSlice(body, question, { job, ...map }, i === 0 ? question.from : 0, find);
  }
  await body.end();
}

async function sendSlice(
  body: BodyWriter,
  question: SliceQuestion,
  owner: RunOwner,
  from: number,
  find: FindOutput,
): Promise<void> {
  const { task, attempt } = owner;
  const map = { task, attempt };
  const path = find(task, attempt);
  const fd = path === null ? null : openOutput(path);
  if (path === null || fd === null)
    return body.append(encodeFrameHead({ state: "gone", ...map, bytes: 0, from: 0 }));
  try {
    const slice = readSlice(fd, path, question, owner);
    if (slice === null)
      return await body.append(encodeFrameHead({ state: "damaged", ...map, bytes: 0, from: 0 }));
    const begin = from <= slice.bytes ? from : 0;
    await body.append(encodeFrameHead({ state: "here", ...map, bytes: slice.bytes, from: begin }));
    for (const piece of slicePieces(slice, begin)) {
      if (piece.kind === "made") await body.append(piece.bytes);
      else await body.appendStored(fd, path, piece.offset, piece.length);
    }
  } finally {
    closeSync(fd);
  }
}

/** Null when it is gone, or is no longer the file that was registered. */
function openOutput(path: string): number | null {
  try {
    if (realpathSync.native(path) !== path) return null;
    // oxlint-disable-next-line no-bitwise -- flags of open(2)
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch {
    return null;
  }
}

/** Null when the index is damaged, or another attempt's. */
function readSlice(
  fd: number,
  path: string,
  { collection, partition }: SliceQuestion,
  identity: RunOwner,
): PartitionSlice | null {
  try {
    return slicePartition(readOpenRunIndex(fd, path, { identity, place: { collection, partition } }));
  } catch (error) {
    if (isSheafError(error)) return null;
    throw error;
  }
}

/** Fills one buffer while the other one is sent: many small slices go in one write, a large one in many. */
class BodyWriter {
  readonly #response: ServerResponse;
  readonly #buffers: SendBuffers;
  #current: 0 | 1 = 0;
  #filled = 0;
  /** The write of the other buffer. */
  #sending: Promise<void> = Promise.resolve();

  constructor(response: ServerResponse, buffers: SendBuffers) {
    this.#response = response;
    this.#buffers = buffers;
  }

  async append(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      if (this.#filled === SEND_BYTES) await this.#flush();
      const copied = bytes.copy(this.#buffers[this.#current], this.#filled, at);
      this.#filled += copied;
      at += copied;
    }
  }

  async appendStored(fd: number, path: string, offset: number, length: number): Promise<void> {
    for (let done = 0; done < length;) {
      if (this.#filled === SEND_BYTES) await this.#flush();
      const buffer = this.#buffers[this.#current];
      const wanted = Math.min(length - done, SEND_BYTES - this.#filled);
      const got =
        wanted <= READ_NOW_BYTES
          ? readSync(fd, buffer, this.#filled, wanted, offset + done)
          : await readInto(fd, buffer, this.#filled, wanted, offset + done);
      if (got === 0) throw blockCorrupt(path, `cut short: ${length - done} bytes are missing`, offset + done);
      this.#filled += got;
      done += got;
    }
  }

  async end(): Promise<void> {
    await this.#flush();
    await this.#sending;
    this.#response.end();
  }

  /** Sends the current buffer; the other one, which is then the current one, is free to be filled. */
  async #flush(): Promise<void> {
    const before = this.#sending;
    if (this.#filled > 0) {
      const bytes = this.#buffers[this.#current].subarray(0, this.#filled);
      this.#sending = writeAll(this.#response, bytes);
      // Whoever waits for it next hears of it; until then it is nobody's.
      this.#sending.catch(() => {});
      this.#current = this.#current === 0 ? 1 : 0;
      this.#filled = 0;
    }
    await before;
  }
}

function readInto(fd: number, buffer: Buffer, at: number, length: number, offset: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, buffer, at, length, offset, (error, got) => (error === null ? resolve(got) : reject(error)));
  });
}

/** Resolves when the system has taken the bytes, so that the buffer may be filled anew. */
function writeAll(response: ServerResponse, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const onClose = (): void => reject(new Error("the connection is closed"));
    if (response.destroyed || response.closed) return onClose();
    response.once("close", onClose);
    response.write(bytes, (error) => {
      response.off("close", onClose);
      if (error === undefined || error === null) resolve();
      else reject(error);
    });
  });
}
