import { once } from "node:events";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as ask,
  type ServerResponse,
} from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from "node:net";

/** What a proxy does to one request. */
export type Fault =
  /** It answers itself. */
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
    }
  /** The connection is cut when so many bytes of the answer's body have gone through; -1: before its head. */
  | { readonly kind: "cut"; readonly afterBytes: number }
  /** The body ends after so many bytes, as if it were whole. */
  | { readonly kind: "truncate"; readonly afterBytes: number }
  /** One byte of the body is another one. */
  | { readonly kind: "damage"; readonly atByte: number }
  /** Other headers in the answer. */
  | { readonly kind: "headers"; readonly headers: Readonly<Record<string, string>> };

export interface Seen {
  /** From 1. */
  readonly number: number;
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

export interface FaultProxy {
  readonly port: number;
  /** Requests so far. */
  readonly seen: Seen[];
  /** Decides about each request from now on. */
  decide(by: ((seen: Seen) => Fault | null | Promise<Fault | null>) | null): void;
  close(): Promise<void>;
}

/**
 * A proxy before an HTTP server on this machine. Addresses of other ports in `Location` are led through it,
 * too.
 */
export async function startFaultProxy(targetPort: number): Promise<FaultProxy> {
  const seen: Seen[] = [];
  let decide: Parameters<FaultProxy["decide"]>[0] = null;
  const sockets = new Set<Socket>();
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const one = {
      number: seen.length + 1,
      method: request.method!,
      url: request.url!,
      headers: request.headers,
    };
    seen.push(one);
    const fault = (await decide?.(one)) ?? null;
    if (fault?.kind === "answer") {
      request.resume();
      response.writeHead(fault.status, fault.headers ?? {}).end(fault.body ?? "");
      return;
    }
    if (fault?.kind === "cut" && fault.afterBytes < 0) {
      request.socket.destroy();
      return;
    }
    const other = /^\/@(\d+)(\/.*)$/.exec(request.url!);
    const port = other === null ? targetPort : Number(other[1]);
    const path = other === null ? request.url! : other[2]!;
    const { rawHeaders: headers, method } = request;
    const to = ask({ host: "127.0.0.1", port, method, path, headers, setHost: false });
    to.on("error", () => request.socket.destroy());
    to.on("response", (answer) => pass(answer, response, fault, ownPort()));
    request.on("error", () => to.destroy());
    response.on("close", () => to.destroy());
    request.pipe(to);
  };
  const server = createServer((request, response) => {
    handle(request, response).catch(() => request.socket.destroy());
  });
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  const ownPort = (): number => (server.address() as AddressInfo).port;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: ownPort(),
    seen,
    decide: (by) => (decide = by),
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

function pass(answer: IncomingMessage, response: ServerResponse, fault: Fault | null, ownPort: number): void {
  const headers: Record<string, string | string[] | undefined> = { ...answer.headers };
  const location = answer.headers.location;
  const away = location === undefined ? null : /^http:\/\/[^/]*?:(\d+)(\/.*)$/.exec(location);
  if (away !== null) headers["location"] = `http://127.0.0.1:${ownPort}/@${away[1]}${away[2]}`;
  if (fault?.kind === "headers") Object.assign(headers, fault.headers);
  if (fault?.kind === "truncate") delete headers["content-length"];
  response.writeHead(answer.statusCode!, headers);
  const left = fault?.kind === "cut" || fault?.kind === "truncate" ? fault.afterBytes : Infinity;
  let gone = 0;
  answer.on("data", (bytes: Buffer) => {
    const some = bytes.subarray(0, Math.max(0, left - gone));
    const at = fault?.kind === "damage" ? fault.atByte - gone : -1;
    if (at >= 0 && at < some.length) some[at]! ^= 1;
    gone += some.length;
    if (some.length > 0 && !response.write(some)) {
      answer.pause();
      response.once("drain", () => answer.resume());
    }
    if (gone < left) return;
    if (fault?.kind === "truncate") response.end();
    // What was written is sent first.
    else setImmediate(() => response.socket?.destroySoon());
    answer.destroy();
  });
  answer.on("end", () => response.end());
  answer.on("error", () => response.destroy());
  if (left === 0) {
    if (fault?.kind === "truncate") response.end();
    else response.destroy();
  }
}

export interface CutProxy {
  readonly port: number;
  /** Bytes from the server that went through, of all connections. */
  passed(): number;
  /** Cuts every connection when so many more bytes have come from the server, and calls `then`. */
  cutAfter(bytes: number, then?: () => void): void;
  close(): Promise<void>;
}

/** A proxy that knows bytes only, for servers that do not speak HTTP. */
export async function startCutProxy(targetPort: number): Promise<CutProxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let passed = 0;
  let cutAt: number | null = null;
  let whenCut: (() => void) | undefined;
  const cutAll = (): void => {
    for (const pair of pairs) for (const socket of pair) socket.destroy();
  };
  const server = createTcpServer({ noDelay: true }, (from) => {
    const to = connect({ port: targetPort, host: "127.0.0.1", noDelay: true });
    const pair = [from, to] as const;
    pairs.add(pair);
    const end = (): void => {
      pairs.delete(pair);
      from.destroy();
      to.destroy();
    };
    for (const socket of pair) socket.on("error", end).on("close", end);
    from.pipe(to);
    to.on("data", (bytes: Buffer) => {
      passed += bytes.length;
      if (cutAt !== null && passed >= cutAt) {
        cutAt = null;
        cutAll();
        whenCut?.();
      } else if (!from.write(bytes)) {
        to.pause();
        from.once("drain", () => to.resume());
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    passed: () => passed,
    cutAfter: (bytes, then) => {
      cutAt = passed + bytes;
      whenCut = then;
    },
    close: async () => {
      cutAll();
      server.close();
      await once(server, "close");
    },
  };
}
