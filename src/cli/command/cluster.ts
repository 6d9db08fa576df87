import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { SheafError, describeThrown } from "../../base/errors.ts";
import { settings } from "../../base/limits.ts";
import { shellWord } from "../../base/shell-word.ts";
import type { NodeView } from "../../protocol/job-view.ts";
import { isLoopback } from "../../security/host-list.ts";
import { defaultHost } from "../../security/listen.ts";
import type { TlsFiles } from "../../security/tls.ts";
import { readTokenFile, tokenFilesIn } from "../../security/token-file.ts";
import { asSheafError } from "../../storage/fs-error.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { stateDirectoryOf } from "../connection.ts";
import { inCategory, repeatedFlag, secondsText, switchFlag, types, valueFlag } from "../flag.ts";
import { jsonFlag } from "../flags.ts";
import { readFlags, storesFlag } from "../own-stores.ts";
import { coordinatorStateOf } from "../server.ts";
import { rootOf } from "../server.ts";
import { textTable } from "../ui/text.ts";
import { type World, say, writeJson, writeTo } from "../world.ts";
import type { ClusterFile, ClusterRecord } from "./cluster/processes.ts";
import type { InventoryNode } from "./cluster/remote.ts";
import { nodeLines } from "./nodes.ts";

export const localClusterFlags = inCategory("Cluster", {
  agents: valueFlag("--agents N", types.integer(settings.agents), "Agents on this machine", {
    default: String(settings.agents.default),
  }),
  slots: valueFlag("--slots N", types.integer(settings.slots), "Tasks each agent runs at a time", {
    default: "the cores, shared out",
  }),
  port: valueFlag(
    "-p, --port PORT",
    types.integer(settings.port),
    "Port of the coordinator; 0 takes any free one",
    { default: String(settings.coordinatorPort.default) },
  ),
  host: valueFlag(
    "--host ADDRESS",
    types.string,
    "Address of this machine that the agents of an inventory reach the coordinator at",
    { default: "127.0.0.1" },
  ),
  tls: switchFlag("--tls", "up: TLS between all of them, with certificates made for it", {
    details: "They are in DIR/cluster/certs, and made anew each time. For several machines: sheaf certs.",
  }),
  inventory: valueFlag(
    "--inventory FILE",
    types.path,
    "Start agents on these machines by ssh, instead of on this one",
    { details: "One machine a line: HOST [NAME=VALUE...]; docs/cluster.md has the names." },
  ),
  roots: repeatedFlag("--root DIR", types.place, "Jobs may read and write files below DIR; may be repeated", {
    default: "all when everything is on this machine, else none",
  }),
  allowAddress: repeatedFlag(
    "--allow-address ADDRESS",
    types.string,
    "up: agents may read from this address of its networks; may be repeated",
    { details: "As sheaf agent has it; for --root http://..." },
  ),
  stores: storesFlag,
  state: valueFlag(
    "--state DIR",
    types.path,
    "Directory for the state of coordinator and agents, their logs and process ids",
    { default: "$SHEAF_STATE, else ~/.local/state/sheaf" },
  ),
  grace: valueFlag("--grace TIME", types.duration, "down: how long agents may finish what runs", {
    default: secondsText(settings.graceMs),
  }),
  force: switchFlag("--force", "down: kill at once, without waiting for anything"),
  json: jsonFlag,
});

export const clusterCommand: CliCommand<typeof localClusterFlags> = {
  name: "cluster",
  summary: "Start, look at and stop a cluster: on this machine, or by ssh on several",
  details: [
    "up starts a coordinator and agents as processes in the background, waits until all have joined, and says how to " +
      "use them. Their logs and process ids are in DIR/cluster. status shows them. Where some of them have ended, up " +
      "starts these again, as they were: a coordinator that was killed goes on with its jobs.",
    "down lets agents finish what runs, then ends them and the coordinator. What the coordinator knows stays: the next " +
      "up goes on with it. With --force everything is killed at once; jobs go on at the next up all the same.",
    "With --inventory the coordinator runs here and an agent on each machine listed; ssh must get there without asking " +
      "anything, and sheaf must be installed there.",
  ],
  arguments: [
    { name: "ACTION", doc: "up, down or status", required: true, choices: ["up", "down", "status"] },
  ],
  flags: localClusterFlags,
  examples: [
    ["sheaf cluster up --agents 3", "Three agents on this machine, to try it out"],
    [
      "sheaf cluster up --inventory nodes.txt --host 10.0.0.1 --root /mnt/shared",
      "An agent on each machine of nodes.txt",
    ],
    ["sheaf cluster down", "End it"],
  ],
  run,
};

type Given = Invocation<typeof localClusterFlags>;

async function run({ flags, positionals, world }: Given): Promise<ExitCode> {
  const state = flags.state === undefined ? stateDirectoryOf(world) : resolve(world.cwd, flags.state);
  const { ClusterFile } = await import("./cluster/processes.ts");
  const file = new ClusterFile(state);
  switch (positionals[0]) {
    case "up":
      return up(flags, state, file, world);
    case "down":
      return down(flags, file, world);
    case "status":
      return status(flags, state, file, world);
    default:
      throw new SheafError("USAGE", `sheaf cluster cannot do "${positionals[0]}"`, {
        hint: "Give up, down or status.",
      });
  }
}

async function up(flags: Given["flags"], state: string, file: ClusterFile, world: World): Promise<ExitCode> {
  const inventory =
    flags.inventory === undefined ? null : await readInventory(resolve(world.cwd, flags.inventory));
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
  const { url, tokenFile, tls, nodes, revived } = await (
    await import("./cluster/up.ts")
  ).clusterUp({
    stateDirectory: state,
    file,
    host: flags.host ?? defaultHost,
    port: flags.port ?? settings.coordinatorPort.default,
    agents: flags.agents ?? settings.agents.default,
    slots: flags.slots,
    roots: flags.roots.map((root) => rootOf(root, world.cwd)),
    agentFlags: readFlags(flags, world.cwd),
    tls: flags.tls === true,
    nowMs: world.clock.wallMs(),
    inventory,
    env: world.env,
  });
  if (flags.json === true) {
    await writeJson(world, { url, tokenFile, tls, nodes, revived, truncated: false });
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

/** Variables that name a client's TLS files, for a shell. */
export function exportsOf({ ca, cert, key }: TlsFiles): string {
  const [one, two, three] = [ca, cert, key].map((path) => shellWord(path));
  return `export SHEAF_TLS_CA=${one}\nexport SHEAF_TLS_CERT=${two}\nexport SHEAF_TLS_KEY=${three}\n`;
}

async function down(flags: Given["flags"], file: ClusterFile, world: World): Promise<ExitCode> {
  const json = flags.json === true;
  const { clusterDown } = await import("./cluster/processes.ts");
  const ended = await clusterDown({
    file,
    force: flags.force === true,
    graceMs: flags.grace ?? settings.graceMs.default,
    say: (text) => {
      if (!json) say(world.stderr, `${text}\n`);
    },
  });
  if (json) await writeJson(world, { ended });
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
    if (flags.json === true) await writeJson(world, { url: null, processes: [] });
    else
      await writeTo(
        world.stderr,
        `no cluster was started in ${file.directory}; start one: sheaf cluster up\n`,
      );
    return exitCodes.failed;
  }
  const { isRunning } = await import("./cluster/processes.ts");
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
    await writeJson(world, answer);
    return isWell ? exitCodes.ok : exitCodes.failed;
  }
  const columns = ["PROCESS", ">PID", "STATE", "LOG"];
  const rows = processes.map(({ name, pid, running, ssh, log }) => [
    name,
    String(pid),
    running === null ? `on ${ssh}` : running ? "running" : "gone",
    log,
  ]);
  await writeTo(world.stdout, `${textTable(columns, rows).join("\n")}\n\n`);
  if ("nodes" in heard) await writeTo(world.stdout, `${record.url}\n${nodeLines(heard.nodes).join("\n")}\n`);
  else await writeTo(world.stdout, `${heard.error}\n`);
  return isWell ? exitCodes.ok : exitCodes.failed;
}

/** What the coordinator knows of its agents, or why it cannot be asked. */
export async function nodesOf(
  { url, tls }: Pick<ClusterRecord, "url" | "tls">,
  tokenFile: string,
  nowMs: number,
): Promise<{ readonly nodes: readonly NodeView[] } | { readonly error: string }> {
  try {
    const { ApiClient } = await import("../../client/api-client.ts");
    const { loadTls } = await import("../../security/tls.ts");
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

async function readInventory(path: string): Promise<InventoryNode[]> {
  const { parseInventory } = await import("./cluster/remote.ts");
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw asSheafError(error, { path, doing: "read" });
  }
  return parseInventory(text, path);
}
