import { switchFlag, valueFlag } from "./flag.ts";
import { choiceType } from "./flag-type.ts";

/** Flags every command takes; main.ts acts on them before the command sees its own. */
export const globalFlags = {
  color: valueFlag({
    name: "color",
    placeholder: "WHEN",
    type: choiceType(["auto", "always", "never"]),
    default: "auto",
    category: "Display",
    doc: "Colours on the terminal",
    details: "With auto there are colours on a terminal, unless NO_COLOR is set or TERM is dumb.",
  }),
  debug: switchFlag({
    name: "debug",
    category: "Display",
    doc: "Show the whole stack of an error",
  }),
  help: switchFlag({
    name: "help",
    short: "h",
    category: "Display",
    doc: "Show help; --help says more than -h",
  }),
};
