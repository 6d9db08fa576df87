import { readFileSync, truncateSync, existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { SheafError } from "../../base/errors.ts";
import { ApiClient } from "../../client/api-client.ts";
import type { NodeView } from "../../protocol/job-view.ts";
import { isEverywhere, isLoopback } from "../../security/host-list.ts";
import { ensureTokenFile, readTokenFile, tokenFilesIn } from "../../security/token-file.ts";
import { ensurePrivateDirectory } from "../../security/private-file.ts";
import { loadTls } from "../../security/tls.ts";
import type { TlsFiles } from "../../security/tls.ts";
import { isRunning, notStarted, signalProcess, startInBackground, until } from "./background-process.ts";
import { makeClusterCertificates, tlsFlags } from "./cluster-certificates.ts";
import type { ClusterFile, ClusterProcess } from "./cluster-file.ts";
import type { InventoryNode } from "./inventory.ts";
import { startRemoteAgent, stopRemoteAgent } from "./remote-agent.ts";

const startMsMax = 60_000;

export interface UpOptions {
  readonly stateDirectory: string;
  readonly file: ClusterFile;
  readonly host: string;
  readonly port: number;
  readonly agents: number;
  readonly slots: number | undefined;
  readonly roots: readonly string[];
  /** With certificates that are made for it. REQUIRES: no inventory. */
  readonly tls: boolean;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  /** null: agents on this machine. */
  readonly inventory: readonly InventoryNode[] | null;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface UpResult {
  readonly url: string;
  readonly tokenFile: string;
  /** For clients; null without TLS. */
  readonly tls: TlsFiles | null;
  readonly nodes: readonly NodeView[];
}

/**
 * Starts coordinator and agents, and waits until all have joined. When one does not, everything is ended
 * again.
 * @throws SheafError USAGE when there is one already; UNREACHABLE naming what did not start
 */
export async function clusterUp(options: UpOptions): Promise<UpResult> {
  const { file, stateDirectory, inventory, host, nowMs } = options;
  const before = file.read();
  if (before !== null && before.processes.some((one) => one.ssh !== null || isRunning(one))) {
    throw new SheafError("USAGE", `a cluster was started already: ${before.url}`, {
      hint: "See sheaf cluster status; end it with sheaf cluster down.",
    });
  }
  const far = inventory?.find(({ address }) => !isLoopback(address));
  if (isEverywhere(host) || (far !== undefined && isLoopback(host))) {
    throw new SheafError("USAGE", `${far?.address ?? "an agent"} cannot reach a coordinator at ${host}`, {
      hint: "Give an address of this machine that the others can reach: --host 10.0.0.1.",
    });
  }
  file.prepare();
  // This machine's tokens: a coordinator that listens beyond it does not make them by itself.
  const coordinatorState = join(stateDirectory, "coordinator");
  ensurePrivateDirectory(coordinatorState, "OUTPUT_UNWRITABLE");
  const tokens = tokenFilesIn(coordinatorState);
  ensureTokenFile(tokens.client, "client");
  ensureTokenFile(tokens.agent, "agent");
  const certs = options.tls ? await makeClusterCertificates(file.certificates, host, nowMs) : null;
  const tls = certs?.client ?? null;
  const processes: ClusterProcess[] = [];
  let url = "";
  const started = (process: ClusterProcess): void => {
    processes.push(process);
    file.write({ version: 1, url, ...(tls === null ? {} : { tls }), processes });
  };
  try {
    url = await startCoordinator(options, tlsFlags(certs?.coordinator ?? null), started);
    const client = new ApiClient({
      url,
      token: readTokenFile(tokens.client, "client"),
      retryMs: 5_000,
      ...(tls === null ? {} : { tls: loadTls(tls, nowMs).client }),
    });
    // A coordinator that goes on remembers agents of before: those are not the ones that are started now.
    const earlier = await client.nodes();
    if (inventory === null) await startAgentsHere(options, url, tlsFlags(certs?.agents ?? null), started);
    else await startAgentsThere(options, inventory, url, readTokenFile(tokens.agent, "agent"), started);
    const nodes = await joined(client, earlier, processes);
    await client.close();
    return { url, tokenFile: tokens.client, tls, nodes };
  } catch (error) {
    await endAll(processes);
    file.remove();
    throw error;
  }
}

type Started = (process: ClusterProcess) => void;

async function startCoordinator(
  options: UpOptions,
  tls: readonly string[],
  started: Started,
): Promise<string> {
  const { file, host, port, roots } = options;
  const log = file.log("coordinator");
  if (existsSync(log)) truncateSync(log);
  const args = ["coordinator", "--host", host, "--port", String(port), ...rootFlags(roots), ...tls];
  const mark = await startInBackground(args, log, environment(options));
  started({ ...mark, name: "coordinator", ssh: null, log });
  let url: string | undefined;
  const isReady = (): boolean => {
    url = /listens on (https?:\/\/[^\s;]+)/.exec(readFileSync(log, "utf8"))?.[1];
    return url !== undefined || !isRunning(mark);
  };
  await until(isReady, startMsMax);
  if (url === undefined) throw notStarted("the coordinator", log);
  return url;
}

async function startAgentsHere(
  options: UpOptions,
  url: string,
  tls: readonly string[],
  started: Started,
): Promise<void> {
  const { agents, file, roots } = options;
  const slots = options.slots ?? Math.max(1, Math.floor(availableParallelism() / agents));
  for (let index = 1; index <= agents; index++) {
    const name = `agent-${index}`;
    const log = file.log(name);
    if (existsSync(log)) truncateSync(log);
    const given = ["--join", url, "--name", name, "--slots", String(slots)];
    const args = ["agent", ...given, ...rootFlags(roots), ...tls];
    started({ ...(await startInBackground(args, log, environment(options))), name, ssh: null, log });
  }
}

async function startAgentsThere(
  options: UpOptions,
  inventory: readonly InventoryNode[],
  join_: string,
  token: string,
  started: Started,
): Promise<void> {
  const starts = inventory.map(async (node) => {
    const { slots = null, roots } = options;
    const start = { node: { ...node, slots: node.slots ?? slots }, join: join_, token, roots };
    const { pid, log } = await startRemoteAgent(start);
    started({ pid, startTicks: null, name: node.name, ssh: node.ssh, log });
  });
  const ends = await Promise.allSettled(starts);
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}

/** Waits until every agent that was started is up; answers those. */
async function joined(
  api: ApiClient,
  earlier: readonly NodeView[],
  processes: readonly ClusterProcess[],
): Promise<readonly NodeView[]> {
  const agents = processes.filter(({ name }) => name !== "coordinator");
  let nodes: readonly NodeView[] = [];
  const missing = (): readonly ClusterProcess[] =>
    agents.filter(({ name }) => !nodes.some((node) => node.agent === name));
  const isNew = ({ agent, state, incarnation }: NodeView): boolean =>
    state === "up" && !earlier.some((one) => one.agent === agent && one.incarnation === incarnation);
  const ended = (): boolean => agents.some((one) => one.ssh === null && !isRunning(one));
  await until(async () => {
    nodes = (await api.nodes()).filter(isNew);
    return missing().length === 0 || ended();
  }, startMsMax);
  const [first] = missing();
  if (first === undefined) return nodes;
  if (first.ssh === null) throw notStarted(first.name, first.log);
  throw new SheafError("UNREACHABLE", `${first.name} has not joined within ${startMsMax / 1000} s`, {
    hint: `Its log is ${first.log}. Can ${first.ssh} reach ${api.url}?`,
  });
}

async function endAll(processes: readonly ClusterProcess[]): Promise<void> {
  for (const one of processes) {
    if (one.ssh === null) signalProcess(one, "SIGKILL");
    else await stopRemoteAgent(one.ssh, one.pid, "KILL", 5_000).catch(() => false);
  }
}

function rootFlags(roots: readonly string[]): string[] {
  return roots.flatMap((root) => ["--root", root]);
}

/** Everything of the cluster is in its state directory. */
function environment({ env, stateDirectory }: UpOptions): NodeJS.ProcessEnv {
  const { SHEAF_TOKEN_FILE: _token, SHEAF_ON: _on, ...rest } = env;
  return { ...rest, SHEAF_STATE: stateDirectory };
}
