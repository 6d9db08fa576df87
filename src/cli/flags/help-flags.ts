import { switchFlag } from "../flag.ts";

export const helpFlags = {
  markdown: switchFlag({
    name: "markdown",
    category: "Display",
    doc: "All of it as one Markdown page: docs/cli.md",
  }),
};
