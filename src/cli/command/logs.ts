import type { Command } from "../command.ts";
import { logsFlags } from "../flags/logs-flags.ts";

export const logsCommand: Command<typeof logsFlags> = {
  name: "logs",
  summary: "Show what the tasks of a job have printed",
  details: [
    "On a cluster a line is [map-00017.1 stdout] and what was printed: task, attempt, and log (ctx.log), stdout or " +
      "stderr. Of a job on this machine it is [map-00017] and what was printed, task after task.",
  ],
  arguments: [
    { name: "HANDLE", doc: "Job, or job:task; default @, the latest", required: false, complete: "handle" },
  ],
  flags: logsFlags,
  examples: [
    { command: "sheaf logs -f", doc: "As the latest job prints" },
    { command: "sheaf logs @?wordcount:map-17", doc: "One task" },
  ],
  load: () => import("../action/logs.ts"),
};
