import { resolve } from "node:path";
import { SheafError } from "../base/errors.ts";
import { type HasInputs, pathsByInput, readInput } from "../engine/inputs.ts";
import type { ResolvedOptions } from "../engine/resolve-options.ts";
import type { OutputTarget, Submission } from "../protocol/submission.ts";
import { isLoopback } from "../security/host-list.ts";
import { isAddressInside } from "../storage/address-roots.ts";
import { patternBase } from "../storage/glob.ts";
import { refuseAddress } from "../storage/list-input.ts";
import { splitAddress } from "../storage/store.ts";
import { isStored, storedOutput } from "../storage/stores.ts";

/* Where a job of a cluster reads and writes, and whether it may. */

/** Marks a path that every agent looks up in its own files. */
const agentScheme = "agent:";

/**
 * The inputs as the cluster is told of them: absolute, since it has another current directory.
 * @param job tells the names of its inputs, when it has several
 * @param roots directories jobs may read and write by path
 * @param mayLack as pathsByInput
 * @throws SheafError USAGE as pathsByInput, and for standard input; FORBIDDEN for a path outside the roots
 */
export function inputPlaces(
  inputs: readonly string[],
  job: HasInputs,
  roots: readonly string[],
  cwd: string,
  mayLack: boolean,
): string[] {
  if (job.inputs !== undefined) pathsByInput(job, inputs, mayLack);
  return inputs.map((text) => {
    const { prefix, path } = readInput(job, text);
    return prefix + inputPlace(path, roots, cwd);
  });
}

function inputPlace(input: string, roots: readonly string[], cwd: string): string {
  if (input === "-") {
    throw new SheafError("USAGE", "standard input cannot be read on a cluster", {
      hint: "Write it to a file that the agents can read, and give that.",
    });
  }
  if (input.startsWith(agentScheme)) return agentPlace(input);
  refuseAddress(input);
  if (isStored(input)) return addressPlace(input, roots);
  const path = resolve(cwd, input);
  if (isInside(patternBase(path), roots)) return path;
  throw new SheafError("FORBIDDEN", `the cluster may not read ${path}`, {
    hint:
      `${rootsText(roots)} Start coordinator and agents with --root DIR for a directory that all agents ` +
      "see, or give agent:/PATH for files that lie on each agent.",
    details: { path },
  });
}

function addressPlace(input: string, roots: readonly string[]): string {
  if (isAddressInside(input, roots)) return input;
  throw new SheafError("FORBIDDEN", `the cluster may not read ${input}`, {
    hint: `${rootsText(roots)} Start coordinator and agents with --root ADDRESS for an address below which jobs may read.`,
    details: { path: input },
  });
}

function agentPlace(input: string): string {
  if (input.startsWith(`${agentScheme}/`)) return input;
  throw new SheafError("USAGE", `${input} does not name an absolute path`, {
    hint: "Write agent:/PATH, for example agent:/var/log/app/*.log.",
  });
}

interface OutputWishes {
  /** Absolute path; null: no output directory. */
  readonly output: string | null;
  readonly overwrite: boolean;
  /** Records are wanted for result.records(). */
  readonly collect: boolean;
  /** What the user said of the output being shared. */
  readonly shared: boolean | undefined;
  /** It is in a storage to which agents can upload what they have made: see takesStaged. */
  readonly direct: boolean;
}

/** Whether results can go to a storage from several machines. */
export async function takesStaged({
  output,
  materialize,
}: Pick<ResolvedOptions, "output" | "materialize">): Promise<boolean> {
  // Records that are kept lie where the output does.
  if (output === null || materialize !== null || !isStored(output)) return false;
  return (await storedOutput(output, "check")).stage !== undefined;
}

/**
 * Where a job's results go. They are written in their place by the agents when that is sure to be the same
 * for all of them and for the client, as an address is; else they come back through the coordinator.
 * @throws SheafError FORBIDDEN when `shared` was asked for and is not possible; USAGE for an address of no
 * storage
 */
export function outputTarget(wishes: OutputWishes, url: string, roots: readonly string[]): OutputTarget {
  const { output, overwrite, collect, shared, direct } = wishes;
  if (output !== null) refuseAddress(output, "output");
  const fetched: OutputTarget = { kind: "collect", write: output !== null, collect };
  if (shared === false || (output === null && shared === undefined)) return fetched;
  const host = new URL(url).hostname.replace(/^\[|\]$/g, "");
  const isAddress = output !== null && splitAddress(output) !== null;
  const isAllowed =
    output !== null && (isAddress ? direct && isAddressInside(output, roots) : isInside(output, roots));
  // Records come back through the coordinator, and so does then the rest.
  if (isAllowed && !collect && (shared === true || isAddress || isLoopback(host))) {
    return { kind: "shared", path: output, overwrite };
  }
  if (shared === undefined) return fetched;
  const why =
    output === null
      ? "there is no output directory"
      : collect
        ? "results that are printed come back through the coordinator"
        : isAddress && !direct
          ? `${output} takes results from one machine only, and no records beside them`
          : `the cluster may not write to ${output}. ${rootsText(roots)}`;
  throw new SheafError("FORBIDDEN", `the output cannot be shared: ${why}`, {
    hint: "Leave --shared out, and the results come back to this machine.",
  });
}

/**
 * Where records that are to be kept go: beside a shared output into their place, else to the coordinator.
 * @throws SheafError FORBIDDEN when the agents cannot write to their place
 */
export function recordsTarget(
  { materialize }: Pick<ResolvedOptions, "materialize">,
  target: OutputTarget,
  roots: readonly string[],
): Submission["materialize"] {
  if (materialize === null) return undefined;
  if (target.kind !== "shared") return null;
  if (isInside(materialize, roots)) return materialize;
  throw new SheafError("FORBIDDEN", `materialize: the cluster may not write to ${materialize}`, {
    hint: `${rootsText(roots)} The records lie on a path that all agents see, as the output does.`,
  });
}

function isInside(path: string, roots: readonly string[]): boolean {
  return roots.some(
    (root) => root === "/" || path === root || path.startsWith(`${root.replace(/\/+$/, "")}/`),
  );
}

function rootsText(roots: readonly string[]): string {
  return roots.length === 0 ? "It has no roots." : `Its roots are ${roots.join(", ")}.`;
}
