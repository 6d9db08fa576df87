import { homedir } from "node:os";
import { resolve } from "node:path";
import { SheafError } from "../base/errors.ts";
import type { ApiClient } from "../client/api-client.ts";
import { tlsFiles } from "../security/tls.ts";
import type { TlsFiles } from "../security/tls.ts";
import type { World } from "./world.ts";

/** What flags/cluster-flags.ts gives a command. */
export interface ConnectFlags {
  readonly on: string | undefined;
  readonly tokenFile: string | undefined;
  readonly tlsCa: string | undefined;
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
}

/** URL of the coordinator that is meant: --on, else $SHEAF_ON; undefined for this machine. */
export function clusterUrl(flags: Pick<ConnectFlags, "on">, world: World): string | undefined {
  const given = flags.on ?? world.env["SHEAF_ON"];
  return given === undefined || given === "" || given === "local" ? undefined : given;
}

/** The files that show who one is, found from the command's directory. */
export function credentialsOf(
  flags: ConnectFlags,
  world: World,
): { readonly tokenFile?: string; readonly tls?: TlsFiles } {
  const path = (given: string): string => resolve(world.cwd, given);
  const tls = tlsFiles({ ca: flags.tlsCa, cert: flags.tlsCert, key: flags.tlsKey });
  return {
    ...(flags.tokenFile === undefined ? {} : { tokenFile: path(flags.tokenFile) }),
    ...(tls === null ? {} : { tls: { ca: path(tls.ca), cert: path(tls.cert), key: path(tls.key) } }),
  };
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
  const { connect } = await import("../client/connect.ts");
  const api = connect({ on, ...credentialsOf(flags, world) }, { env: world.env, home: homedir() });
  try {
    return await work(api);
  } finally {
    await api.close();
  }
}
