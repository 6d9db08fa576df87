import type { IncomingMessage } from "node:http";
import { isSheafError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { parsePieces, pieceBytesDefault } from "../security/json-pieces.ts";
import { JsonBounds, parseBounded } from "../security/parse-json.ts";
import type { JsonLimits } from "../security/parse-json.ts";
import type { App } from "./app.ts";

/** Params of a job may be nested as values are. */
const depthMax = limits.valueDepthMax + 50;

/** So long at a time is taken for parsing. */
const turnMs = 10;

/**
 * Bodies of JSON, each held to the limits of its route as it comes in. Clients name the type of a body that
 * they leave out ("curl -X PUT -H 'Content-Type: application/json'"): no bytes are no body, and routes that
 * need one say so.
 */
export function takeJson(app: App): void {
  app.removeContentTypeParser("application/json");
  app.addContentTypeParser("application/json", (request, payload, done) => {
    const { bodyLimit, config } = request.routeOptions;
    const bounds = {
      what: "the body",
      depthMax,
      tokenBytesMax: limits.serverTokenBytesMax,
      ...(bodyLimit !== undefined && { bytesMax: bodyLimit }),
      ...(config.bodyValuesMax !== undefined && { valuesMax: config.bodyValuesMax }),
    };
    gather(payload, bounds, Number(request.headers["content-length"] ?? 0)).then(
      (body) => done(null, body),
      (error: unknown) => done(error as Error),
    );
  });
}

/** @param announced bytes that are to come, 0 when it does not say */
function gather(payload: IncomingMessage, bounds: JsonLimits, announced: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const seen = new JsonBounds(bounds);
    const chunks: Buffer[] = [];
    const attempt = (work: () => void): void => {
      try {
        work();
      } catch (error) {
        // What is still to come is neither read nor kept.
        payload.off("data", take).off("end", end).pause();
        const isTooLarge = isSheafError(error) && error.code === "LIMIT_EXCEEDED";
        reject(isTooLarge ? Object.assign(error, { statusCode: 413 }) : (error as Error));
      }
    };
    const take = (chunk: Buffer): void =>
      attempt(() => {
        seen.take(chunk);
        chunks.push(chunk);
      });
    const end = (): void =>
      attempt(() => resolve(chunks.length === 0 ? undefined : parsed(Buffer.concat(chunks), bounds)));
    payload.on("error", reject);
    payload.on("data", take).on("end", end);
    attempt(() => seen.expect(announced));
  });
}

/** Others are served while a large one is parsed. */
function parsed(body: Buffer, bounds: JsonLimits): unknown {
  if (body.length <= pieceBytesDefault) return parseBounded(body, bounds);
  const pieces = parsePieces(body, bounds.what);
  return new Promise((resolve, reject) => {
    const goOn = (): void => {
      try {
        const untilMs = performance.now() + turnMs;
        for (;;) {
          const { done, value } = pieces.next();
          // What is done with it next has a turn of its own.
          if (done === true) return void setImmediate(() => resolve(value));
          if (performance.now() > untilMs) break;
        }
        setImmediate(goOn);
      } catch (error) {
        reject(error as Error);
      }
    };
    goOn();
  });
}
