import { homedir } from "node:os";
import { SheafError } from "../base/errors.ts";
import type { ApiClient } from "../client/api-client.ts";
import { runnerFor } from "../runners/runners.ts";
import type { World } from "./world.ts";

/** What flags/cluster-flags.ts gives a command. */
export interface ConnectFlags {
  readonly on: string | undefined;
  readonly tokenFile: string | undefined;
  readonly tlsCa: string | undefined;
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
}

/** URL of the coordinator that is meant: --on, else $SHEAF_ON; undefined where they mean no cluster. */
export function clusterUrl(flags: Pick<ConnectFlags, "on">, world: World): string | undefined {
  const given = flags.on ?? world.env["SHEAF_ON"];
  return runnerFor(given) === "cluster" ? given : undefined;
}

/** Whether the main thread of this process is meant by --on or $SHEAF_ON. */
export function meansInline({ on }: Pick<ConnectFlags, "on">, world: World): boolean {
  return (on ?? world.env["SHEAF_ON"]) === "inline";
}

/**
 * Does something with the coordinator that is meant, and closes the connection.
 * @throws SheafError USAGE when none is named
 */
export async function withCluster<T>(
  flags: ConnectFlags,
  world: World,
  work: (api: ApiClient) => Promise<T>,
): Promise<T> {
  const on = clusterUrl(flags, world);
  if (on === undefined) {
    throw new SheafError("USAGE", "this needs a cluster, and none is named", {
      hint: "Give --on URL of its coordinator, or set $SHEAF_ON. sheaf cluster up starts one on this machine.",
    });
  }
  const [{ connect }, { credentialsOf }] = await Promise.all([
    import("../client/connect.ts"),
    import("./credentials.ts"),
  ]);
  const api = connect({ on, ...credentialsOf(flags, world) }, { env: world.env, home: homedir() });
  try {
    return await work(api);
  } finally {
    await api.close();
  }
}
