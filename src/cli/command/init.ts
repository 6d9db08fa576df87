import type { Command } from "../command.ts";
import { initFlags } from "../flags/init-flags.ts";

export const initCommand: Command<typeof initFlags> = {
  name: "init",
  summary: "Write a starter project",
  details: [
    "Writes a small commented project to DIR: a job, a test of it, sheaf.json, what TypeScript needs to check them, and " +
      "how VS Code debugs them.",
    "Where DIR has a package.json, only the job is added to that project, with sheaf.json and how to debug it. No file " +
      "that exists is changed: what it lacks is said. The commands that come next are those of the package manager whose " +
      "lock file is there.",
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
