import { createHash } from "node:crypto";
import { serialize } from "node:v8";
import { packageVersion } from "../base/package-places.ts";
import type { JobPrint } from "./kept-state.ts";

/**
 * What results of the job's maps depend on besides its input, of a job that runs with this sheaf and Node.
 * @param aux the files of its side data, by name, with the SHA-256 of what they hold
 */
export function printJob(job: {
  readonly code: string;
  readonly partBytes: number;
  readonly params: Readonly<Record<string, unknown>>;
  readonly aux: readonly (readonly [name: string, sha256: string])[];
  readonly collections: readonly { readonly merges?: string | undefined }[];
}): JobPrint {
  const { code, partBytes } = job;
  const params = Object.entries(job.params).map(([name, value]) => [
    name,
    createHash("sha256").update(serialize(value)).digest("hex"),
  ]);
  return {
    code,
    sheaf: packageVersion(),
    node: process.versions.node,
    partBytes,
    params: Object.fromEntries(params) as Record<string, string>,
    aux: Object.fromEntries(job.aux),
    merges: job.collections.map(({ merges = null }) => merges),
  };
}

/**
 * Why nothing that a job has kept can be used for one with this print; null when it can.
 * @param mends its code is another, of which its user says that it gives the same where nothing went wrong
 */
export function whatChanged(kept: JobPrint, now: JobPrint, mends = false): string | null {
  if (kept.sheaf !== now.sheaf) return `what is kept is of sheaf ${kept.sheaf}, this is ${now.sheaf}`;
  if (kept.node !== now.node) return `what is kept was made with Node ${kept.node}, this is ${now.node}`;
  if (mends) {
    const merges = now.merges ?? [];
    if (merges.includes(null) || kept.merges === undefined)
      return "the job has a combine, partition, groupBy or total order, or what is kept is of an earlier sheaf";
    if (JSON.stringify(kept.merges) !== JSON.stringify(merges))
      return "the job's reduce or output is another one by now";
  } else if (kept.code !== now.code) return "the job's code has changed";
  const param = firstDifference(kept.params, now.params);
  if (param !== undefined) return `the param ${param} has another value`;
  const aux = firstDifference(kept.aux, now.aux);
  if (aux !== undefined) return `${dataText(aux)} has changed`;
  if (kept.partBytes !== now.partBytes) return "output files are cut at another size";
  return null;
}

/** What messages call a name of JobPrint.aux. */
function dataText(name: string): string {
  let known: unknown;
  try {
    known = JSON.parse(name);
  } catch {
    known = null;
  }
  // Whatever it says, it comes from a file.
  if (!Array.isArray(known)) return `the side data ${name}`;
  const [kind, source, file = source] = known.map(String);
  if (kind !== "aux") return `the ${kind} ${source}`;
  return `the side data ${file === source ? file : `${source}: ${file}`}`;
}

function firstDifference(
  a: Readonly<Record<string, string>>,
  b: Readonly<Record<string, string>>,
): string | undefined {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].sort().find((name) => a[name] !== b[name]);
}
