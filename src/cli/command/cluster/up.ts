import { existsSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { SheafError } from "../../../base/errors.ts";
import { settings } from "../../../base/limits.ts";
import { ApiClient } from "../../../client/api-client.ts";
import type { NodeView } from "../../../protocol/job-view.ts";
import { initAuthority, issueInto } from "../../../security/certificate-directory.ts";
import { isEverywhere, isLoopback } from "../../../security/host-list.ts";
import { type TlsFiles, loadTls } from "../../../security/tls.ts";
import { ensureTokenFile, readTokenFile, tokenFilesIn } from "../../../security/token-file.ts";
import { ensurePrivateDirectory } from "../../../storage/private-directory.ts";
import {
  type ClusterFile,
  type ClusterProcess,
  type ClusterRecord,
  type ProcessMark,
  isRunning,
  notStarted,
  signalProcess,
  startInBackground,
  until,
} from "./processes.ts";
import { type InventoryNode, startRemoteAgent, stopRemoteAgent } from "./remote.ts";

const startMsMax = 60_000;

export interface UpOptions {
  readonly stateDirectory: string;
  readonly file: ClusterFile;
  readonly host: string;
  readonly port: number;
  readonly agents: number;
  readonly slots: number | undefined;
  readonly roots: readonly string[];
  /** Flags of sheaf agent that are passed on as they are; paths in them are absolute. */
  readonly agentFlags: readonly string[];
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
  /** Names of what had ended and was started again; [] when all of it was started now. */
  readonly revived: readonly string[];
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
    if (before.processes.some(hasEnded)) return revive(options, before);
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
    const at = processes.findIndex(({ name }) => name === process.name);
    processes.splice(at < 0 ? processes.length : at, 1, process);
    file.write({ version: 1, url, ...(tls === null ? {} : { tls }), processes });
  };
  try {
    url = await startCoordinator(options, tlsFlags(certs?.coordinator ?? null), started);
    const client = clientOf(url, tokens.client, tls, nowMs);
    // A coordinator that goes on remembers agents of before: those are not the ones that are started now.
    const earlier = await client.nodes();
    if (inventory === null) await startAgentsHere(options, url, tlsFlags(certs?.agents ?? null), started);
    else await startAgentsThere(options, inventory, url, readTokenFile(tokens.agent, "agent"), started);
    const nodes = await joined(client, earlier, processes);
    await client.close();
    return { url, tokenFile: tokens.client, tls, nodes, revived: [] };
  } catch (error) {
    await endAll(processes);
    file.remove();
    throw error;
  }
}

/** Starts again what has ended of a cluster of which something still runs, with the settings it had. */
async function revive(options: UpOptions, record: ClusterRecord): Promise<UpResult> {
  const { file, stateDirectory, nowMs } = options;
  const { url, tls = null } = record;
  const ended = record.processes.filter(hasEnded);
  const processes = [...record.processes];
  const startAgain = async (one: ClusterProcess): Promise<ProcessMark> => {
    if (one.args === undefined) throw notStarted(one.name, one.log);
    const mark = await startInBackground(one.args, emptied(one.log), environment(options));
    processes[processes.indexOf(one)] = { ...one, ...mark };
    file.write({ ...record, processes });
    return mark;
  };
  for (const one of ended) if (one.name === "coordinator") await listening(await startAgain(one), one.log);
  const tokenFile = tokenFilesIn(join(stateDirectory, "coordinator")).client;
  const client = clientOf(url, tokenFile, tls, nowMs);
  try {
    const agents = ended.filter(({ name }) => name !== "coordinator");
    const earlier = await client.nodes();
    for (const one of agents) await startAgain(one);
    const lives = earlier.filter(({ agent }) => agents.some(({ name }) => name === agent));
    const nodes = await joined(client, lives, processes);
    return { url, tokenFile, tls, nodes, revived: ended.map(({ name }) => name) };
  } finally {
    await client.close();
  }
}

/** Whether it is known to have ended: not of what was started on another machine. */
function hasEnded(one: ClusterProcess): boolean {
  return one.ssh === null && !isRunning(one);
}

function clientOf(url: string, tokenFile: string, tls: TlsFiles | null, nowMs: number): ApiClient {
  return new ApiClient({
    url,
    token: readTokenFile(tokenFile, "client"),
    retryMs: 5_000,
    ...(tls === null ? {} : { tls: loadTls(tls, nowMs).client }),
  });
}

/** A log that is written from the beginning again. */
function emptied(log: string): string {
  if (existsSync(log)) truncateSync(log);
  return log;
}

type Started = (process: ClusterProcess) => void;

async function startCoordinator(
  options: UpOptions,
  tls: readonly string[],
  started: Started,
): Promise<string> {
  const { file, host, port, roots } = options;
  const log = file.log("coordinator");
  const more = ["--host", host, ...rootFlags(roots), ...tls];
  const argsWith = (at: string | number): string[] => ["coordinator", "--port", String(at), ...more];
  const args = argsWith(port);
  const mark = await startInBackground(args, emptied(log), environment(options));
  const process = { ...mark, name: "coordinator", ssh: null, log };
  started({ ...process, args });
  const url = await listening(mark, log);
  // Started again, it is to be where its agents look for it.
  started({ ...process, args: argsWith(new URL(url).port) });
  return url;
}

/** Waits until a coordinator says where it listens. */
async function listening(mark: ProcessMark, log: string): Promise<string> {
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
  const { agents, file, roots, agentFlags } = options;
  const slots = options.slots ?? Math.max(1, Math.floor(availableParallelism() / agents));
  for (let index = 1; index <= agents; index++) {
    const name = `agent-${index}`;
    const log = file.log(name);
    const given = ["--join", url, "--name", name, "--slots", String(slots)];
    const args = ["agent", ...given, ...rootFlags(roots), ...agentFlags, ...tls];
    const mark = await startInBackground(args, emptied(log), environment(options));
    started({ ...mark, name, ssh: null, log, args });
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
    const { slots = null, roots, agentFlags } = options;
    const start = { node: { ...node, slots: node.slots ?? slots }, join: join_, token, roots, agentFlags };
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

/** What `sheaf cluster up --tls` gives to whom. */
export interface ClusterCertificates {
  readonly coordinator: TlsFiles;
  /** For all agents, which are on this machine. */
  readonly agents: TlsFiles;
  readonly client: TlsFiles;
}

/**
 * Makes an authority and certificates in the directory, which is emptied before: what was issued for an
 * earlier cluster opens nothing of this one.
 * @param host at which others reach the coordinator
 * @throws SheafError CERTIFICATE_INVALID when they cannot be written
 */
async function makeClusterCertificates(
  directory: string,
  host: string,
  nowMs: number,
): Promise<ClusterCertificates> {
  rmSync(directory, { recursive: true, force: true });
  await initAuthority(directory, { days: settings.authorityDays.default, nowMs });
  const ca = join(directory, "ca.pem");
  const issue = async (name: string, hosts: readonly string[]): Promise<TlsFiles> => {
    const made = await issueInto(directory, { name, hosts, days: settings.certificateDays.default, nowMs });
    return { ca, ...made };
  };
  return {
    coordinator: await issue("coordinator", [...new Set([host, "127.0.0.1", "localhost"])]),
    agents: await issue("agents", ["127.0.0.1", "localhost"]),
    client: await issue("client", []),
  };
}

/** As flags of a command. */
function tlsFlags(files: TlsFiles | null): string[] {
  return files === null ? [] : ["--tls-ca", files.ca, "--tls-cert", files.cert, "--tls-key", files.key];
}
