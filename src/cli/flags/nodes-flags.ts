import { valueFlag } from "../flag.ts";
import { stringType } from "../flag-type.ts";
import { connectFlags } from "./cluster-flags.ts";
import { jsonFlag } from "./display-flags.ts";

export const nodesFlags = {
  ...connectFlags,
  reason: valueFlag({
    name: "reason",
    placeholder: "TEXT",
    type: stringType,
    default: "by hand",
    category: "Cluster",
    doc: "Why it is barred",
  }),
  json: jsonFlag,
};
