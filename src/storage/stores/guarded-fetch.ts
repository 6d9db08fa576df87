import { lookup as systemLookup, type LookupAddress, type LookupOptions } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { SheafError } from "../../base/errors.ts";
import { quotePath } from "../fs-error.ts";
import type { FetchRules } from "../store.ts";

/*
 * A machine that reads addresses for others must not become their way to servers that only it can reach. So
 * it goes to nothing but what its owner has listed, and, whatever a name is resolved to, not to addresses of
 * its own networks. What was looked up here is what is connected to: nobody asks a second time, and gets
 * another answer.
 */

/** Special-purpose addresses (IANA): this machine, private and shared networks, metadata servers, others. */
const NOT_PUBLIC: readonly string[] = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "168.63.129.16/32",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/3",
  "::/127",
  "64:ff9b:1::/48",
  "100::/64",
  "2001::/23",
  "2001:db8::/32",
  "3fff::/20",
  "5f00::/16",
  "fc00::/7",
  "fe80::/9",
  "ff00::/8",
];

/** IPv6 addresses with an IPv4 address in them, which is where what is sent to them goes, and where it is. */
const CARRIERS: readonly (readonly [prefix: string, group: number])[] = [
  ["::/96", 6],
  ["::ffff:0:0/96", 6],
  ["::ffff:0:0:0/96", 6],
  ["64:ff9b::/96", 6],
  ["2002::/16", 1],
];

/** "10.0.0.0/8", "::1": an address or a range of them. @throws SheafError USAGE */
export function addressList(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = "", bits, ...more] = range.split("/");
    const family = isIP(address);
    const width = family === 4 ? 32 : 128;
    const prefix = bits === undefined ? width : /^\d{1,3}$/.test(bits) ? Number(bits) : -1;
    if (family === 0 || prefix < 0 || prefix > width || more.length > 0) {
      throw new SheafError("USAGE", `${JSON.stringify(range)} is no address, and no range of addresses`, {
        hint: "Give an address (10.1.2.3, ::1) or a range (10.0.0.0/8).",
      });
    }
    list.addSubnet(address, prefix, family === 4 ? "ipv4" : "ipv6");
  }
  return list;
}

const notPublic = addressList(NOT_PUBLIC);
const carriers = CARRIERS.map(([prefix, group]) => ({ list: addressList([prefix]), group }));

/** Whether what is sent to an IP address leaves the networks of this machine. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 0) return false;
  if (family === 4) return !notPublic.check(address, "ipv4");
  const groups = groupsOf(address);
  for (const { list, group } of carriers) {
    if (!list.check(address, "ipv6")) continue;
    const [high, low] = [groups[group]!, groups[group + 1]!];
    const inside = `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
    // ::1 and the like are in the range of the oldest carrier.
    return group === 6 && groups[5] === 0 && high === 0 ? false : isPublicAddress(inside);
  }
  return !notPublic.check(address, "ipv6");
}

/** The eight groups of an IPv6 address. */
function groupsOf(address: string): number[] {
  // URL writes them all in one way, without dots.
  const plain = new URL(`http://[${address.split("%")[0]}]/`).hostname.slice(1, -1);
  const [front = "", back] = plain.split("::");
  const numbers = (text: string): number[] =>
    text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
  if (back === undefined) return numbers(front);
  const [before, behind] = [numbers(front), numbers(back)];
  return [...before, ...Array<number>(8 - before.length - behind.length).fill(0), ...behind];
}

/** Whether a URL lies below one of the addresses that are listed, for whoever reads it. */
export function isListed(url: URL, roots: readonly string[]): boolean {
  // Some servers take an encoded slash for one.
  if (/%(?:2f|5c|00)/i.test(url.pathname)) return false;
  return roots.some((root) => {
    if (!/^https?:\/\//i.test(root) || !URL.canParse(root)) return false;
    const { origin, pathname } = new URL(root);
    const below = pathname.endsWith("/") ? pathname : `${pathname}/`;
    return url.origin === origin && (url.pathname === pathname || url.pathname.startsWith(below));
  });
}

/**
 * Refuses a URL that rules do not list, or that is an address of these networks by itself.
 * @throws SheafError FORBIDDEN
 */
export function checkUrl(url: URL, rules: FetchRules, given: string): void {
  if (!isListed(url, rules.roots)) {
    const is = url.href === given ? "" : ` leads to ${url.origin}, which`;
    throw forbidden(
      `input ${quotePath(given)}${is} is not open to jobs here`,
      "Start coordinator and agents with --root ADDRESS for each address below which jobs may read.",
    );
  }
  const host = url.hostname.replace(/^\[|\]$/g, "");
  if (isIP(host) !== 0) checkAddress(host, rules, given);
}

function checkAddress(address: string, rules: FetchRules, given: string): void {
  if (isPublicAddress(address)) return;
  const family = isIP(address) === 6 ? "ipv6" : "ipv4";
  if (addressList(rules.addresses).check(address, family)) return;
  throw forbidden(
    `input ${quotePath(given)} is at ${address}, an address of this machine or its networks`,
    "Start the agents with --allow-address for addresses of your own networks that jobs may read.",
  );
}

function forbidden(message: string, hint: string): SheafError {
  return new SheafError("FORBIDDEN", message, { hint });
}

type Resolve = (
  host: string,
  options: LookupOptions,
  callback: (error: Error | null, found: string | LookupAddress[], family?: number) => void,
) => void;

/**
 * Looks names up for connections, and lets none through that leads to these networks.
 * @param resolve for tests. Default: the system's
 */
export function checkedLookup(rules: FetchRules, resolve: Resolve = systemLookup as Resolve): LookupFunction {
  return (host, options, callback) => {
    resolve(host, { ...options, all: true }, (error, found) => {
      if (error !== null) {
        callback(error as NodeJS.ErrnoException, "");
        return;
      }
      const addresses = found as LookupAddress[];
      try {
        // All of them: which one answers is not for the name's owner to choose.
        for (const { address } of addresses) checkAddress(address, rules, host);
      } catch (refused) {
        callback(refused as NodeJS.ErrnoException, "");
        return;
      }
      const [first] = addresses;
      if (options.all === true) callback(null, addresses);
      else callback(null, first?.address ?? "", first?.family);
    });
  };
}
