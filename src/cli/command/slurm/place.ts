import { lookup } from "node:dns/promises";
import { hostname, networkInterfaces, tmpdir } from "node:os";
import { SheafError } from "../../../base/errors.ts";
import { isLoopback } from "../../../security/host-list.ts";
import { reachableHost } from "../../../security/own-names.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Of this process's node, as Slurm calls it. */
export function nodeName(env: Environment): string {
  return env["SLURMD_NODENAME"] || hostname();
}

export interface AddressQuestion {
  /** Network that was asked for, "ib0". */
  readonly network: string | undefined;
  /** Name or address at which Slurm reaches this node; null: not known. */
  readonly slurmAddress: string | null;
}

export type Networks = ReturnType<typeof networkInterfaces>;

/**
 * The address of this node at which the others reach it: that of the network that was asked for; else the one
 * at which Slurm itself reaches the node, which its nodes must be able to; else the first that is not
 * loopback. A name that leads to loopback here (127.0.1.1 for the own name, as Debian has it) says nothing.
 * @throws SheafError USAGE for a network that the node has not, naming those it has
 */
export async function nodeAddress(
  { network, slurmAddress }: AddressQuestion,
  networks: Networks = networkInterfaces(),
  resolve: (name: string) => Promise<readonly string[]> = addressesOf,
): Promise<string> {
  if (network !== undefined) return addressIn(networks, network);
  if (slurmAddress !== null) {
    // Slurm's own configuration says loopback only where all nodes are on one machine.
    if (/^127\.[\d.]+$|^::1$/.test(slurmAddress)) return slurmAddress;
    const own = new Set(
      Object.values(networks).flatMap((list) => (list ?? []).map(({ address }) => address)),
    );
    const found = (await resolve(slurmAddress)).find((one) => own.has(one) && !isLoopback(one));
    if (found !== undefined) return found;
  }
  return reachableHost("0.0.0.0");
}

function addressIn(networks: Networks, network: string): string {
  const list = networks[network] ?? [];
  const found =
    list.find(({ family }) => family === "IPv4") ??
    list.find((one) => one.family === "IPv6" && one.scopeid === 0);
  if (found !== undefined) return found.address;
  const names = Object.entries(networks).map(([name, of]) => `${name} (${of?.[0]?.address ?? "no address"})`);
  throw new SheafError("USAGE", `--network ${network}: this node has no address on such a network`, {
    hint: `It has ${names.join(", ") || "none"}. Those of a login node may be called otherwise.`,
  });
}

async function addressesOf(name: string): Promise<readonly string[]> {
  try {
    return (await lookup(name, { all: true })).map(({ address }) => address);
  } catch {
    return [];
  }
}

/**
 * A directory of this node's own disk: what was given, where a variable may stand in front, as "$TMPDIR/x";
 * else that for temporary files.
 * @throws SheafError USAGE for a variable that is not set here
 */
export function scratchOf(given: string | undefined, env: Environment): string {
  if (given === undefined) return env["TMPDIR"] || tmpdir();
  const [, name, braced, rest = ""] = /^\$(?:(\w+)|\{(\w+)\})(\/.*)?$/s.exec(given) ?? [];
  const variable = name ?? braced;
  if (variable === undefined) return given;
  const value = env[variable];
  if (value !== undefined && value !== "") return value + rest;
  throw new SheafError("USAGE", `--scratch ${given}: $${variable} is not set on ${nodeName(env)}`, {
    hint: "Name a directory that is there on each node, or a variable that Slurm sets there.",
  });
}
