import type { Command } from "../command.ts";
import { killFlags } from "../flags/kill-flags.ts";

export const killCommand: Command<typeof killFlags> = {
  name: "kill",
  summary: "Stop a job on a cluster; nothing of its output is left",
  details: ["A job that has ended stays as it is."],
  arguments: [
    {
      name: "HANDLE",
      doc: "Job: its id, the beginning of one, @ or @?NAME",
      required: true,
      complete: "handle",
    },
  ],
  flags: killFlags,
  examples: [{ command: "sheaf kill @ --reason 'wrong input'", doc: "The latest job" }],
  load: () => import("../action/kill.ts"),
};
