import { rmSync } from "node:fs";
import { join } from "node:path";
import { settings } from "../../base/limits.ts";
import { initAuthority, issueInto } from "../../security/certificate-directory.ts";
import type { TlsFiles } from "../../security/tls.ts";

/** What `sheaf cluster up --tls` gives to whom. */
export interface ClusterCertificates {
  readonly coordinator: TlsFiles;
  /** For all agents, which are on this machine. */
  readonly agents: TlsFiles;
  readonly client: TlsFiles;
}

/**
 * Makes an authority and certificates in the directory, which is emptied before: what was issued for an
 * earlier cluster opens nothing of this one.
 * @param host at which others reach the coordinator
 * @throws SheafError CERTIFICATE_INVALID when they cannot be written
 */
export async function makeClusterCertificates(
  directory: string,
  host: string,
  nowMs: number,
): Promise<ClusterCertificates> {
  rmSync(directory, { recursive: true, force: true });
  await initAuthority(directory, { days: settings.authorityDays.default, nowMs });
  const ca = join(directory, "ca.pem");
  const issue = async (name: string, hosts: readonly string[]): Promise<TlsFiles> => {
    const made = await issueInto(directory, { name, hosts, days: settings.certificateDays.default, nowMs });
    return { ca, ...made };
  };
  return {
    coordinator: await issue("coordinator", [...new Set([host, "127.0.0.1", "localhost"])]),
    agents: await issue("agents", ["127.0.0.1", "localhost"]),
    client: await issue("client", []),
  };
}

/** As flags of a command. */
export function tlsFlags(files: TlsFiles | null): string[] {
  return files === null ? [] : ["--tls-ca", files.ca, "--tls-cert", files.cert, "--tls-key", files.key];
}
