import { switchFlag } from "../flag.ts";
import { connectFlags } from "./cluster-flags.ts";
import { jsonFlag } from "./display-flags.ts";

export const replayFlags = {
  inspect: switchFlag({
    name: "inspect",
    category: "Execution",
    doc: "Wait for a debugger and stop before the record that failed",
    details: "Open chrome://inspect in Chrome, or attach from an editor.",
  }),
  ...connectFlags,
  json: jsonFlag,
};
