import type { Command } from "../command.ts";
import { jobsFlags } from "../flags/jobs-flags.ts";

export const jobsCommand: Command<typeof jobsFlags> = {
  name: "jobs",
  summary: "List the jobs that ran on this machine",
  details: [
    "Latest first. The history is kept in $SHEAF_STATE, else $XDG_STATE_HOME/sheaf, else ~/.local/state/sheaf.",
  ],
  arguments: [],
  flags: jobsFlags,
  examples: [{ command: "sheaf jobs --name wordcount", doc: "Runs of one job" }],
  load: () => import("../action/jobs.ts"),
};
