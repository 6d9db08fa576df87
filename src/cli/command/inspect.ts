import type { Command } from "../command.ts";
import { inspectFlags } from "../flags/inspect-flags.ts";

export const inspectCommand: Command<typeof inspectFlags> = {
  name: "inspect",
  summary: "Look into an output directory, a job directory or a run file",
  details: [
    "Of an output directory: its files, held against the sizes and checksums in _SUCCESS; the command fails if one " +
      "differs. Of a run file (what tasks exchange): its header, partitions, blocks and first records. Of a job " +
      "directory: what sheaf show says of the job.",
  ],
  arguments: [{ name: "PATH", doc: "File or directory", required: true, complete: "path" }],
  flags: inspectFlags,
  examples: [{ command: "sheaf inspect out", doc: "Is out/ complete and undamaged?" }],
  load: () => import("../action/inspect.ts"),
};
