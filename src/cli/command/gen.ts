import type { Command } from "../command.ts";
import { genFlags } from "../flags/gen-flags.ts";

export const genCommand: Command<typeof genFlags> = {
  name: "gen",
  summary: "Make test data of any size",
  details: [
    "Writes data of the given KIND to OUT, or to standard output when OUT is left out or -. The same kind, size, seed " +
      "and options give the same bytes on every machine.",
  ],
  arguments: [
    { name: "KIND", doc: "Kind of data; see Kinds", required: true },
    { name: "OUT", doc: "File to write; default standard output", required: false, complete: "path" },
  ],
  flags: genFlags,
  examples: [
    { command: "sheaf gen text books.txt --size 256MiB", doc: "A quarter GiB of English-like text" },
    {
      command: "sheaf gen measurements m.txt --records 10_000_000 --seed 7",
      doc: "Lines as in the one billion row challenge",
    },
    { command: "sheaf gen text --records 5 --set words=20", doc: "A look at it, with few different words" },
  ],
  appendix: async () => (await import("../action/gen-kinds.ts")).genKindsHelp(),
  load: () => import("../action/gen.ts"),
};
