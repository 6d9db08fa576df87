import type { Command } from "../command.ts";
import { resultsFlags } from "../flags/results-flags.ts";

export const resultsCommand: Command<typeof resultsFlags> = {
  name: "results",
  summary: "List, fetch or print the results of a job on a cluster",
  details: [
    "Alone it lists the result files. With -o DIR they are fetched, checked and written, whole or not at all, as " +
      "sheaf run would have written them. With --print N or --collect the results are printed, one a line: key, tab, " +
      "value; this needs a job that was submitted without -o.",
  ],
  arguments: [{ name: "HANDLE", doc: "Job; default @, the latest", required: false, complete: "handle" }],
  flags: resultsFlags,
  examples: [
    { command: "sheaf results @ -o out", doc: "Fetch those of the latest job" },
    { command: "sheaf results @?wordcount --print 10", doc: "Look at the first ten" },
  ],
  load: () => import("../action/results.ts"),
};
