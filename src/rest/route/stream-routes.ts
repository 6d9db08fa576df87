import { Readable } from "node:stream";
import type { Writable } from "node:stream";
import Type from "typebox";
import type { Coordinator } from "../../coordinator/coordinator.ts";
import type { FastifyReply } from "../../vendor/fastify.ts";
import { access } from "../app.ts";
import type { App } from "../app.ts";
import { goneSignal } from "../gone-signal.ts";
import { JobParams, TaskNameParam } from "../params.ts";

/** Sent when nothing else is: keeps proxies from closing the connection, and finds out who has gone. */
const keepAliveMs = 15_000;
/** A listener that has so much unread gets no more until it has read all of it. */
const unreadBytesMax = 1024 * 1024;

/** What goes on for as long as the job does: events and logs. */
export function streamRoutes(app: App, coordinator: Coordinator): void {
  app.get(
    "/jobs/:job/events",
    {
      config: access.client,
      schema: {
        summary: "Server-sent events of a job, resumed after Last-Event-ID",
        produces: ["text/event-stream"],
        params: JobParams,
        headers: Type.Object({ "last-event-id": Type.Optional(Type.String({ pattern: "^[0-9]{1,15}$" })) }),
      },
    },
    (request, reply) => {
      const after = Number(request.headers["last-event-id"] ?? 0);
      sendEvents(coordinator, request.params.job, after, reply);
      return reply;
    },
  );
  app.get(
    "/jobs/:job/logs",
    {
      config: access.client,
      schema: {
        summary: "What the job's tasks printed; with follow=1 until it ends",
        produces: ["text/plain"],
        params: JobParams,
        querystring: Type.Object(
          { task: Type.Optional(TaskNameParam), follow: Type.Optional(Type.Literal("1")) },
          { additionalProperties: false },
        ),
      },
    },
    ({ params, query }, reply) => {
      const signal = goneSignal(reply);
      const lines = coordinator.clients.logs(
        params.job,
        query.task ?? null,
        query.follow !== undefined,
        signal,
      );
      void reply.header("content-type", "text/plain; charset=utf-8");
      return reply.send(Readable.from(withNewlines(lines)));
    },
  );
}

async function* withNewlines(lines: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const line of lines) yield `${line}\n`;
}

/** When all has been read that was written, or whoever reads it has gone. */
function drained(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off("drain", done).off("close", done);
      resolve();
    };
    if (stream.destroyed) resolve();
    else stream.on("drain", done).on("close", done);
  });
}

/** @throws SheafError before anything is sent, so that it becomes an ordinary answer */
function sendEvents(coordinator: Coordinator, job: string, after: number, reply: FastifyReply): void {
  const { raw } = reply;
  const early: string[] = [];
  let isOpen = false;
  let isDone = false;
  const write = (text: string): void | Promise<void> => {
    if (!isOpen) early.push(text);
    else if (!raw.write(text) && raw.writableLength > unreadBytesMax) return drained(raw);
    return undefined;
  };
  const stop = coordinator.clients.listen(
    job,
    after,
    (number, event) => write(`id: ${number}\ndata: ${event}\n\n`),
    () => {
      isDone = true;
      if (isOpen) raw.end();
    },
  );
  reply.hijack();
  const headers = reply.getHeaders();
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) raw.setHeader(name, value);
  raw.writeHead(200, { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store" });
  isOpen = true;
  raw.write(": sheaf\n\n");
  for (const text of early) raw.write(text);
  if (isDone) {
    raw.end();
    return;
  }
  const keepAlive = (): void => {
    if (raw.writableLength === 0) raw.write(": \n\n");
  };
  const timer = setInterval(keepAlive, keepAliveMs).unref();
  raw.once("close", () => {
    clearInterval(timer);
    stop();
  });
}
