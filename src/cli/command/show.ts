import type { Command } from "../command.ts";
import { showFlags } from "../flags/show-flags.ts";

export const showCommand: Command<typeof showFlags> = {
  name: "show",
  summary: "Show how a job went: phases, tasks, attempts, counters, errors",
  details: [
    "HANDLE names the job: @ is the latest, @?NAME the latest of that name, anything else the beginning of a job's id. " +
      "With :TASK (@:map-17), or --task, one task is shown with its log.",
  ],
  arguments: [{ name: "HANDLE", doc: "Job, or job:task; default @", required: false, complete: "handle" }],
  flags: showFlags,
  examples: [
    { command: "sheaf show", doc: "The latest job" },
    { command: "sheaf show @?wordcount --task map-17", doc: "One task of the latest wordcount" },
  ],
  load: () => import("../action/show.ts"),
};
