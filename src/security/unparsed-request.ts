import type { Socket } from "node:net";
import type { ConnectionError } from "../vendor/fastify.ts";
import { answerHeaders } from "./answer-headers.ts";

/**
 * What the parser of HTTP refused has neither path nor headers: it gets an answer made by hand, and no
 * more.
 */
export function answerUnparsed(error: ConnectionError, socket: Socket): void {
  const inFlight = (socket as { readonly _httpMessage?: { readonly headersSent: boolean } | null })
    ._httpMessage;
  if (error.code === "ECONNRESET" || !socket.writable || inFlight?.headersSent === true) {
    socket.destroy();
    return;
  }
  const [status, code, message] = unparsed[error.code] ?? unparsed["any"]!;
  const hint = "Send HTTP/1.1 as RFC 9112 has it; docs/limits.md says how large a request may be.";
  const body = JSON.stringify({ error: { code, message, hint } });
  const headers = {
    ...answerHeaders,
    "content-type": "application/json; charset=utf-8",
    "content-length": Buffer.byteLength(body),
    connection: "close",
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status}\r\n${lines.join("")}\r\n${body}`);
}

/** By the parser's code. An unknown method is refused as any is to those without a token. */
const unparsed: Readonly<Record<string, readonly [status: string, code: string, message: string]>> = {
  HPE_INVALID_METHOD: ["401 Unauthorized", "UNAUTHORIZED", "the method of the request is unknown"],
  HPE_HEADER_OVERFLOW: [
    "431 Request Header Fields Too Large",
    "LIMIT_EXCEEDED",
    "the headers of the request are too large",
  ],
  ERR_HTTP_REQUEST_TIMEOUT: ["408 Request Timeout", "LIMIT_EXCEEDED", "the request took too long to arrive"],
  any: ["400 Bad Request", "MESSAGE_INVALID", "the request is no HTTP that can be read"],
};
