import { describeThrown, isSheafError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import type { ErrorBody } from "../protocol/job-view.ts";
import type { FastifyError, FastifyReply, FastifyRequest } from "../vendor/fastify.ts";

const statusOf: Partial<Record<ErrorCode, number>> = {
  USAGE: 400,
  JOB_INVALID: 400,
  JOB_LOAD: 400,
  UNAUTHORIZED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  VERSION_MISMATCH: 409,
  FENCED: 409,
  OUTPUT_EXISTS: 409,
  BLOCK_CORRUPT: 422,
  LIMIT_EXCEEDED: 429,
  MESSAGE_INVALID: 400,
  DISK_FULL: 507,
  UNREACHABLE: 503,
};

/** Turns whatever a handler threw into an answer; only faults of the coordinator itself are logged. */
export function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  // Of a body that is not read to its end nothing more is wanted.
  if (!request.raw.complete) void reply.header("connection", "close");
  if (hasGone(request)) {
    void reply.code(400).send(bodyOf("MESSAGE_INVALID", "the body was cut off", null));
    return;
  }
  if (isSheafError(error)) {
    const { statusCode: given } = error as { readonly statusCode?: number };
    const status = given ?? statusOf[error.code] ?? 500;
    // A disk without room is no bug, and refuses many requests: no stack for each.
    if (error.code === "DISK_FULL") request.log.warn(error.message);
    else if (status >= 500) request.log.error({ err: error }, "a request failed");
    void reply.code(status).send(bodyOf(error.code, error.message, error.hint ?? null));
    return;
  }
  const { statusCode, validation } = error as Partial<FastifyError>;
  if (validation !== undefined) {
    const message = `the request is not understood: ${describeThrown(error)}`;
    void reply
      .code(400)
      .send(
        bodyOf("USAGE", message, "GET /openapi.json describes every request; the message names the field."),
      );
    return;
  }
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    const code = statusCode === 413 ? "LIMIT_EXCEEDED" : "USAGE";
    void reply.code(statusCode).send(bodyOf(code, describeThrown(error), null));
    return;
  }
  request.log.error({ err: error }, "a request failed");
  const hint = "This is a bug in sheaf; the coordinator's log has the details.";
  void reply.code(500).send(bodyOf("INTERNAL", "the coordinator failed on this request", hint));
}

/** Whoever sent it has left before its end: nothing failed here, and nobody reads the answer. */
function hasGone({ raw }: FastifyRequest): boolean {
  return !raw.complete && (raw.errored as NodeJS.ErrnoException | null)?.code === "ECONNRESET";
}

export function bodyOf(code: string, message: string, hint: string | null): ErrorBody {
  return { error: { code, message, hint } };
}
