import { createHash } from "node:crypto";
import { serialize } from "node:v8";
import { packageVersion } from "../base/package-places.ts";
import { sha256OfFile } from "../storage/content-check.ts";
import type { JobPrint } from "./kept-state.ts";

/**
 * What results of the job's maps depend on besides its input.
 * @param auxFiles paths of side data, by the path the job names each with
 */
export async function printJob(job: {
  readonly code: string;
  readonly partBytes: number;
  readonly params: Readonly<Record<string, unknown>>;
  readonly auxFiles: Readonly<Record<string, string>>;
}): Promise<JobPrint> {
  const { code, partBytes } = job;
  const params = Object.entries(job.params).map(([name, value]) => [
    name,
    createHash("sha256").update(serialize(value)).digest("hex"),
  ]);
  const aux: [string, string][] = [];
  for (const [file, path] of Object.entries(job.auxFiles))
    aux.push([file, (await sha256OfFile(path)).sha256]);
  return {
    code,
    sheaf: packageVersion(),
    node: process.versions.node,
    partBytes,
    params: Object.fromEntries(params) as Record<string, string>,
    aux: Object.fromEntries(aux),
  };
}

/** Why nothing that a job has kept can be used for one with this print; null when it can. */
export function whatChanged(kept: JobPrint, now: JobPrint): string | null {
  if (kept.sheaf !== now.sheaf) return `what is kept is of sheaf ${kept.sheaf}, this is ${now.sheaf}`;
  if (kept.node !== now.node) return `what is kept was made with Node ${kept.node}, this is ${now.node}`;
  if (kept.code !== now.code) return "the job's code has changed";
  const param = firstDifference(kept.params, now.params);
  if (param !== undefined) return `the param ${param} has another value`;
  const aux = firstDifference(kept.aux, now.aux);
  if (aux !== undefined) return `the side data ${aux} has changed`;
  if (kept.partBytes !== now.partBytes) return "output files are cut at another size";
  return null;
}

function firstDifference(
  a: Readonly<Record<string, string>>,
  b: Readonly<Record<string, string>>,
): string | undefined {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].sort().find((name) => a[name] !== b[name]);
}
