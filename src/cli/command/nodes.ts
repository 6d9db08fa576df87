import type { Command } from "../command.ts";
import { nodesFlags } from "../flags/nodes-flags.ts";

export const nodesCommand: Command<typeof nodesFlags> = {
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
    { command: "sheaf nodes --on http://10.0.0.5:7077", doc: "All agents" },
    { command: "sheaf nodes drain node3", doc: "Before that machine is rebooted" },
  ],
  load: () => import("../action/nodes.ts"),
};
