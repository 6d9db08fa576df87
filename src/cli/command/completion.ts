import type { Command } from "../command.ts";

const noFlags = {};

export const completionCommand: Command<typeof noFlags> = {
  name: "completion",
  summary: "Print a completion script for your shell",
  details: [
    "The script knows every command and flag of this version. Names of jobs (sheaf.json) and handles of those that ran " +
      "here it asks for with sheaf completion jobs and sheaf completion handles, a line each.",
  ],
  arguments: [
    {
      name: "SHELL",
      doc: "bash, zsh or fish; or jobs, handles: what their scripts ask for",
      required: true,
      choices: ["bash", "zsh", "fish", "jobs", "handles"],
    },
  ],
  flags: noFlags,
  examples: [
    { command: "source <(sheaf completion bash)", doc: "In ~/.bashrc" },
    { command: "sheaf completion zsh > ~/.zfunc/_sheaf", doc: "A directory of $fpath, before compinit" },
    { command: "sheaf completion fish > ~/.config/fish/completions/sheaf.fish", doc: "For fish" },
  ],
  load: () => import("../action/completion.ts"),
};
