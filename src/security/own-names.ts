import { hostname, networkInterfaces } from "node:os";
import { isEverywhere } from "./host-list.ts";

/** Names and addresses of this machine, for the Host check of a server that is bound to all of them. */
export function ownNames(): string[] {
  return [hostname(), ...addresses().map(({ address }) => address)];
}

/**
 * The host under which others reach a server that is bound to `bound`: that itself, or an address of this
 * machine's network when it is bound to all; the machine's name when it has none.
 */
export function reachableHost(bound: string): string {
  if (!isEverywhere(bound)) return bound;
  const outward = addresses().filter(({ internal }) => !internal);
  const found =
    outward.find(({ family }) => family === "IPv4") ?? outward.find(({ scopeid }) => scopeid === 0);
  return found?.address ?? hostname();
}

function addresses() {
  return Object.values(networkInterfaces()).flatMap((list) => list ?? []);
}
