import { SheafError } from "../../base/errors.ts";

/** A machine of an inventory. */
export interface InventoryNode {
  /** As ssh takes it: a name, an address, user@host, or an alias of ssh_config. */
  readonly ssh: string;
  /** Name or address at which other machines reach it. */
  readonly address: string;
  /** Of the agent. */
  readonly name: string;
  readonly slots: number | null;
  /** Port of its shuffle server. */
  readonly port: number;
  /** Directories jobs may read and write there. */
  readonly roots: readonly string[];
  /** The command there. */
  readonly sheaf: string;
  /** State directory there; null: the usual one. */
  readonly state: string | null;
}

const portDefault = 7078;
const hostForm = /^(?:[A-Za-z0-9_][A-Za-z0-9._-]*@)?[A-Za-z0-9_][A-Za-z0-9._-]*$|^\[?[0-9A-Fa-f:]+\]?$/;
const known = ["name", "address", "slots", "port", "root", "sheaf", "state"] as const;

/**
 * Reads an inventory: a machine a line, "HOST [NAME=VALUE...]", blank lines and lines with # left out.
 * @param file for messages
 * @throws SheafError USAGE naming file and line
 */
export function parseInventory(text: string, file: string): InventoryNode[] {
  const nodes = text.split("\n").flatMap((line, index) => {
    const words = line.replace(/(?:^|\s)#.*$/, "").trim();
    return words === "" ? [] : [parseNode(words.split(/\s+/), `${file}:${index + 1}`)];
  });
  if (nodes.length === 0) throw wrong(file, "no machine is listed", "Write one a line: node1 slots=4");
  const names = new Set<string>();
  for (const { name } of nodes) {
    if (names.has(name)) throw wrong(file, `two agents are called ${name}`, "Give one of them name=OTHER.");
    names.add(name);
  }
  return nodes;
}

function parseNode([host = "", ...options]: readonly string[], at: string): InventoryNode {
  if (!hostForm.test(host)) {
    throw wrong(at, `"${host}" is no host`, "Write a name, an address, user@host or an alias of ssh_config.");
  }
  const given = new Map<string, string[]>();
  for (const option of options) {
    const [, name = "", value = ""] = /^([a-z]+)=(.+)$/.exec(option) ?? [];
    if (!known.some((one) => one === name)) {
      throw wrong(
        at,
        `"${option}" is not understood`,
        `Options are ${known.map((one) => `${one}=`).join(" ")}.`,
      );
    }
    given.set(name, [...(given.get(name) ?? []), value]);
  }
  const one = (name: string): string | null => given.get(name)?.at(-1) ?? null;
  const address = one("address") ?? host.replace(/^.*@/, "").replace(/^\[|\]$/g, "");
  const roots = given.get("root") ?? [];
  for (const path of [...roots, ...(given.get("state") ?? [])]) {
    if (!path.startsWith("/")) throw wrong(at, `"${path}" is no absolute path`, "Begin it with /.");
  }
  return {
    ssh: host,
    address,
    name: agentName(one("name") ?? address.replace(/[^A-Za-z0-9._-]+/g, "-"), at),
    slots: wholeNumber(one("slots"), 1, 4_096, "slots", at),
    port: wholeNumber(one("port"), 0, 65_535, "port", at) ?? portDefault,
    roots,
    sheaf: one("sheaf") ?? "sheaf",
    state: one("state"),
  };
}

function agentName(text: string, at: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text)) return text;
  throw wrong(
    at,
    `"${text}" cannot be the name of an agent`,
    "Use letters, digits, dots, underscores, hyphens.",
  );
}

function wholeNumber(
  text: string | null,
  least: number,
  most: number,
  what: string,
  at: string,
): number | null {
  if (text === null) return null;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw wrong(at, `${what}=${text} is not a whole number from ${least} to ${most}`, "Correct the line.");
}

function wrong(at: string, message: string, hint: string): SheafError {
  return new SheafError("USAGE", `${at}: ${message}`, { hint });
}
