import type { Command } from "../command.ts";

const noFlags = {};

export const completionCommand: Command<typeof noFlags> = {
  name: "completion",
  summary: "Print a completion script for your shell",
  details: ["The script knows every command and flag of this version and needs nothing at run time."],
  arguments: [{ name: "SHELL", doc: "bash, zsh or fish", required: true, choices: ["bash", "zsh", "fish"] }],
  flags: noFlags,
  examples: [
    { command: "source <(sheaf completion bash)", doc: "In ~/.bashrc" },
    { command: "sheaf completion zsh > ~/.zfunc/_sheaf", doc: "A directory of $fpath, before compinit" },
    { command: "sheaf completion fish > ~/.config/fish/completions/sheaf.fish", doc: "For fish" },
  ],
  load: () => import("../action/completion.ts"),
};
