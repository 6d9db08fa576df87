import { realpathSync } from "node:fs";
import { basename, dirname, isAbsolute, join, normalize, sep } from "node:path";
import { SheafError } from "../base/errors.ts";
import { pathsByInput } from "../engine/inputs.ts";
import type { Submission } from "../protocol/submission.ts";
import { isAddressInside } from "../storage/address-roots.ts";
import { quotePath } from "../storage/fs-error.ts";
import { splitAddress } from "../storage/store.ts";

/** Inputs that each agent finds on its own disk: "agent:/data/*.gz". */
export const agentPrefix = "agent:";

/**
 * The paths of a job's inputs: those that all agents see, and those that each agent has of its own.
 * @throws SheafError USAGE as pathsByInput
 */
export function inputPaths(submission: Pick<Submission, "inputs" | "outline" | "options">): {
  readonly shared: readonly string[];
  readonly own: readonly string[];
} {
  const { outline, inputs, options } = submission;
  const paths = pathsByInput(outline, inputs, options.only !== undefined).flat();
  return {
    shared: paths.filter((path) => !path.startsWith(agentPrefix)),
    own: paths.filter((path) => path.startsWith(agentPrefix)),
  };
}

/** Of a job that does something on each agent: which agents, and what it uses there. */
export function nodesWish({ input }: Submission["outline"]): NodesWish | undefined {
  return "tasks" in input ? input.nodes : undefined;
}

type NodesWish = NonNullable<Extract<Submission["outline"]["input"], { tasks: number }>["nodes"]>;

/** By their texts alone. */
export function isInside(path: string, root: string): boolean {
  if (splitAddress(path) !== null) return isAddressInside(path, [root]);
  const base = normalize(root);
  return path === base || path.startsWith(base.endsWith(sep) ? base : base + sep);
}

const globStart = /[*?[\]{}]|[!+@]\(/;
const upward = /(^|[/\\,{(|])\.\.($|[/\\,})|])/;

/**
 * Refuses a path or pattern that leads out of every root, by its text and, as far as it exists on this
 * machine, by where its links lead. Agents look again: what is here need not be what is there.
 * @throws SheafError FORBIDDEN naming the path and the roots
 */
export function checkInsideRoots(given: string, roots: readonly string[], what: string): void {
  const refuse = (why: string, hint: string): never => {
    throw new SheafError("FORBIDDEN", `${what} ${quotePath(given)}: ${why}`, { hint });
  };
  if (splitAddress(given) !== null) {
    if (isAddressInside(given, roots)) return;
    refuse(
      "is not open to jobs of this cluster",
      "Start the coordinator and its agents with --root ADDRESS for each address below which jobs may read.",
    );
  }
  if (!isAbsolute(given)) refuse("is not an absolute path", "Give the whole path, as the agents know it.");
  if (given.includes("\0")) refuse("holds a NUL", "Give a path without it.");
  if (upward.test(given)) refuse('holds ".."', "Give the path without it.");
  const parts = given.split("/");
  const wild = parts.findIndex((part) => globStart.test(part));
  const plain = normalize(wild < 0 ? given : parts.slice(0, wild).join("/") || "/");
  if (roots.some((root) => isInside(plain, root) && isInside(realPath(plain), realPath(normalize(root)))))
    return;
  refuse(
    roots.length === 0 ? "jobs of this cluster cannot name paths" : `lies outside of ${roots.join(", ")}`,
    "Start the coordinator and its agents with --root for the directories that jobs may use.",
  );
}

/** With the links of the part that exists followed. */
function realPath(path: string): string {
  const rest: string[] = [];
  for (let at = path; ; at = dirname(at)) {
    try {
      return join(realpathSync(at), ...rest);
    } catch {
      if (dirname(at) === at) return path;
      rest.unshift(basename(at));
    }
  }
}
