import { createHash, createHmac } from "node:crypto";

/** What known_hosts files say of a host and the key that it shows. */
export type HostVerdict = "known" | "changed" | "revoked" | "unknown";

interface Line {
  readonly marker: string;
  readonly hosts: string;
  readonly type: string;
  readonly key: string;
}

/** Lines of known_hosts files, as OpenSSH reads them; see sshd(8). */
export class KnownHosts {
  readonly #lines: readonly Line[];

  constructor(texts: readonly string[]) {
    this.#lines = texts.flatMap((text) => text.split("\n").flatMap(parseLine));
  }

  /**
   * @param host as `hostOf` names it
   * @param key the public key that the host shows, in its binary form
   */
  verdict(host: string, key: Buffer): HostVerdict {
    const shown = key.toString("base64");
    const lines = this.#lines.filter((line) => matches(line.hosts, host));
    if (lines.some((line) => line.marker === "@revoked" && line.key === shown)) return "revoked";
    const known = lines.filter((line) => line.marker === "");
    if (known.some((line) => line.key === shown)) return "known";
    return known.length === 0 ? "unknown" : "changed";
  }

  /** The types of the keys that are known of a host: it is to show one of these. */
  types(host: string): string[] {
    const lines = this.#lines.filter((line) => line.marker === "" && matches(line.hosts, host));
    return [...new Set(lines.map((line) => line.type))];
  }
}

/** How such files name a host with this port. */
export function knownHostOf(host: string, port: number): string {
  const name = host.toLowerCase();
  return port === 22 ? name : `[${name}]:${port}`;
}

/** As `ssh-keygen -l` shows it. */
export function fingerprintOfKey(key: Buffer): string {
  return `SHA256:${createHash("sha256").update(key).digest("base64").replace(/=+$/, "")}`;
}

function parseLine(text: string): Line[] {
  const words = text.trim().split(/\s+/);
  if (words[0] === "" || words[0]!.startsWith("#")) return [];
  const marker = words[0]!.startsWith("@") ? words.shift()! : "";
  const [hosts, type, key] = words;
  if (hosts === undefined || type === undefined || key === undefined) return [];
  return [{ marker, hosts, type, key }];
}

function matches(patterns: string, host: string): boolean {
  if (patterns.startsWith("|")) {
    const [, kind, salt = "", hash] = patterns.split("|");
    return (
      kind === "1" && createHmac("sha1", Buffer.from(salt, "base64")).update(host).digest("base64") === hash
    );
  }
  let isIn = false;
  for (const pattern of patterns.split(",")) {
    const isNot = pattern.startsWith("!");
    if (!globOf(isNot ? pattern.slice(1) : pattern).test(host)) continue;
    if (isNot) return false;
    isIn = true;
  }
  return isIn;
}

function globOf(pattern: string): RegExp {
  const text = pattern.toLowerCase().replaceAll(/[.+^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^${text.replaceAll("*", ".*").replaceAll("?", ".")}$`);
}
