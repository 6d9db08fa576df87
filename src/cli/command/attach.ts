import type { Command } from "../command.ts";
import { attachFlags } from "../flags/attach-flags.ts";

export const attachCommand: Command<typeof attachFlags> = {
  name: "attach",
  summary: "Follow a job on a cluster, from its beginning to its end",
  details: [
    "Shows what sheaf run would have shown. From then on the job is this command's: Ctrl-C stops it, and so does the " +
      "end of this command. With --watch it is only looked at.",
    "With -o, --print or --collect the results of a job without a shared output are fetched when it is done.",
  ],
  arguments: [{ name: "HANDLE", doc: "Job; default @, the latest", required: false, complete: "handle" }],
  flags: attachFlags,
  examples: [
    { command: "sheaf attach --on http://10.0.0.5:7077", doc: "The latest job" },
    { command: "sheaf attach @?wordcount -o out", doc: "Write its results when it is done" },
  ],
  load: () => import("../action/attach.ts"),
};
