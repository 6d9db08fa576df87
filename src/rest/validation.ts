import type { FastifySchemaCompiler } from "../vendor/fastify.ts";
import { Compile } from "typebox/compile";
import { Convert } from "typebox/value";
import type { TSchema } from "typebox";

/**
 * Checks requests against their schemas. Paths, queries and headers are texts and converted first; bodies
 * are taken as they are, and a field that no schema knows is an error.
 */
export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const check = Compile(schema);
  return (data: unknown) => {
    const value = httpPart === "body" ? data : Convert(schema, data);
    if (check.Check(value)) return { value };
    const [first] = check.Errors(value);
    const place = `${httpPart ?? "request"}${first?.instancePath ?? ""}`;
    return {
      error: new Error(`${place} ${first?.message ?? "is not what it should be"}${unknownFields(first)}`),
    };
  };
};

function unknownFields(error: { readonly keyword: string; readonly params: object } | undefined): string {
  if (error?.keyword !== "additionalProperties") return "";
  const { additionalProperties } = error.params as { readonly additionalProperties?: unknown };
  return Array.isArray(additionalProperties) ? `: ${additionalProperties.join(", ")}` : "";
}
