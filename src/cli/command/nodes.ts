import { SheafError } from "../../base/errors.ts";
import { escapeControls } from "../../base/escape-controls.ts";
import { formatSize } from "../../base/size.ts";
import type { ApiClient } from "../../client/api-client.ts";
import type { NodeView } from "../../protocol/job-view.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { withCluster } from "../connection.ts";
import { inCategory, types, valueFlag } from "../flag.ts";
import { connectFlags, jsonFlag } from "../flags.ts";
import { formatDuration, textTable } from "../ui/text.ts";
import { writeJson, writeTo } from "../world.ts";

export const nodesFlags = inCategory("Cluster", {
  ...connectFlags,
  reason: valueFlag("--reason TEXT", types.string, "Why it is barred", { default: "by hand" }),
  json: jsonFlag,
});

export const nodesCommand: CliCommand<typeof nodesFlags> = {
  name: "nodes",
  summary: "List the agents of a cluster; bar, admit or drain one",
  details: [
    "bar: no more tasks for it until admit, also after it has started anew. drain: it finishes what runs and gets " +
      "nothing new; undrain ends that.",
    "UTILITY is what the agent bids: the idle share of processors or disks, whichever is less, in percent.",
  ],
  arguments: [
    {
      name: "ACTION",
      doc: "bar, admit, drain or undrain; default: list",
      required: false,
      choices: ["bar", "admit", "drain", "undrain"],
    },
    { name: "NAME", doc: "The agent", required: false },
  ],
  flags: nodesFlags,
  examples: [
    ["sheaf nodes --on http://10.0.0.5:7077", "All agents"],
    ["sheaf nodes drain node3", "Before that machine is rebooted"],
  ],
  run,
};

async function run({ flags, positionals, world }: Invocation<typeof nodesFlags>): Promise<ExitCode> {
  const [action, name] = positionals;
  if (action !== undefined && name === undefined) {
    throw new SheafError("USAGE", `sheaf nodes ${action}: which agent?`, {
      hint: `Give its name: sheaf nodes ${action} NAME. sheaf nodes lists them.`,
    });
  }
  return withCluster(flags, world, async (api) => {
    const nodes =
      action === undefined || name === undefined
        ? await api.nodes()
        : [await steer(api, action, name, flags.reason ?? "by hand")];
    if (flags.json === true) {
      const answer = action === undefined ? { nodes, truncated: false } : nodes[0];
      await writeJson(world, answer);
    } else if (nodes.length === 0) {
      await writeTo(
        world.stderr,
        `no agent has joined ${api.url}; start one: sheaf agent --join ${api.url}\n`,
      );
    } else await writeTo(world.stdout, `${nodeLines(nodes).join("\n")}\n`);
    return exitCodes.ok;
  });
}

function steer(api: ApiClient, action: string, name: string, reason: string): Promise<NodeView> {
  switch (action) {
    case "bar":
      return api.bar(name, reason);
    case "admit":
      return api.admit(name);
    case "drain":
      return api.drain(name, true);
    case "undrain":
      return api.drain(name, false);
    default:
      throw new SheafError("USAGE", `sheaf nodes cannot do "${action}"`, {
        hint: "Give bar, admit, drain or undrain.",
      });
  }
}

/** Also what `sheaf cluster status` shows. */
export function nodeLines(nodes: readonly NodeView[]): string[] {
  const columns = ["AGENT", "STATE", "HOST", ">BUSY", ">SLOTS", ">UTILITY", ">FREE", ">HEARD OF", "NOTE"];
  return textTable(
    columns,
    nodes.map((node) => [
      node.agent,
      node.barred === null ? node.state : "barred",
      node.host,
      String(node.busy),
      String(node.slots),
      node.state === "lost" ? "" : `${Math.round(node.utility.utility)}%`,
      node.state === "lost" ? "" : formatSize(node.utility.freeMemoryBytes),
      node.silentMs < 1_000 ? "now" : `${formatDuration(node.silentMs)} ago`,
      node.barred === null ? "" : escapeControls(node.barred),
    ]),
  );
}
