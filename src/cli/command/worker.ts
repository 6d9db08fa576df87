import type { Command } from "../command.ts";
import { workerFlags } from "../flags/agent-flags.ts";

export const workerCommand: Command<typeof workerFlags> = {
  name: "worker",
  summary: "Run tasks for a `sheaf run --listen` until all is done",
  details: [
    "Asks the driver for tasks, one at a time, and exits when it is told that there will be no more. Start as many as " +
      "there are cores to use, on any machine that sees the input and the output.",
  ],
  arguments: [],
  flags: workerFlags,
  examples: [
    { command: "sheaf worker --driver http://127.0.0.1:5000 --token-file agent.token", doc: "One worker" },
  ],
  load: () => import("../action/worker.ts"),
};
