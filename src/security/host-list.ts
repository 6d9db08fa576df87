import { isIP, isIPv6 } from "node:net";

/**
 * The names and addresses a server answers to. A page of another site can make a browser send requests to a
 * server of this machine by pointing a name of its own at it (DNS rebinding); it cannot make the Host
 * header say otherwise.
 */
export type HostList = ReadonlySet<string>;

export interface HostListSource {
  /** What the server is bound to: a name, an address, or all of them ("0.0.0.0", "::"). */
  readonly bound: string;
  /** Names and addresses it was told people use: with or without a port, or URLs. */
  readonly told?: readonly string[];
  /** Name and addresses of this machine, for a server that is bound to all of them. */
  readonly own?: readonly string[];
}

const loopbackForms = ["localhost", "127.0.0.1", "[::1]"];

export function hostList({ bound, told = [], own = [] }: HostListSource): HostList {
  const forms = [...told];
  if (isEverywhere(bound)) forms.push(...loopbackForms, ...own);
  else if (isLoopback(bound)) forms.push(...loopbackForms, bound);
  else forms.push(bound);
  const names = forms.map((form) => hostOf(form));
  return new Set(names.filter((name) => name !== null));
}

/** Whether a Host header names one of them. The port does not matter: it may be that of a tunnel. */
export function hostAllowed(list: HostList, header: string | undefined): boolean {
  const name = header === undefined ? null : hostName(header);
  return name !== null && list.has(name);
}

/** Whether only programs of this machine can reach a server that is bound to this. Unsure means no. */
export function isLoopback(host: string): boolean {
  const name = bare(host.toLowerCase());
  if (name === "localhost") return true;
  if (isIP(name) === 4) return name.startsWith("127.");
  // The second form is 127.x.y.z written as IPv6.
  return isIP(name) === 6 && /^\[(?:::1|::ffff:7f[\da-f]{2}:[\da-f]{1,4})\]$/.test(canonicalIPv6(name));
}

/** Whether this means all addresses of the machine. */
export function isEverywhere(host: string): boolean {
  const name = bare(host);
  return name === "" || name === "0.0.0.0" || (isIPv6(name) && canonicalIPv6(name) === "[::]");
}

/** The host of a name, an address, either with a port, or a URL; null for anything else. */
export function hostOf(text: string): string | null {
  return hostName(/^[a-z]+:\/\/([^/?#]*)/i.exec(text)?.[1] ?? text);
}

/** "Name:7077" to "name", "[::1]:80" to "[::1]"; null for what is no host with or without a port. */
function hostName(text: string): string | null {
  if (isIPv6(text)) return canonicalIPv6(text);
  const match = /^(?:([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)\.?|\[([0-9A-Fa-f:.]+)\])(?::\d{1,5})?$/.exec(text);
  if (match === null) return null;
  const [, name, address] = match;
  if (name !== undefined) return name.toLowerCase();
  return isIPv6(address!) ? canonicalIPv6(address!) : null;
}

const bare = (host: string): string => host.replace(/^\[(.*)\]$/, "$1");

/** In brackets, shortest form: one address has one text. */
function canonicalIPv6(address: string): string {
  return URL.canParse(`http://[${address}]`) ? new URL(`http://[${address}]`).hostname : `[${address}]`;
}
