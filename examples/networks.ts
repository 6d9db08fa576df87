// Requests per network, with a package from npm to understand addresses: what a job file imports is bundled
// with it, and travels with it to the machines of a cluster.
//
//   npm install ipaddr.js
//   sheaf gen accesslog access.log --records 100000
//   sheaf run networks.ts access.log -o networks
//
// networks/part-*.tsv: "203.0.0.0/16<tab>17"; IPv6 addresses by their first 48 bits.
import ipaddr from "ipaddr.js";
import { count, job, text } from "sheaf";

export default job({
  input: text({ invalid: "replace" }),
  map(line, emit, ctx) {
    const [address = ""] = line.split(" ", 1);
    if (!ipaddr.isValid(address)) return ctx.count("lines without an address");
    emit(networkOf(address));
  },
  reduce: count(),
});

function networkOf(address: string): string {
  const parsed = ipaddr.process(address);
  if (parsed.kind() === "ipv4")
    return `${ipaddr.IPv4.networkAddressFromCIDR(`${parsed.toString()}/16`).toString()}/16`;
  return `${ipaddr.IPv6.networkAddressFromCIDR(`${parsed.toString()}/48`).toString()}/48`;
}
