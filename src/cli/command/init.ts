import type { Command } from "../command.ts";
import { initFlags } from "../flags/init-flags.ts";

export const initCommand: Command<typeof initFlags> = {
  name: "init",
  summary: "Write a starter project",
  details: [
    "Writes a small commented project to DIR: a job, a test of it, sheaf.json, and what TypeScript needs to check them. " +
      "Nothing that exists is overwritten: then nothing is written at all.",
  ],
  arguments: [
    {
      name: "DIR",
      doc: "Directory of the project; default the current one",
      required: false,
      complete: "path",
    },
  ],
  flags: initFlags,
  examples: [
    {
      command: "sheaf init counts && cd counts && npm install && npm test",
      doc: "A project, checked and tested",
    },
    { command: "sheaf init logs --template logs", doc: "Begin with web server logs" },
  ],
  load: () => import("../action/init.ts"),
};
