import type { Socket } from "node:net";
import type { onRequestHookHandler } from "../vendor/fastify.ts";

/**
 * A hook for the first of a request: ends a connection on which more than `most` requests wait for their
 * answers. Answers are kept in memory until those before them have been read, so a small heap of requests
 * whose answers nobody reads would otherwise make a server grow by a thousand times as much.
 */
export function queueHook(most: number): onRequestHookHandler {
  const waiting = new WeakMap<Socket, number>();
  return ({ raw: { socket } }, reply, done) => {
    const count = (waiting.get(socket) ?? 0) + 1;
    if (socket.destroyed || count > most) {
      // What was read together with the last of them comes here all the same.
      socket.destroy();
      reply.hijack();
      return;
    }
    waiting.set(socket, count);
    reply.raw.once("close", () => waiting.set(socket, waiting.get(socket)! - 1));
    done();
  };
}
