import type { Command } from "../command.ts";
import { jsonFlag } from "../flags/display-flags.ts";

export const versionFlags = { json: jsonFlag };

export const versionCommand: Command<typeof versionFlags> = {
  name: "version",
  summary: "Show the versions of sheaf and Node",
  details: [],
  arguments: [],
  flags: versionFlags,
  examples: [],
  load: () => import("../action/version.ts"),
};
