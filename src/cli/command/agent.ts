import type { Command } from "../command.ts";
import { agentFlags } from "../flags/agent-flags.ts";

export const agentCommand: Command<typeof agentFlags> = {
  name: "agent",
  summary: "Offer this machine's cores to a cluster",
  details: [
    "Joins a coordinator, runs tasks in worker processes, and keeps what maps have written until their job ends. It " +
      "dials out to the coordinator; other agents fetch map outputs from it.",
  ],
  arguments: [],
  flags: agentFlags,
  examples: [
    { command: "sheaf agent --join http://127.0.0.1:7077", doc: "An agent beside its coordinator" },
    {
      command:
        "sheaf agent --join http://head:7077 --host 10.0.0.5 --token-file agent.token --root /mnt/shared",
      doc: "On another machine",
    },
  ],
  load: () => import("../action/agent.ts"),
};
