import http from "node:http";
import https from "node:https";
import { pipeline, Readable } from "node:stream";
import { SheafError, isSheafError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { pauseFor, pauseMs, retrying, type RetryWorld } from "../../base/retry.ts";
import { MiB } from "../../base/size.ts";
import { quotePath } from "../fs-error.ts";
import type { HdfsIdentity, HdfsServers } from "./hadoop-places.ts";
import type { HdfsDoing, HdfsRefusal } from "./webhdfs-errors.ts";
import {
  dataNodeError,
  isBehindEnd,
  isNoName,
  isNotThere,
  isPassingRefusal,
  isStandby,
  mishapOf,
  refusalError,
  refusalOf,
} from "./webhdfs-errors.ts";
import { type HdfsParams, type HdfsTarget, redirectedTo, requestPath } from "./webhdfs-path.ts";

const connectMs = 5_000;
/** Servers close what is idle for longer. */
const idleMs = 4_000;
/** A NameNode may collect garbage, a DataNode wait for another. */
const silenceMs = 60_000;
/** A page of a listing has a thousand entries, whose names have up to 8,000 bytes. */
const jsonBytesMax = 256 * MiB;
const refusalBytesMax = 64 * 1024;
/** For how long servers are tried of which nothing was ever heard: the address may be wrong. */
const firstRetryMs = 5_000;
/** For how long a DataNode is passed over that could not be reached. */
const passOverMs = 60_000;
const triesMax = 4;

/** What is sent; it can be opened again. */
export interface UploadBody {
  readonly bytes: number;
  open(): Readable | Uint8Array;
  /** Why it could not be read to its end; null: it could. */
  failure: unknown;
}

export interface WebHdfsOptions {
  readonly servers: HdfsServers;
  readonly identity: HdfsIdentity;
  readonly world: RetryWorld;
}

type Method = "GET" | "PUT" | "DELETE";

/** What a request is for. */
interface Purpose {
  readonly target: HdfsTarget;
  readonly doing: HdfsDoing;
  readonly signal?: AbortSignal;
}

interface HdfsRequest extends Purpose {
  readonly method: Method;
  readonly path: string;
  readonly body?: UploadBody;
}

interface DataRequest extends Purpose {
  readonly method: Method;
  readonly op: "OPEN" | "CREATE";
  readonly params: HdfsParams;
  readonly body?: UploadBody;
}

type Heard =
  | {
      readonly kind: "answer";
      readonly origin: string;
      readonly status: number;
      readonly location: string | null;
      readonly body: Readable;
    }
  | { readonly kind: "refusal"; readonly origin: string; readonly refusal: HdfsRefusal };
type Answer = Extract<Heard, { kind: "answer" }>;

/**
 * Speaks WebHDFS with the NameNodes of one file system, of which one is active, and with the DataNodes they
 * point to; or with an HttpFS server, which does all itself.
 */
export class WebHdfsClient {
  readonly #options: WebHdfsOptions;
  // Not undici, which takes an unasked "100 Continue", as DataNodes send it, for the end.
  readonly #plain = new http.Agent({ keepAlive: true, timeout: idleMs });
  readonly #secure = new https.Agent({ keepAlive: true, timeout: idleMs });
  /** Index of the server that answered last. */
  #active = 0;
  #wasHeard = false;
  /** Hosts of DataNodes that could not be reached, and until when they are passed over. */
  readonly #passedOver = new Map<string, number>();

  constructor(options: WebHdfsOptions) {
    this.#options = options;
  }

  /** For messages; null: a token says who asks. */
  get user(): string | null {
    return this.#options.identity.user;
  }

  /**
   * The JSON of an answer, {} where it has no body; null when there is no such file or directory.
   * @throws SheafError as refusalError, or UNREACHABLE
   */
  ask(
    method: Method,
    op: string,
    target: HdfsTarget,
    doing: HdfsDoing,
    params: HdfsParams = {},
  ): Promise<object | null> {
    return this.#retrying(async () => {
      const path = requestPath(this.#options.identity, target, op, params);
      const request = { method, path, target, doing };
      const heard = await this.#ofActive(request);
      if (heard.kind === "refusal") {
        if (isNotThere(heard.refusal) || (doing === "list" && isNoName(heard.refusal))) return null;
        throw this.#refused(heard, request);
      }
      const text = await this.#text(heard, request);
      // A rename says nothing when it is done.
      if (text === "" && method !== "GET") return {};
      try {
        return JSON.parse(text) as object;
      } catch {
        const refusal = refusalOf(heard.status, text, undefined);
        throw this.#refused({ origin: heard.origin, refusal }, request);
      }
    });
  }

  /**
   * Bytes `start` to below `end` of what is at the path now, fewer where it ends sooner. One try: what it
   * throws is `retryable` when it will pass.
   * @returns null when there is no such file, or one that ends before `start`
   */
  async open(
    target: HdfsTarget,
    start: number,
    end: number,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array> | null> {
    const heard = await this.#throughDataNode({
      method: "GET",
      op: "OPEN",
      params: { offset: start, length: end - start },
      target,
      doing: "read",
      signal,
    });
    if (heard.kind === "answer") return this.#pieces(heard, { target, doing: "read", signal });
    if (isNotThere(heard.refusal) || isBehindEnd(heard.refusal)) return null;
    throw this.#refused(heard, { target, doing: "read" });
  }

  /** Writes a file, in place of one that is there. A client that dies meanwhile leaves a shorter one. */
  create(target: HdfsTarget, body: UploadBody): Promise<void> {
    return this.#retrying(async () => {
      const params = { overwrite: "true" };
      const request = { method: "PUT", op: "CREATE", params, target, doing: "write", body } as const;
      const heard = await this.#throughDataNode(request);
      if (heard.kind === "refusal") throw this.#refused(heard, request);
      await this.#text(heard, request);
    });
  }

  /**
   * The answer of the DataNode that the NameNode points to, of another one when it cannot be reached; of an
   * HttpFS server its own. A body is sent to where the first answer points only.
   */
  async #throughDataNode(asked: DataRequest): Promise<Heard> {
    let failure: SheafError | null = null;
    for (;;) {
      const { body, ...rest } = asked;
      const excludedatanodes = this.#excluded();
      const path = requestPath(this.#options.identity, asked.target, asked.op, {
        ...asked.params,
        excludedatanodes,
      });
      const first = await this.#patiently(asked, () => this.#ofActive({ ...rest, path }));
      if (first.kind === "refusal") {
        if (excludedatanodes === "" || !/Failed to find datanode/.test(first.refusal.message)) return first;
        // There is no other: the next try may be one at the same.
        this.#passedOver.clear();
        if (failure !== null) throw failure;
        continue;
      }
      if (first.location === null) {
        if (body === undefined) return first;
        const refusal = refusalOf(first.status, await this.#text(first, asked), undefined);
        return { kind: "refusal", origin: first.origin, refusal };
      }
      await this.#text(first, asked);
      const place = redirectedTo(first.location, first.origin, asked);
      const { hostname } = new URL(place.origin);
      try {
        return await this.#patiently(asked, () =>
          this.#exchange(place.origin, { ...asked, path: place.path }),
        );
      } catch (error) {
        asked.signal?.throwIfAborted();
        if (body !== undefined && body.failure !== null) throw body.failure;
        failure = dataNodeError(error, {
          address: asked.target.address,
          doing: asked.doing,
          origin: place.origin,
        });
        // The same one is named again where no other has it.
        if (excludedatanodes.split(",").includes(hostname)) throw failure;
        this.#passedOver.set(hostname, this.#options.world.clock.nowMs() + passOverMs);
      }
    }
  }

  #retrying<T>(work: () => Promise<T>): Promise<T> {
    return retrying(
      this.#options.world,
      this.#wasHeard ? limits.storageRetryMs : firstRetryMs,
      undefined,
      work,
    );
  }

  /** Asks the NameNode that was active, then the others, until one does not say that it is in standby. */
  async #ofActive(request: HdfsRequest): Promise<Heard> {
    const { origins } = this.#options.servers;
    let unheard: unknown = null;
    let standby: Extract<Heard, { kind: "refusal" }> | null = null;
    for (let i = 0; i < origins.length; i++) {
      const index = (this.#active + i) % origins.length;
      let heard: Heard;
      try {
        heard = await this.#exchange(origins[index]!, request);
      } catch (error) {
        request.signal?.throwIfAborted();
        unheard ??= this.#unheard(error, origins[index]!, request);
        continue;
      }
      this.#wasHeard = true;
      if (heard.kind === "refusal" && isStandby(heard.refusal)) {
        standby = heard;
        continue;
      }
      this.#active = index;
      return heard;
    }
    // Of a pair, the one that is not heard of says more than the one that waits for it.
    throw unheard ?? this.#refused(standby!, request);
  }

  /** Tries one of the two steps again, so that not both have to succeed in a row. */
  async #patiently({ signal, body }: DataRequest, step: () => Promise<Heard>): Promise<Heard> {
    const { random } = this.#options.world;
    for (let tries = 1; ; tries++) {
      let waitMs = pauseMs(tries, random);
      try {
        const heard = await step();
        if (heard.kind === "answer" || tries === triesMax || !isPassingRefusal(heard.refusal)) return heard;
        waitMs = Math.max(waitMs, heard.refusal.retryAfterMs);
      } catch (error) {
        signal?.throwIfAborted();
        const isOver = body !== undefined && body.failure !== null;
        if (isOver || tries === triesMax || !mishapOf(isSheafError(error) ? error.cause : error).isCut)
          throw error;
      }
      await pauseFor(waitMs, signal);
    }
  }

  /** One request and the head of its answer, or the whole of one that refuses. */
  async #exchange(origin: string, request: HdfsRequest): Promise<Heard> {
    const answer = await this.#send(origin, request);
    const { statusCode: status = 0, headers } = answer;
    if (status < 400) {
      const location = status >= 300 ? (headers.location ?? null) : null;
      return { kind: "answer", origin, status, location, body: answer };
    }
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > refusalBytesMax) break;
      chunks.push(chunk);
    }
    const text = Buffer.concat(chunks).toString("utf8");
    return { kind: "refusal", origin, refusal: refusalOf(status, text, headers["retry-after"]) };
  }

  #send(origin: string, { method, path, body, signal }: HdfsRequest): Promise<http.IncomingMessage> {
    const { protocol, hostname, port } = new URL(origin);
    const isSecure = protocol === "https:";
    return new Promise((resolve, reject) => {
      const request = (isSecure ? https : http).request({
        protocol,
        hostname: hostname.replace(/^\[(.*)\]$/, "$1"),
        port,
        path,
        method,
        agent: isSecure ? this.#secure : this.#plain,
        timeout: connectMs,
        headers: {
          // Wanted by servers that have dfs.webhdfs.rest-csrf.enabled.
          "x-xsrf-header": "sheaf",
          ...(method === "PUT" && {
            "content-type": "application/octet-stream",
            "content-length": body?.bytes ?? 0,
          }),
        },
        ...(signal !== undefined && { signal }),
      });
      request.once("socket", (socket) => {
        const connected = (): unknown => socket.setTimeout(silenceMs);
        if (socket.connecting) socket.once("connect", connected);
        else connected();
      });
      request.once("timeout", () =>
        request.destroy(Object.assign(new Error("silence"), { code: "ETIMEDOUT" })),
      );
      request.on("error", reject);
      request.once("response", resolve);
      const content = body?.open();
      if (content instanceof Readable) pipeline(content, request, (error) => error && reject(error));
      else request.end(content);
    });
  }

  async #text(answer: Answer, request: Purpose): Promise<string> {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of this.#pieces(answer, request)) {
      bytes += chunk.length;
      if (bytes > jsonBytesMax) {
        throw new SheafError("LIMIT_EXCEEDED", `${answer.origin} answers more than ${jsonBytesMax} bytes`, {
          hint: this.#options.servers.hint,
        });
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString("utf8");
  }

  async *#pieces({ body, origin }: Answer, request: Purpose): AsyncIterable<Uint8Array> {
    try {
      yield* body as AsyncIterable<Buffer>;
    } catch (error) {
      request.signal?.throwIfAborted();
      throw this.#unheard(error, origin, request);
    }
  }

  #refused({ origin, refusal }: { origin: string; refusal: HdfsRefusal }, request: Purpose): SheafError {
    const { address } = request.target;
    const { hint } = this.#options.servers;
    return refusalError(refusal, { address, doing: request.doing, origin, user: this.user, hint });
  }

  #unheard(error: unknown, origin: string, { target, doing }: Purpose): SheafError {
    if (isSheafError(error)) return error;
    const { what, isLasting } = mishapOf(error);
    const message = `cannot ${doing} ${quotePath(target.address)}: ${origin}: ${what}`;
    return new SheafError("UNREACHABLE", message, {
      hint: this.#options.servers.hint,
      retryable: !isLasting,
      cause: error,
      details: { path: target.address, server: origin },
    });
  }

  #excluded(): string {
    for (const [host, untilMs] of this.#passedOver)
      if (untilMs <= this.#options.world.clock.nowMs()) this.#passedOver.delete(host);
    return [...this.#passedOver.keys()].join(",");
  }
}
