import type { Command } from "../command.ts";
import { coordinatorFlags } from "../flags/coordinator-flags.ts";

export const coordinatorCommand: Command<typeof coordinatorFlags> = {
  name: "coordinator",
  summary: "Run the coordinator of a cluster",
  details: [
    "Takes jobs, gives their tasks to agents, and keeps all it must not forget in its state directory: killed at any " +
      "moment and started again, it goes on. It never runs a job's code itself.",
    "The first start makes two token files in the state directory: client.token for those who submit jobs, " +
      "agent.token for the agents.",
  ],
  arguments: [],
  flags: coordinatorFlags,
  examples: [
    { command: "sheaf coordinator", doc: "For agents and clients on this machine" },
    { command: "sheaf coordinator --host 0.0.0.0 --root /mnt/shared", doc: "For a network" },
  ],
  load: () => import("../action/coordinator.ts"),
};
