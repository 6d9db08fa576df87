import type { Command } from "../command.ts";
import { helpFlags } from "../flags/help-flags.ts";

export const helpCommand: Command<typeof helpFlags> = {
  name: "help",
  summary: "Show help for sheaf or one of its commands",
  details: [],
  arguments: [{ name: "COMMAND", doc: "Command to explain", required: false }],
  flags: helpFlags,
  examples: [{ command: "sheaf help run", doc: "The same as sheaf run --help" }],
  load: () => import("../action/help.ts"),
};
