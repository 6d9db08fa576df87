import type { RunOptions } from "../engine/options.ts";
import { credentialsOf } from "./credentials.ts";
import type { Delivery } from "./deliver-results.ts";
import { definedOnly } from "./run-options.ts";
import type { RunFlags } from "./run-options.ts";
import type { World } from "./world.ts";

/** What a run on a cluster is told besides. `delivery`: null when nobody waits for the results. */
export function clusterOptions(
  flags: RunFlags,
  delivery: Delivery | null,
  on: string,
  world: World,
): RunOptions & { readonly on: string } {
  const { cores, priority, queueTimeout: queueTimeoutMs, group, project, speculation } = flags;
  // What goes to standard output comes by way of a directory that no agent needs to know.
  const shared = delivery?.kind === "stdout" ? false : flags.shared;
  const wished = { cores, priority, queueTimeoutMs, group, project, shared, speculation };
  return { ...definedOnly(wished), ...credentialsOf(flags, world), on };
}
