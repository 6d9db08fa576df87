import { SheafError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { retrying } from "../../base/retry.ts";
import { Agent, EnvHttpProxyAgent } from "../../vendor/undici.ts";
import type { Dispatcher } from "../../vendor/undici.ts";
import { quotePath } from "../fs-error.ts";
import { RangedReads } from "../ranged-reads.ts";
import type { FileToRead, RangeReader, Store, StoredFile, StoreSettings, StoreStep } from "../store.ts";
import { checkedLookup, checkUrl } from "./guarded-fetch.ts";
import {
  busyServer,
  changedFile,
  connectionFailed,
  missingFile,
  refusedFile,
  slowAnswer,
  unreadableFile,
} from "./http-errors.ts";
import { netrcLogin, readNetrc } from "./netrc.ts";

/*
 * Files of web servers (RFC 9110). A read asks for a range of the version that was listed: If-Match with its
 * strong ETag, or If-Unmodified-Since with its time, and If-Range the same, so that a server that knows but
 * one of them does not answer with bytes of another version. Answers are taken at their word only where two
 * words agree: Content-Range with what was asked for, ETag and Last-Modified with the version.
 */

const connectTimeoutMs = 10_000;
/** Nothing comes for so long: the connection is given up, and the request made again. */
const silenceMs = 30_000;
/** Of one range: a server that lets bytes drip is asked again for what did not come. */
const requestMsMax = 300_000;
const redirectsMax = 10;
/** A time of last change says which version it is when the server's clock was so much further. */
const settledMs = 2_000;

/** Statuses that may be others a moment later. */
const PASSING: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);
/** Encodings that a name announces: its file is what is sent. */
const ANNOUNCED: Readonly<Record<string, RegExp>> = {
  gzip: /\.(?:gz|tgz)$/i,
  "x-gzip": /\.(?:gz|tgz)$/i,
  zstd: /\.zst$/i,
  bzip2: /\.bz2$/i,
  "x-bzip2": /\.bz2$/i,
};

type Headers = Readonly<Record<string, string | string[] | undefined>>;

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Dispatcher.ResponseData["body"];
  /** Where it came from in the end. */
  readonly url: URL;
  /** Its body may take any time from now on, as long as something comes. */
  readonly unlimited: () => void;
}

interface AskOptions {
  /** The address that was given, where `url` is one that it leads to. Logins are for its origin. */
  readonly own?: URL;
  readonly signal?: AbortSignal;
}

export function createStore(_scheme: string, settings: StoreSettings): Store {
  return new HttpStore(settings);
}

class HttpStore implements Store {
  readonly #settings: StoreSettings;
  readonly #dispatcher: Dispatcher;
  #netrc: string | null = null;

  constructor(settings: StoreSettings) {
    const { env, fetch } = settings;
    this.#settings = settings;
    const options = { headersTimeout: silenceMs, bodyTimeout: silenceMs, connections: 64 };
    const connect = { timeout: connectTimeoutMs };
    // A proxy looks names up itself: nobody here could say where that leads.
    this.#dispatcher =
      fetch === null
        ? new EnvHttpProxyAgent({ ...options, connect, proxyTunnel: false, ...proxiesOf(env) })
        : new Agent({ ...options, connect: { ...connect, lookup: checkedLookup(fetch) } });
  }

  canonical(address: string): string {
    return urlOf(address).href;
  }

  async stat(address: string): Promise<StoredFile | null> {
    const url = urlOf(address);
    return this.#trying(address, async () => {
      const answer = await this.#ask(url, address, { range: "bytes=0-0" });
      // One byte, or a whole file that nobody wants now.
      if (answer.status === 206) await answer.body.dump();
      else answer.body.destroy();
      return fileOf(url.href, answer);
    });
  }

  open(file: FileToRead): Promise<RangeReader> {
    // Of redirects the end is kept, until it does not answer any more: it may be valid for a time only.
    let at: URL | null = null;
    const stream = async function* (this: HttpStore, start: number, end: number, signal: AbortSignal) {
      const own = urlOf(file.address);
      let answer: Answer;
      try {
        answer = await this.#range(at ?? own, file, start, end, signal);
      } catch (error) {
        at = null;
        throw error;
      }
      if (at !== null && answer.status !== 206) {
        answer.body.destroy();
        at = null;
        answer = await this.#range(own, file, start, end, signal);
      }
      checkRange(answer, file, start, end);
      at = answer.url;
      yield* answer.body as AsyncIterable<Uint8Array>;
    }.bind(this);
    return Promise.resolve(new RangedReads(file, stream, this.#settings.world));
  }

  async *copy(address: string, step: StoreStep): AsyncIterable<Uint8Array> {
    const answer = await this.#trying(address, () => this.#ask(urlOf(address), address, {}));
    // It cannot be gone on with.
    answer.unlimited();
    try {
      if (answer.status === 404 || answer.status === 410) throw missingFile(address);
      if (answer.status !== 200) throw refusedFile(address, answer.status);
      checkEncoding(address, answer);
      const sized = one(answer.headers, "content-length") !== undefined;
      if (!sized && !/\bchunked\b/i.test(one(answer.headers, "transfer-encoding") ?? "")) {
        throw unreadableFile(
          address,
          "the server does not say where its answer ends, so that a cut one looks whole",
        );
      }
      for await (const bytes of answer.body as AsyncIterable<Uint8Array>) {
        step?.();
        yield bytes;
      }
    } finally {
      answer.body.destroy();
    }
  }

  #range(url: URL, file: FileToRead, start: number, end: number, signal: AbortSignal): Promise<Answer> {
    const version = versionIn(file.version);
    return this.#ask(
      url,
      file.name,
      {
        range: `bytes=${start}-${end - 1}`,
        "if-range": version.value,
        [version.kind === "etag" ? "if-match" : "if-unmodified-since"]: version.value,
      },
      { own: urlOf(file.address), signal },
    );
  }

  #trying<T>(address: string, work: () => Promise<T>): Promise<T> {
    return retrying(this.#settings.world, limits.storageRetryMs, undefined, async () => {
      try {
        return await work();
      } catch (error) {
        throw connectionFailed(address, error);
      }
    });
  }

  /** Follows redirects. @throws SheafError for statuses that pass, and addresses that are not allowed */
  async #ask(
    url: URL,
    name: string,
    headers: Record<string, string>,
    { own = url, signal }: AskOptions = {},
  ): Promise<Answer> {
    const over = new AbortController();
    const limit = AbortSignal.timeout(requestMsMax);
    const tooLong = (): void => over.abort(slowAnswer(name, requestMsMax));
    limit.addEventListener("abort", tooLong);
    const unlimited = (): void => limit.removeEventListener("abort", tooLong);
    let at = url;
    for (let redirects = 0; redirects <= redirectsMax; redirects++) {
      if (this.#settings.fetch !== null) checkUrl(at, this.#settings.fetch, name);
      // Whoever answered with a redirect does not say who gets the password.
      const login = at.origin === own.origin ? this.#login(at) : {};
      const {
        statusCode,
        headers: got,
        body,
      } = await this.#dispatcher.request({
        origin: at.origin,
        path: at.pathname + at.search,
        method: "GET",
        headers: { "accept-encoding": "identity", accept: "*/*", ...login, ...headers },
        signal: signal === undefined ? over.signal : AbortSignal.any([signal, over.signal]),
      });
      // What is aborted later fails whoever reads it, and nobody may.
      body.on("error", () => undefined);
      const to = one(got, "location");
      if (![301, 302, 303, 307, 308].includes(statusCode) || to === undefined) {
        body.on("close", unlimited);
        if (!PASSING.has(statusCode)) return { status: statusCode, headers: got, body, url: at, unlimited };
        body.destroy();
        throw busyServer(name, statusCode, one(got, "retry-after"), this.#settings.world.clock.wallMs());
      }
      body.destroy();
      const next = URL.canParse(to, at.href) ? new URL(to, at.href) : null;
      if (next === null || !/^https?:$/.test(next.protocol) || next.username !== "") {
        throw unreadableFile(name, "the server leads to an address that is none of http or https");
      }
      at = next;
    }
    throw unreadableFile(
      name,
      `the server leads from one address to another, more than ${redirectsMax} times`,
    );
  }

  #login(url: URL): Record<string, string> {
    this.#netrc ??= readNetrc(this.#settings.env);
    const found = this.#netrc === "" ? null : netrcLogin(this.#netrc, url.hostname);
    if (found === null) return {};
    const pair = Buffer.from(`${found.login}:${found.password}`).toString("base64");
    return { authorization: `Basic ${pair}` };
  }
}

/** @throws SheafError USAGE for what is no URL, and for one with a password in it */
function urlOf(address: string): URL {
  if (!URL.canParse(address)) {
    throw new SheafError("USAGE", `input ${quotePath(address)} is no URL`, {
      hint: "Encode spaces and the like: https://host/a%20b.csv",
    });
  }
  const url = new URL(address);
  url.hash = "";
  if (url.username === "" && url.password === "") return url;
  throw new SheafError(
    "USAGE",
    `input ${quotePath(`${url.origin}${url.pathname}`)} was given with a user in it`,
    {
      hint: `Put it into ~/.netrc: machine ${url.hostname} login USER password PASSWORD`,
    },
  );
}

function proxiesOf(env: StoreSettings["env"]) {
  const named = (name: string): string => env[name] ?? env[name.toUpperCase()] ?? "";
  // HTTP_PROXY in capitals is what a web server gives programs of a header "Proxy".
  const httpProxy = env["http_proxy"] ?? "";
  return { httpProxy, httpsProxy: named("https_proxy"), noProxy: named("no_proxy") };
}

function one(headers: Headers, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(", ") : value;
}

/** What the first byte's answer says of a file; null when there is none. */
function fileOf(address: string, answer: Answer): StoredFile | null {
  const { status, headers } = answer;
  if (status === 404 || status === 410) return null;
  if (status !== 200 && status !== 206 && status !== 416) throw refusedFile(address, answer.status);
  checkEncoding(address, answer);
  const mtimeMs = Date.parse(one(headers, "last-modified") ?? "") || 0;
  const range = contentRange(headers);
  const length = Number(one(headers, "content-length") ?? Number.NaN);
  // An empty file has no first byte: some say so with 416, some send nothing.
  const bytes = status === 200 ? (length === 0 ? 0 : null) : (range?.total ?? null);
  const version = bytes === null ? null : (versionOf(headers) ?? (bytes === 0 ? "time:empty" : null));
  if (status === 416 && bytes !== 0) throw unreadableFile(address, "the server does not give its first byte");
  if (bytes === null || version === null) return { address, bytes: null, mtimeMs, version: null };
  return { address, bytes, mtimeMs, version, ...(isDigest(version) && { exact: true }) };
}

/** "etag:..." or "time:...", as `version` has them. */
function versionOf(headers: Headers): string | null {
  const etag = one(headers, "etag");
  if (etag !== undefined && /^"[\x21\x23-\x7e\x80-\xff]*"$/.test(etag) && etag.length <= 1_000)
    return `etag:${etag}`;
  const modified = one(headers, "last-modified") ?? "";
  const behindMs = Date.parse(one(headers, "date") ?? "") - Date.parse(modified);
  return behindMs >= settledMs ? `time:${modified}` : null;
}

function versionIn(version: string): { readonly kind: string; readonly value: string } {
  const at = version.indexOf(":");
  return { kind: version.slice(0, at), value: version.slice(at + 1) };
}

/** ETags that are made of what the file has, not of its time and size. */
function isDigest(version: string): boolean {
  return /^etag:"(?:[0-9a-f]{32,}(?:-\d+)?)"$/i.test(version);
}

/** Of bytes `start` to `end`, both included. */
function contentRange(headers: Headers): { start: number; end: number; total: number | null } | null {
  const found = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/i.exec(one(headers, "content-range") ?? "");
  if (found === null) return null;
  const [, start = "0", end = "-1", total = "*"] = found;
  return { start: Number(start), end: Number(end), total: total === "*" ? null : Number(total) };
}

/** @throws SheafError unless it is what was asked for, of the version that was listed */
function checkRange(answer: Answer, file: FileToRead, start: number, end: number): void {
  try {
    checkVersion(answer, file);
    const range = contentRange(answer.headers);
    if (range === null || range.start !== start || range.end >= end) {
      const said = one(answer.headers, "content-range") ?? "no Content-Range";
      throw unreadableFile(file.name, `the server was asked for bytes ${start}-${end - 1}, and gave ${said}`);
    }
    if (range.total !== null && range.total !== file.bytes)
      throw changedFile(file.name, `it has ${range.total} bytes, ${file.bytes} were expected`);
    checkEncoding(file.name, answer);
  } catch (error) {
    answer.body.destroy();
    throw error;
  }
}

function checkVersion({ status, headers }: Answer, file: FileToRead): void {
  const { kind, value } = versionIn(file.version);
  const etag = one(headers, "etag");
  const modified = one(headers, "last-modified");
  if (status === 404 || status === 410) throw changedFile(file.name, "it is gone");
  if (status === 412 || status === 416) throw changedFile(file.name, "there is another version");
  if (status !== 200 && status !== 206) throw refusedFile(file.name, status);
  if (kind === "etag" ? (etag ?? value) !== value : (modified ?? value) !== value)
    throw changedFile(file.name, "there is another version");
  if (status === 206) return;
  if (etag === undefined && modified === undefined) throw changedFile(file.name, "there is another version");
  throw unreadableFile(file.name, "the server gives ranges of it at one time and not at another");
}

/** @throws SheafError when what is sent is not the file but something made of it */
function checkEncoding(name: string, { headers, url }: Answer): void {
  const encoding = (one(headers, "content-encoding") ?? "identity").toLowerCase();
  if (encoding === "identity" || encoding === "") return;
  if (Object.hasOwn(ANNOUNCED, encoding) && ANNOUNCED[encoding]!.test(url.pathname)) return;
  throw unreadableFile(
    name,
    `the server sends it encoded (Content-Encoding: ${encoding}), though it was asked not to`,
  );
}
