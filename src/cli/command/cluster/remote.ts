import { spawn } from "node:child_process";
import { SheafError } from "../../../base/errors.ts";
import { settings } from "../../../base/limits.ts";
import { isLoopback } from "../../../security/host-list.ts";
import { splitAddress } from "../../../storage/store.ts";

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
  for (const path of [
    ...roots.filter((root) => splitAddress(root) === null),
    ...(given.get("state") ?? []),
  ]) {
    if (!path.startsWith("/")) throw wrong(at, `"${path}" is no absolute path`, "Begin it with /.");
  }
  return {
    ssh: host,
    address,
    name: agentName(one("name") ?? address.replace(/[^A-Za-z0-9._-]+/g, "-"), at),
    slots: wholeNumber(one("slots"), settings.slots, "slots", at),
    port: wholeNumber(one("port"), settings.port, "port", at) ?? portDefault,
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
  { min, max }: { readonly min: number; readonly max: number },
  what: string,
  at: string,
): number | null {
  if (text === null) return null;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw wrong(at, `${what}=${text} is not a whole number from ${min} to ${max}`, "Correct the line.");
}

function wrong(at: string, message: string, hint: string): SheafError {
  return new SheafError("USAGE", `${at}: ${message}`, { hint });
}

const connectSeconds = 10;

/** An agent on another machine, by ssh: nothing is asked, and no shell of this machine reads what is sent. */
export interface RemoteStart {
  readonly node: InventoryNode;
  /** URL of the coordinator. */
  readonly join: string;
  /** The agents' token: goes in by standard input, never on a command line. */
  readonly token: string;
  /** For all machines, besides the node's own. */
  readonly roots: readonly string[];
  /** More flags of the agent. */
  readonly agentFlags: readonly string[];
}

/**
 * Starts an agent in the background of its machine and answers its process id there.
 * @throws SheafError UNREACHABLE with what ssh or the machine said
 */
export async function startRemoteAgent(start: RemoteStart): Promise<{ pid: number; log: string }> {
  const { node, token } = start;
  const answer = await ssh(node.ssh, startScript(start), `${token}\n`);
  const pid = Number(/^(\d+)$/m.exec(answer)?.[1] ?? Number.NaN);
  if (Number.isInteger(pid)) return { pid, log: `${node.ssh}:${logOf(node)}` };
  throw new SheafError(
    "UNREACHABLE",
    `${node.ssh}: the agent did not start: ${answer.trim().slice(0, 500)}`,
    {
      hint: `Try it by hand: ssh ${node.ssh} ${node.sheaf} version`,
    },
  );
}

/** Ends the agent there; resolves when it is gone, or the time is over. @throws SheafError UNREACHABLE */
export async function stopRemoteAgent(
  host: string,
  pid: number,
  signal: "TERM" | "KILL",
  withinMs: number,
): Promise<boolean> {
  const tries = Math.max(1, Math.ceil(withinMs / 1_000));
  // Another process may have the id by now: only an agent is ended. One that has ended, and nobody has waited
  // for has no arguments any more.
  const isAgent = `ps -o args= -p ${pid} 2>/dev/null | grep -q "agent --join"`;
  const script =
    `${isAgent} || { echo gone; exit 0; }; kill -${signal} ${pid}; i=0; ` +
    `while ${isAgent} && [ $i -lt ${tries} ]; do sleep 1; i=$((i+1)); done; ` +
    `${isAgent} && echo left || echo gone`;
  return (await ssh(host, script, "")).includes("gone");
}

/** sh on the other machine: token file, then the agent in the background, then its process id. */
function startScript({ node, join, roots, agentFlags }: RemoteStart): string {
  const state = stateOf(node);
  const args = ["agent", "--join", join, "--name", node.name];
  if (node.slots !== null) args.push("--slots", String(node.slots));
  if (!isLoopback(node.address)) {
    const advertised = `http://${hostInUrl(node.address)}:${node.port}`;
    args.push("--host", "0.0.0.0", "--advertise", advertised, "--port", String(node.port));
  }
  args.push(...[...roots, ...node.roots].flatMap((root) => ["--root", root]), ...agentFlags);
  const command = [node.sheaf, ...args].map(quote).join(" ");
  const token = `${state}/cluster/agent.token`;
  return (
    `umask 077 && mkdir -p ${state}/cluster && cat > ${token} && ` +
    `{ SHEAF_STATE=${state} nohup ${command} --token-file ${token} > ${logOf(node)} 2>&1 < /dev/null & echo $!; }`
  );
}

/** In the words of the other shell. */
function stateOf(node: InventoryNode): string {
  return node.state === null ? '"${SHEAF_STATE:-$HOME/.local/state/sheaf}"' : quote(node.state);
}

function logOf(node: InventoryNode): string {
  return `${stateOf(node)}/cluster/${node.name}.log`;
}

function hostInUrl(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

function quote(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Runs a script by the other machine's sh; answers what it printed. */
function ssh(host: string, script: string, input: string): Promise<string> {
  const args = ["-o", "BatchMode=yes", "-o", `ConnectTimeout=${connectSeconds}`, "--", host, script];
  return new Promise((resolve, reject) => {
    const child = spawn("ssh", args, { stdio: ["pipe", "pipe", "pipe"] });
    let said = "";
    let wrong = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (wrong += text));
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
    child.once("error", (cause) =>
      reject(
        new SheafError("UNREACHABLE", `ssh cannot be run: ${cause.message}`, {
          hint: "Install an ssh client, or start the agents on their machines: sheaf agent --join URL.",
          cause,
        }),
      ),
    );
    child.once("close", (code) => {
      if (code === 0) return resolve(said);
      const why =
        wrong.trim() === "" ? `ssh ended with ${code}` : wrong.trim().split("\n").slice(-3).join("; ");
      reject(
        new SheafError("UNREACHABLE", `${host}: ${why}`, {
          hint: `Check that this asks for nothing and works: ssh -o BatchMode=yes ${host} true`,
        }),
      );
    });
  });
}
