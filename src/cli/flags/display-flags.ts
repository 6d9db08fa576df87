import { switchFlag } from "../flag.ts";

/** For commands whose answer may also be read by a program. */
export const jsonFlag = switchFlag({
  name: "json",
  category: "Display",
  doc: "Answer in JSON on standard output",
});

/** For commands that run a job. */
export const displayFlags = {
  quiet: switchFlag({
    name: "quiet",
    short: "q",
    category: "Display",
    doc: "Say nothing but errors",
  }),
  json: switchFlag({
    name: "json",
    category: "Display",
    doc: "Write what happens to standard output, one JSON object a line",
    details: "Without -o, and with --print or --collect, the results come as such objects too.",
  }),
};
