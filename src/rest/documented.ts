import Type from "typebox";
import { ErrorSchema } from "../protocol/job-view.ts";
import type { FastifyContextConfig, FastifySchema } from "../vendor/fastify.ts";

const binary = { type: "string", format: "binary" } as const;

/**
 * A route's schema as the OpenAPI document has it: with what the server does for every route, and what no
 * schema checks.
 */
export function documented(
  schema: FastifySchema | undefined,
  config: FastifyContextConfig | undefined,
): FastifySchema {
  const { response = {}, produces } = (schema ?? {}) as {
    readonly response?: Readonly<Record<string, unknown>>;
    readonly produces?: readonly string[];
  };
  const content = produces?.map((type) => [
    type,
    {
      schema: type.endsWith("octet-stream")
        ? binary
        : type.endsWith("json")
          ? Type.Object({})
          : Type.String(),
    },
  ]);
  const isOpen = config?.access?.may.includes("anyone") === true;
  return {
    ...schema,
    ...(isOpen && { security: [] }),
    ...(config?.access?.body === "binary" && { consumes: ["application/octet-stream"], body: binary }),
    ...(config?.headers !== undefined && { headers: config.headers }),
    response: {
      ...(content === undefined
        ? {}
        : { 200: { description: "As it is", content: Object.fromEntries(content) } }),
      ...(Object.keys(response).length === 0 && content === undefined
        ? { "2XX": { description: "Done" } }
        : response),
      "4XX": { description: "Refused: the code says why", ...errorContent },
      "5XX": { description: "It failed here", ...errorContent },
    },
  } as FastifySchema;
}

const errorContent = { content: { "application/json": { schema: ErrorSchema } } };
