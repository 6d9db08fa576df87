import type { Readable } from "node:stream";
import type { ConnectionOptions } from "node:tls";
import type { Clock } from "../base/clock.ts";
import { systemClock } from "../base/clock.ts";
import type { ErrorCode } from "../base/errors.ts";
import { SheafError, isSheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { retrying } from "../base/retry.ts";
import { MiB } from "../base/size.ts";
import { toWireJson } from "../base/wire-json.ts";
import { HEADERS, PROTOCOL_VERSION } from "../protocol/version.ts";
import { connectionError } from "../security/connection-error.ts";
import { JsonBounds, parseBounded } from "../security/parse-json.ts";
import { describeTlsError } from "../security/tls-error.ts";
import { Agent } from "../vendor/undici.ts";
import type { Dispatcher } from "../vendor/undici.ts";

const connectTimeoutMs = 5_000;
const answerTimeoutMsDefault = 10_000;
/** A body of which nothing comes for so long is cut off. */
const silenceMsMax = 45_000;
const jsonBytesMax = 256 * MiB;
/** Params of a job may be nested as values are. */
const jsonBounds = {
  what: "it",
  bytesMax: jsonBytesMax,
  depthMax: limits.valueDepthMax + 50,
  // The attempts of a job of 200,000 tasks.
  valuesMax: 20_000_000,
};
const errorBytesMax = 256 * 1024;

/** What Node's TLS is told of certificates; absent: the system's authorities, no certificate of one's own. */
export type ClientTls = Pick<
  ConnectionOptions,
  "ca" | "cert" | "key" | "minVersion" | "servername" | "rejectUnauthorized" | "checkServerIdentity"
>;

export interface HttpOptions {
  /** "http://127.0.0.1:7077". A path in it goes before every path that is asked for. */
  readonly url: string;
  /** Sent as `Authorization: Bearer`; null: none is sent. */
  readonly token: string | null;
  /** Certificates for https: what `loadTls(...).client` of security/ gives. */
  readonly tls?: ClientTls;
  /** What to do when it is not let in (401), if not what the server says. */
  readonly refusedHint?: string;
  /** How long calls are retried that say nothing else, ms. Default 15,000. */
  readonly retryMs?: number;
  readonly clock?: Clock;
  readonly random?: () => number;
}

/** What every call may be told. */
export interface CallOptions {
  readonly signal?: AbortSignal;
  /** How long to wait for an answer, ms. Default 10,000 (long polls: 15 s more than they are held). */
  readonly timeoutMs?: number;
  /** How long to go on trying when nothing answers or what answers is not ready, ms; 0: one try. */
  readonly retryMs?: number;
}

/** A body that can be sent again from its start. */
export interface UploadSource {
  open(): Readable;
  readonly bytes: number;
}

export interface HttpRequest extends CallOptions {
  readonly method: "GET" | "HEAD" | "POST" | "PUT";
  /** With its leading slash; its parts encoded. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  readonly upload?: UploadSource;
  /** Statuses of 400 and more that are answers, not errors. */
  readonly allow?: readonly number[];
}

/** An answer whose body has not been read: read it whole, or destroy it. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Readable;
}

/** One server, its connections, and how it is spoken to. */
export class Http {
  readonly url: string;
  readonly #origin: string;
  readonly #prefix: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #agent: Agent;
  readonly #retryMs: number;
  readonly #refusedHint: string | undefined;
  readonly #world: { readonly clock: Clock; readonly random: () => number };

  /** @throws SheafError USAGE when the URL is none of http or https */
  constructor(options: HttpOptions) {
    const url = serverUrl(options.url);
    this.#origin = url.origin;
    this.#prefix = url.pathname.replace(/\/+$/, "");
    this.url = `${this.#origin}${this.#prefix}`;
    this.#headers = {
      [HEADERS.protocol]: String(PROTOCOL_VERSION),
      ...(options.token === null ? {} : { authorization: `Bearer ${options.token}` }),
    };
    // As many connections as there are calls at one time: long polls hold theirs.
    this.#agent = new Agent({ connect: { timeout: connectTimeoutMs, ...options.tls }, pipelining: 1 });
    this.#refusedHint = options.refusedHint;
    this.#retryMs = options.retryMs ?? 15_000;
    this.#world = { clock: options.clock ?? systemClock, random: options.random ?? Math.random };
  }

  /** The answer's body, from JSON. */
  json<T>(request: HttpRequest): Promise<T> {
    return this.#retrying(request, async () => {
      const answer = await this.#once(request);
      const bounds = new JsonBounds(jsonBounds);
      const notJson = (cause: unknown): never => {
        throw new SheafError("INTERNAL", `${this.#name(request)}: the answer is not JSON`, {
          hint: "Check that the URL is that of a sheaf coordinator.",
          cause,
        });
      };
      const bytes = await this.#read(answer, request, jsonBytesMax, (chunk) => {
        try {
          bounds.take(chunk);
        } catch (error) {
          notJson(error);
        }
      });
      if (bytes.length === 0 && answer.status === 204) return undefined as T;
      try {
        return parseBounded(bytes, jsonBounds) as T;
      } catch (error) {
        return notJson(error);
      }
    });
  }

  /** The answer's status; its body is thrown away. */
  status(request: HttpRequest): Promise<number> {
    return this.#retrying(request, async () => {
      const answer = await this.#once(request);
      await this.#read(answer, request, jsonBytesMax);
      return answer.status;
    });
  }

  /**
   * The answer with its body as it comes: retried until the answer begins, not after. The body may fail with
   * what `bodyError` turns into a SheafError.
   */
  stream(request: HttpRequest): Promise<HttpAnswer> {
    return this.#retrying(request, () => this.#once(request));
  }

  /** The SheafError of a failure while the body of `stream` was read. */
  bodyError(error: unknown, request: Pick<HttpRequest, "path" | "timeoutMs">): SheafError {
    if (isSheafError(error)) return error;
    return this.#failed(error, request, silenceMsMax);
  }

  /** Ends all connections; calls under way fail. */
  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  #retrying<T>(request: HttpRequest, work: () => Promise<T>): Promise<T> {
    return retrying(this.#world, request.retryMs ?? this.#retryMs, request.signal, work);
  }

  #name(request: Pick<HttpRequest, "path">): string {
    return `${this.url}${request.path}`;
  }

  #failed(error: unknown, request: Pick<HttpRequest, "path">, waitedMs: number): SheafError {
    const name = this.#name(request);
    return describeTlsError(error, name) ?? connectionError(error, name, waitedMs);
  }

  async #once(request: HttpRequest): Promise<HttpAnswer> {
    request.signal?.throwIfAborted();
    const headersTimeout = request.timeoutMs ?? answerTimeoutMsDefault;
    let answer: Dispatcher.ResponseData;
    try {
      answer = await this.#agent.request({
        origin: this.#origin,
        path: `${this.#prefix}${request.path}${queryText(request.query)}`,
        method: request.method,
        ...bodyOf(request, { ...this.#headers, ...request.headers }),
        headersTimeout,
        bodyTimeout: silenceMsMax,
        ...(request.signal === undefined ? {} : { signal: request.signal }),
      });
    } catch (error) {
      request.signal?.throwIfAborted();
      // A file to be sent that cannot be read: not the connection's fault, and its error names the file.
      if (error instanceof Error && "path" in error) throw error;
      throw this.#failed(error, request, headersTimeout);
    }
    const { statusCode: status, headers, body } = answer;
    if (status < 300 || request.allow?.includes(status) === true) return { status, headers, body };
    const text = await this.#read({ status, headers, body }, request, errorBytesMax);
    const error = errorOfAnswer(status, text.toString("utf8"), this.#name(request));
    if (status !== 401 || this.#refusedHint === undefined) throw error;
    throw new SheafError(error.code, error.message, { hint: this.#refusedHint, details: error.details });
  }

  async #read(
    answer: HttpAnswer,
    request: HttpRequest,
    bytesMax: number,
    each: (chunk: Buffer) => void = () => undefined,
  ): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > bytesMax) break;
        each(chunk);
        chunks.push(chunk);
      }
    } catch (error) {
      request.signal?.throwIfAborted();
      throw this.bodyError(error, request);
    }
    if (bytes > bytesMax) {
      throw new SheafError(
        "LIMIT_EXCEEDED",
        `${this.#name(request)}: the answer is larger than ${bytesMax} bytes`,
        { hint: "Ask for less: lists take a limit." },
      );
    }
    return Buffer.concat(chunks);
  }
}

/** @throws SheafError USAGE */
function serverUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url !== null && (url.protocol === "http:" || url.protocol === "https:") && url.username === "")
    return url;
  const near = /^[\w.-]+(?::\d+)?$/.test(text) ? ` Did you mean http://${text}?` : "";
  throw new SheafError("USAGE", `"${text}" is not the URL of a coordinator`, {
    hint: `Give it as http://HOST:PORT (or https), for example http://127.0.0.1:7077.${near}`,
  });
}

function queryText(query: HttpRequest["query"]): string {
  const given = Object.entries(query ?? {}).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, String(value)]],
  );
  return given.length === 0 ? "" : `?${new URLSearchParams(given).toString()}`;
}

function bodyOf(
  request: HttpRequest,
  headers: Readonly<Record<string, string>>,
): { headers: Record<string, string>; body?: string | Readable } {
  if (request.upload !== undefined) {
    const { bytes } = request.upload;
    const type = { "content-type": "application/octet-stream", "content-length": String(bytes) };
    return { headers: { ...headers, ...type }, body: request.upload.open() };
  }
  if (request.json === undefined) return { headers: { ...headers } };
  return { headers: { ...headers, "content-type": "application/json" }, body: toWireJson(request.json) };
}

/** Statuses after which the same request may succeed a little later; 507: there is no room on its disk. */
const passing = new Set([502, 503, 504, 507]);

/**
 * The error an answer stands for. Its body is `{ error: { code, message, hint } }` when it is sheaf that
 * answers; anything else is told as it is, by its status.
 */
function errorOfAnswer(status: number, body: string, url: string): SheafError {
  const known = sheafErrorIn(body);
  const retryable = passing.has(status);
  const details = { url, status };
  if (known !== null) {
    const hint = known.hint === null ? {} : { hint: known.hint };
    return new SheafError(known.code, known.message, { ...hint, retryable, details });
  }
  if (retryable) {
    return new SheafError("UNREACHABLE", `${url}: answered ${status}: it is not ready`, {
      hint: "It is starting, or a proxy before it finds nothing behind.",
      retryable,
      details,
    });
  }
  const code: ErrorCode = status === 401 ? "UNAUTHORIZED" : status === 404 ? "NOT_FOUND" : "INTERNAL";
  return new SheafError(code, `${url}: answered ${status}, and not in the words of sheaf`, {
    hint: "Check that the URL is that of a sheaf coordinator, with no proxy between that asks for more.",
    details,
  });
}

function sheafErrorIn(body: string): { code: ErrorCode; message: string; hint: string | null } | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return null;
  }
  if (typeof parsed !== "object" || parsed === null || !("error" in parsed)) return null;
  const inner = parsed.error;
  if (typeof inner !== "object" || inner === null || !("code" in inner) || !("message" in inner)) return null;
  const { code, message } = inner;
  if (typeof code !== "string" || !/^[A-Z][A-Z_]{1,39}$/.test(code) || typeof message !== "string")
    return null;
  const hint = "hint" in inner && typeof inner.hint === "string" ? inner.hint : null;
  return { code: code as ErrorCode, message, hint };
}
