import { optionalFlag } from "../flag.ts";
import { portType } from "./server-flags.ts";
import { connectFlags } from "./cluster-flags.ts";
import { jsonFlag } from "./display-flags.ts";

export const replayFlags = {
  inspect: optionalFlag({
    name: "inspect",
    placeholder: "PORT",
    type: portType,
    // Where Node, Chrome and editors look.
    alone: 9229,
    category: "Execution",
    doc: "Wait for a debugger, and stop in the map or reduce at the record or key that failed",
    details:
      "Open chrome://inspect in Chrome, or attach from an editor to port 9229, or to the one given: --inspect=9300. " +
      "Started by a debugger (as by the launch.json that sheaf init writes), it does not wait.",
  }),
  ...connectFlags,
  json: jsonFlag,
};
