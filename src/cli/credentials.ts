import { resolve } from "node:path";
import { tlsFiles } from "../security/tls.ts";
import type { TlsFiles } from "../security/tls.ts";
import type { ConnectFlags } from "./cluster-connection.ts";
import type { World } from "./world.ts";

/** The files that show who one is, found from the command's directory. */
export function credentialsOf(
  flags: ConnectFlags,
  world: World,
): { readonly tokenFile?: string; readonly tls?: TlsFiles } {
  const path = (given: string): string => resolve(world.cwd, given);
  const { env } = world;
  const tls = tlsFiles({
    ca: flags.tlsCa ?? named(env["SHEAF_TLS_CA"]),
    cert: flags.tlsCert ?? named(env["SHEAF_TLS_CERT"]),
    key: flags.tlsKey ?? named(env["SHEAF_TLS_KEY"]),
  });
  return {
    ...(flags.tokenFile === undefined ? {} : { tokenFile: path(flags.tokenFile) }),
    ...(tls === null ? {} : { tls: { ca: path(tls.ca), cert: path(tls.cert), key: path(tls.key) } }),
  };
}

/** An empty variable names nothing. */
function named(path: string | undefined): string | undefined {
  return path === "" ? undefined : path;
}
