import { request as httpRequest } from "node:http";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A request as it was sent, and where it came by. */
export interface Exchange {
  readonly method: string;
  /** With its query. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** The body another one is put in the place of; null: it is passed on as it is. */
export type ChangeAnswer = (body: Buffer) => Buffer | null;

const keptBytesMax = 256 * 1024;
/** Of each route so many are kept: the first, and then the latest in the place of the oldest but one. */
const keptOfRoute = 12;

/** Passes HTTP on, and keeps what requests said. Answers can be changed on their way back. */
export class Recorder {
  readonly url: string;
  /** By method and path without what differs between jobs. */
  readonly kept = new Map<string, Exchange[]>();
  changeAnswer: ChangeAnswer | null = null;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** @param port asked at each request; null: there is nothing to pass on to */
  static async listen(port: () => number | null): Promise<Recorder> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const recorder = new Recorder(server);
    server.on("request", (request, answer) => recorder.#pass(request, answer, port()));
    return recorder;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #pass(request: IncomingMessage, answer: ServerResponse, port: number | null): void {
    if (port === null) return void answer.destroy();
    const { method = "GET", url = "/", headers } = request;
    const chunks: Buffer[] = [];
    let bytes = 0;
    const onward = httpRequest({ host: "127.0.0.1", port, method, path: url, headers, agent: false });
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= keptBytesMax) chunks.push(chunk);
    });
    request.on("end", () => {
      if (bytes <= keptBytesMax)
        this.#keep({ method, target: url, headers: plain(headers), body: Buffer.concat(chunks) });
    });
    request.pipe(onward);
    onward.on("response", (from) => this.#answer(from, answer));
    onward.on("error", () => answer.destroy());
    answer.on("close", () => onward.destroy());
  }

  #answer(from: IncomingMessage, answer: ServerResponse): void {
    const { statusCode = 500, headers } = from;
    from.on("error", () => answer.destroy());
    if (this.changeAnswer === null || !/json/.test(headers["content-type"] ?? "")) {
      answer.writeHead(statusCode, headers);
      return void from.pipe(answer);
    }
    const chunks: Buffer[] = [];
    from.on("data", (chunk: Buffer) => chunks.push(chunk));
    from.on("end", () => {
      const whole = Buffer.concat(chunks);
      const body = this.changeAnswer?.(whole) ?? whole;
      const { "transfer-encoding": _, ...rest } = headers;
      answer.writeHead(statusCode, { ...rest, "content-length": String(body.length) });
      answer.end(body);
    });
  }

  #keep(exchange: Exchange): void {
    const path = exchange.target.replace(/\?.*/, "").replaceAll(/\d+|[^/]*:[^/]*/g, "N");
    const route = `${exchange.method} ${path}`;
    const kept = this.kept.get(route);
    if (kept === undefined) this.kept.set(route, [exchange]);
    else {
      if (kept.length >= keptOfRoute) kept.splice(1, 1);
      kept.push(exchange);
    }
  }
}

function plain(headers: IncomingMessage["headers"]): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}
