import type { Command } from "../command.ts";
import { submitFlags } from "../flags/submit-flags.ts";

export const submitCommand: Command<typeof submitFlags> = {
  name: "submit",
  summary: "Submit a job to a cluster and return",
  details: [
    "The same as sheaf run --on URL --detach: the job's id is printed, and the job goes on without this command. " +
      "sheaf attach follows it, sheaf kill stops it.",
    "Without -o its results stay with the coordinator until it forgets the job; sheaf results fetches or prints them. " +
      "-o DIR needs a directory that all agents see (--shared).",
  ],
  arguments: [
    { name: "JOB", doc: "Job file, or name of a job in sheaf.json", required: true, complete: "job" },
    {
      name: "INPUT",
      doc:
        "Files, directories and globs as the agents see them, or agent:/PATH for files of each agent's own; NAME=PATH " +
        "where the job has several inputs",
      required: false,
      many: true,
      complete: "path",
    },
  ],
  flags: submitFlags,
  examples: [
    {
      command: "sheaf submit wordcount.ts /mnt/shared/books --on http://10.0.0.5:7077 --cores 8",
      doc: "Count words with eight cores",
    },
    { command: "sheaf results @ -o out", doc: "Fetch the results of the latest job when it is done" },
  ],
  load: () => import("../action/submit.ts"),
};
