import type { Command } from "../command.ts";
import { localClusterFlags } from "../flags/local-cluster-flags.ts";

export const clusterCommand: Command<typeof localClusterFlags> = {
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
    { command: "sheaf cluster up --agents 3", doc: "Three agents on this machine, to try it out" },
    {
      command: "sheaf cluster up --inventory nodes.txt --host 10.0.0.1 --root /mnt/shared",
      doc: "An agent on each machine of nodes.txt",
    },
    { command: "sheaf cluster down", doc: "End it" },
  ],
  load: () => import("../action/cluster.ts"),
};
