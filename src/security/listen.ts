import { SheafError } from "../base/errors.ts";
import { isLoopback } from "./host-list.ts";

/** Where servers listen unless they are told otherwise: this machine only. */
export const defaultHost = "127.0.0.1";

export interface ListenRequest {
  /** What --host said. */
  readonly host?: string | undefined;
  /**
   * A token file was given, or made before. One that a server would make for itself at this start does not
   * count: whoever opens a server to others must know that there is a token, and hand it on.
   */
  readonly hasToken: boolean;
  readonly insecure: boolean;
  readonly tls: boolean;
}

/**
 * Where a server may listen, and what its operator is to be told at every start.
 * @throws SheafError USAGE when it would listen beyond this machine without a token, unless `insecure`
 */
export function checkListen(request: ListenRequest): {
  readonly host: string;
  readonly warnings: readonly string[];
} {
  const { host = defaultHost, hasToken, insecure, tls } = request;
  const beyond = !isLoopback(host);
  if (beyond && !hasToken && !insecure) {
    throw new SheafError(
      "USAGE",
      `--host ${JSON.stringify(host)}: listening beyond this machine needs a token; without one, whoever reaches ` +
        "the port can run any program here",
      {
        hint:
          "Start it once without --host, which makes the token files, or give --token-file. " +
          "--insecure does without, for networks on which everybody may run programs on these machines.",
      },
    );
  }
  const warnings: string[] = [];
  if (insecure) {
    const whoever = beyond ? "whoever can reach this port" : "every user of this machine";
    warnings.push(`--insecure: ${whoever} can run any program here as the user that runs sheaf`);
  }
  if (beyond && !tls) {
    warnings.push(
      `listening on ${host} without TLS: tokens, code and data cross the network in clear; see sheaf certs`,
    );
  }
  return { host, warnings };
}
