import type { Caller } from "../coordinator/service.ts";
import type { FastifyRequest } from "../vendor/fastify.ts";

/** Who sent the request: by the token it showed and the connection's own address, never by what it says. */
export function callerOf(request: FastifyRequest): Caller {
  return { role: request.caller.who, remote: request.ip };
}
