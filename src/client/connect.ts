import { existsSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { defaultStateDirectory } from "../engine/job-history.ts";
import { loadTls } from "../security/tls.ts";
import type { TlsFiles } from "../security/tls.ts";
import { findToken, tokenFilePath } from "../security/token-file.ts";
import { ApiClient } from "./api-client.ts";

/** How a client finds its coordinator and shows that it may. */
export interface ConnectOptions {
  /** URL of the coordinator. */
  readonly on: string;
  readonly tokenFile?: string | undefined;
  readonly tls?: TlsFiles | undefined;
}

/** Of the process. */
export interface ConnectWorld {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The user's home directory. */
  readonly home: string;
}

/**
 * A client with its token. The file is the one that was named, else $SHEAF_TOKEN_FILE, else that of a
 * coordinator of this user on this machine; when there is not even that, no token is sent: a coordinator may
 * have none.
 * @throws SheafError TOKEN_INVALID, CERTIFICATE_INVALID, USAGE for a URL that is none
 */
export function connect(options: ConnectOptions, world: ConnectWorld): ApiClient {
  const places = {
    env: world.env,
    tokenFile: options.tokenFile,
    stateDirectory: join(defaultStateDirectory(world.env, world.home), "coordinator"),
  };
  const path = tokenFilePath("client", places);
  const isNamed = options.tokenFile !== undefined || Boolean(world.env["SHEAF_TOKEN_FILE"]);
  const tls = options.tls === undefined ? {} : { tls: loadTls(options.tls, systemClock.wallMs()).client };
  if (isNamed || existsSync(path)) {
    return new ApiClient({ url: options.on, token: findToken("client", places).token, ...tls });
  }
  const refusedHint =
    `There is no token at ${path}. Copy client.token from the coordinator's state directory, ` +
    "and name it with --token-file or $SHEAF_TOKEN_FILE.";
  return new ApiClient({ url: options.on, token: null, refusedHint, ...tls });
}
