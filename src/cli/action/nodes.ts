import { escapeControls } from "../../base/escape-controls.ts";
import { SheafError } from "../../base/errors.ts";
import { formatSize } from "../../base/size.ts";
import type { ApiClient } from "../../client/api-client.ts";
import type { NodeView } from "../../protocol/job-view.ts";
import { withCluster } from "../cluster-connection.ts";
import type { Invocation } from "../command.ts";
import { formatDuration } from "../duration.ts";
import { exitCodes } from "../exit-code.ts";
import type { ExitCode } from "../exit-code.ts";
import type { nodesFlags } from "../flags/nodes-flags.ts";
import { table } from "../ui/layout.ts";
import { writeTo } from "../world.ts";

export async function run({ flags, positionals, world }: Invocation<typeof nodesFlags>): Promise<ExitCode> {
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
      await writeTo(world.stdout, `${JSON.stringify(answer)}\n`);
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
      throw new SheafError("USAGE", `"${action}" is nothing one can do with an agent`, {
        hint: "Give bar, admit, drain or undrain.",
      });
  }
}

/** Also what `sheaf cluster status` shows. */
export function nodeLines(nodes: readonly NodeView[]): string[] {
  const columns = [
    { title: "AGENT" },
    { title: "STATE" },
    { title: "HOST" },
    { title: "BUSY", align: "right" },
    { title: "SLOTS", align: "right" },
    { title: "UTILITY", align: "right" },
    { title: "FREE", align: "right" },
    { title: "HEARD OF", align: "right" },
    { title: "NOTE" },
  ] as const;
  return table(
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
