import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { SheafError, describeThrown } from "../../base/errors.ts";
import { shellWord } from "../../base/shell-word.ts";
import { ApiClient } from "../../client/api-client.ts";
import type { NodeView } from "../../protocol/job-view.ts";
import { isLoopback } from "../../security/host-list.ts";
import { defaultHost } from "../../security/listen.ts";
import { loadTls } from "../../security/tls.ts";
import type { TlsFiles } from "../../security/tls.ts";
import { readTokenFile, tokenFilesIn } from "../../security/token-file.ts";
import { asSheafError } from "../../storage/fs-error.ts";
import { isRunning } from "../cluster/background-process.ts";
import { clusterDown } from "../cluster/cluster-down.ts";
import { ClusterFile } from "../cluster/cluster-file.ts";
import type { ClusterRecord } from "../cluster/cluster-file.ts";
import { clusterUp } from "../cluster/cluster-up.ts";
import { parseInventory } from "../cluster/inventory.ts";
import type { InventoryNode } from "../cluster/inventory.ts";
import type { Invocation } from "../command.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import { coordinatorPortDefault } from "../flags/coordinator-flags.ts";
import { agentsDefault } from "../flags/local-cluster-flags.ts";
import type { localClusterFlags } from "../flags/local-cluster-flags.ts";
import { coordinatorStateOf } from "../server-state.ts";
import { stateDirectoryOf } from "../state-directory.ts";
import { nodeLines } from "./nodes.ts";
import { table } from "../ui/layout.ts";
import type { World } from "../world.ts";
import { say, writeTo } from "../world.ts";

type Given = Invocation<typeof localClusterFlags>;

const graceMsDefault = 30_000;

export async function run({ flags, positionals, world }: Given): Promise<ExitCode> {
  const state = flags.state === undefined ? stateDirectoryOf(world) : resolve(world.cwd, flags.state);
  const file = new ClusterFile(state);
  switch (positionals[0]) {
    case "up":
      return up(flags, state, file, world);
    case "down":
      return down(flags, file, world);
    case "status":
      return status(flags, state, file, world);
    default:
      throw new SheafError("USAGE", `"${positionals[0]}" is nothing one can do with a cluster`, {
        hint: "Give up, down or status.",
      });
  }
}

async function up(flags: Given["flags"], state: string, file: ClusterFile, world: World): Promise<ExitCode> {
  const inventory = flags.inventory === undefined ? null : readInventory(resolve(world.cwd, flags.inventory));
  if (inventory !== null && flags.agents !== undefined) {
    throw new SheafError("USAGE", "--agents and --inventory exclude each other", {
      hint: "An inventory has a line for each agent.",
    });
  }
  if (inventory !== null && flags.tls === true) {
    throw new SheafError("USAGE", "--tls and --inventory exclude each other", {
      hint: "Certificates that are made here are for this machine. For others: sheaf certs, and docs/tls.md.",
    });
  }
  const { url, tokenFile, tls, nodes, revived } = await clusterUp({
    stateDirectory: state,
    file,
    host: flags.host ?? defaultHost,
    port: flags.port ?? coordinatorPortDefault,
    agents: flags.agents ?? agentsDefault,
    slots: flags.slots,
    roots: flags.roots.map((root) => resolve(world.cwd, root)),
    tls: flags.tls === true,
    nowMs: world.clock.wallMs(),
    inventory,
    env: world.env,
  });
  if (flags.json === true) {
    await writeTo(
      world.stdout,
      `${JSON.stringify({ url, tokenFile, tls, nodes, revived, truncated: false })}\n`,
    );
    return exitCodes.ok;
  }
  await writeTo(world.stdout, `${nodeLines(nodes).join("\n")}\n`);
  if (revived.length > 0) {
    const what = `started again, with the settings the cluster had: ${revived.join(", ")}`;
    await writeTo(world.stderr, `\n${what}\n`);
  }
  const isUsual = tokenFile === tokenFilesIn(coordinatorStateOf(world)).client;
  const token = isUsual ? "" : `export SHEAF_TOKEN_FILE=${shellWord(tokenFile)}\n`;
  const files = tls === null ? "" : exportsOf(tls);
  await writeTo(world.stderr, `\nthe cluster is up; use it with\n\nexport SHEAF_ON=${url}\n${token}${files}`);
  if (flags.host !== undefined && !isLoopback(flags.host)) {
    const clear = tls === null ? "; without TLS it crosses the network in clear" : "";
    await writeTo(world.stderr, `\nother machines need ${tokenFile}, too${clear}\n`);
  }
  return exitCodes.ok;
}

function exportsOf({ ca, cert, key }: TlsFiles): string {
  const [one, two, three] = [ca, cert, key].map((path) => shellWord(path));
  return `export SHEAF_TLS_CA=${one}\nexport SHEAF_TLS_CERT=${two}\nexport SHEAF_TLS_KEY=${three}\n`;
}

async function down(flags: Given["flags"], file: ClusterFile, world: World): Promise<ExitCode> {
  const json = flags.json === true;
  const ended = await clusterDown({
    file,
    force: flags.force === true,
    graceMs: flags.grace ?? graceMsDefault,
    say: (text) => {
      if (!json) say(world.stderr, `${text}\n`);
    },
  });
  if (json) await writeTo(world.stdout, `${JSON.stringify({ ended })}\n`);
  else if (ended === 0) await writeTo(world.stderr, `no cluster was started in ${file.directory}\n`);
  return exitCodes.ok;
}

async function status(
  flags: Given["flags"],
  state: string,
  file: ClusterFile,
  world: World,
): Promise<ExitCode> {
  const record = file.read();
  if (record === null) {
    if (flags.json === true) await writeTo(world.stdout, `${JSON.stringify({ url: null, processes: [] })}\n`);
    else
      await writeTo(
        world.stderr,
        `no cluster was started in ${file.directory}; start one: sheaf cluster up\n`,
      );
    return exitCodes.failed;
  }
  const processes = record.processes.map((one) => ({
    ...one,
    running: one.ssh === null ? isRunning(one) : null,
  }));
  const heard = await nodesOf(
    record,
    tokenFilesIn(coordinatorStateOf(world, resolve(state, "coordinator"))).client,
    world.clock.wallMs(),
  );
  const isWell = "nodes" in heard && processes.every(({ running }) => running !== false);
  if (flags.json === true) {
    const answer = { url: record.url, processes, ...heard, truncated: false };
    await writeTo(world.stdout, `${JSON.stringify(answer)}\n`);
    return isWell ? exitCodes.ok : exitCodes.failed;
  }
  const columns = [
    { title: "PROCESS" },
    { title: "PID", align: "right" },
    { title: "STATE" },
    { title: "LOG" },
  ] as const;
  const rows = processes.map(({ name, pid, running, ssh, log }) => [
    name,
    String(pid),
    running === null ? `on ${ssh}` : running ? "running" : "gone",
    log,
  ]);
  await writeTo(world.stdout, `${table(columns, rows).join("\n")}\n\n`);
  if ("nodes" in heard) await writeTo(world.stdout, `${record.url}\n${nodeLines(heard.nodes).join("\n")}\n`);
  else await writeTo(world.stdout, `${heard.error}\n`);
  return isWell ? exitCodes.ok : exitCodes.failed;
}

/** What the coordinator knows of its agents, or why it cannot be asked. */
async function nodesOf(
  { url, tls }: ClusterRecord,
  tokenFile: string,
  nowMs: number,
): Promise<{ readonly nodes: readonly NodeView[] } | { readonly error: string }> {
  try {
    const certificates = tls === undefined ? {} : { tls: loadTls(tls, nowMs).client };
    const token = readTokenFile(tokenFile, "client");
    const api = new ApiClient({ url, token, retryMs: 0, ...certificates });
    try {
      return { nodes: await api.nodes() };
    } finally {
      await api.close();
    }
  } catch (error) {
    return { error: describeThrown(error) };
  }
}

function readInventory(path: string): InventoryNode[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw asSheafError(error, { path, doing: "read" });
  }
  return parseInventory(text, path);
}
