import { connect } from "node:net";
import type { TestContext } from "node:test";

export interface RawAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly raw: string;
}

/**
 * Sends these bytes over a connection of their own and reads until the server closes it or `deadlineMs` has
 * passed without it. No client of ours is in between: what is sent is what arrives.
 */
export function sendRaw(port: number, bytes: string | Uint8Array, deadlineMs = 60_000): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    const chunks: Buffer[] = [];
    const timer = setTimeout(() => socket.destroy(new Error(`no end of the answer: ${text()}`)), deadlineMs);
    const text = (): string => Buffer.concat(chunks).toString("latin1");
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      // A server that refuses early may reset what it has not read; its answer counts all the same.
      if (chunks.length > 0 && (error.code === "ECONNRESET" || error.code === "EPIPE"))
        resolve(parse(text()));
      else reject(error);
    });
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(parse(text()));
    });
    socket.write(bytes);
  });
}

export interface RawRequest {
  readonly method?: string;
  readonly target?: string;
  readonly host?: string | null;
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** A request of HTTP/1.1 as it goes over the wire; the connection is closed after it. */
export function rawRequest(port: number, request: RawRequest): string {
  const { method = "GET", target = "/", host = `127.0.0.1:${port}`, token, headers = {}, body } = request;
  const lines = [`${method} ${target} HTTP/1.1`, "Connection: close"];
  if (host !== null) lines.push(`Host: ${host}`);
  if (token !== undefined) lines.push(`Authorization: Bearer ${token}`);
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  if (body !== undefined) lines.push(`Content-Length: ${Buffer.byteLength(body)}`);
  return `${lines.join("\r\n")}\r\n\r\n${body ?? ""}`;
}

export function ask(port: number, request: RawRequest): Promise<RawAnswer> {
  return sendRaw(port, rawRequest(port, request));
}

/** The code of an error body. */
export function codeOf(answer: RawAnswer): string {
  return (JSON.parse(answer.body) as { readonly error: { readonly code: string } }).error.code;
}

function parse(raw: string): RawAnswer {
  const [head = "", ...rest] = raw.split("\r\n\r\n");
  const [first = "", ...lines] = head.split("\r\n");
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(first)?.[1] ?? 0);
  return { status, headers, body: rest.join("\r\n\r\n"), raw };
}

/** Closes what it is given when the test ends. */
export function closing<T extends { close(): Promise<unknown> }>(t: TestContext, server: T): T {
  t.after(() => server.close());
  return server;
}
