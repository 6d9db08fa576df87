import { resolve } from "node:path";
import { SheafError } from "../base/errors.ts";
import { type HasInputs, pathsByInput, readInput } from "../engine/inputs.ts";
import { refuseAddress } from "../storage/list-input.ts";
import { isLoopback } from "../security/host-list.ts";
import type { OutputTarget } from "../protocol/submission.ts";

/** Marks a path that every agent looks up in its own files. */
const agentScheme = "agent:";

/**
 * The inputs as the cluster is told of them: absolute, since it has another current directory.
 * @param job tells the names of its inputs, when it has several
 * @param roots directories jobs may read and write by path
 * @throws SheafError USAGE as pathsByInput, and for standard input; FORBIDDEN for a path outside the roots
 */
export function inputPlaces(
  inputs: readonly string[],
  job: HasInputs,
  roots: readonly string[],
  cwd: string,
): string[] {
  if (job.inputs !== undefined) pathsByInput(job, inputs);
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
  const path = resolve(cwd, input);
  if (isInside(globBase(path), roots)) return path;
  throw new SheafError("FORBIDDEN", `the cluster may not read ${path}`, {
    hint:
      `${rootsText(roots)} Start coordinator and agents with --root DIR for a directory that all agents ` +
      "see, or give agent:/PATH for files that lie on each agent.",
    details: { path },
  });
}

function agentPlace(input: string): string {
  if (input.startsWith(`${agentScheme}/`)) return input;
  throw new SheafError("USAGE", `${input} does not name an absolute path`, {
    hint: "Write agent:/PATH, for example agent:/var/log/app/*.log.",
  });
}

export interface OutputWishes {
  /** Absolute path; null: no output directory. */
  readonly output: string | null;
  readonly overwrite: boolean;
  /** Records are wanted for result.records(). */
  readonly collect: boolean;
  /** What the user said of the output being shared. */
  readonly shared: boolean | undefined;
}

/**
 * Where a job's results go. They are written in their place by the agents when that is sure to be the same
 * for all of them and for the client; else they come back through the coordinator.
 * @throws SheafError FORBIDDEN when `shared` was asked for and is not possible
 */
export function outputTarget(wishes: OutputWishes, url: string, roots: readonly string[]): OutputTarget {
  const { output, overwrite, collect, shared } = wishes;
  const fetched: OutputTarget = { kind: "collect", write: output !== null, collect };
  if (shared === false || (output === null && shared === undefined)) return fetched;
  const host = new URL(url).hostname.replace(/^\[|\]$/g, "");
  const isAllowed = output !== null && isInside(output, roots);
  // Records come back through the coordinator, and so does then the rest.
  if (isAllowed && !collect && (shared === true || isLoopback(host))) {
    return { kind: "shared", path: output, overwrite };
  }
  if (shared === undefined) return fetched;
  const why =
    output === null
      ? "there is no output directory"
      : collect
        ? "results that are printed come back through the coordinator"
        : `the cluster may not write to ${output}. ${rootsText(roots)}`;
  throw new SheafError("FORBIDDEN", `the output cannot be shared: ${why}`, {
    hint: "Leave --shared out, and the results come back to this machine.",
  });
}

function isInside(path: string, roots: readonly string[]): boolean {
  return roots.some(
    (root) => root === "/" || path === root || path.startsWith(`${root.replace(/\/+$/, "")}/`),
  );
}

/** The part of a pattern before its first special character: what matches lies below it. */
function globBase(path: string): string {
  const special = path.search(/[*?[\]{}!()\\]/);
  if (special < 0) return path;
  return path.slice(0, Math.max(1, path.lastIndexOf("/", special)));
}

function rootsText(roots: readonly string[]): string {
  return roots.length === 0 ? "It has no roots." : `Its roots are ${roots.join(", ")}.`;
}
