import { spawn } from "node:child_process";
import { SheafError } from "../../base/errors.ts";
import { isLoopback } from "../../security/host-list.ts";
import type { InventoryNode } from "./inventory.ts";

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
  // Another process may have the id by now: only an agent is ended.
  const isAgent = `ps -o args= -p ${pid} 2>/dev/null | grep -q "agent --join"`;
  const script =
    `${isAgent} || { echo gone; exit 0; }; kill -${signal} ${pid}; i=0; ` +
    `while kill -0 ${pid} 2>/dev/null && [ $i -lt ${tries} ]; do sleep 1; i=$((i+1)); done; ` +
    `kill -0 ${pid} 2>/dev/null && echo left || echo gone`;
  return (await ssh(host, script, "")).includes("gone");
}

/** sh on the other machine: token file, then the agent in the background, then its process id. */
function startScript({ node, join, roots }: RemoteStart): string {
  const state = stateOf(node);
  const beyond = isLoopback(node.address)
    ? []
    : [
        "--host",
        "0.0.0.0",
        "--advertise",
        `http://${hostInUrl(node.address)}:${node.port}`,
        "--port",
        String(node.port),
      ];
  const args = [
    "agent",
    "--join",
    join,
    "--name",
    node.name,
    ...(node.slots === null ? [] : ["--slots", String(node.slots)]),
    ...beyond,
    ...[...roots, ...node.roots].flatMap((root) => ["--root", root]),
  ];
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
