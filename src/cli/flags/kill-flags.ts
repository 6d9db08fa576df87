import { valueFlag } from "../flag.ts";
import { stringType } from "../flag-type.ts";
import { connectFlags } from "./cluster-flags.ts";
import { jsonFlag } from "./display-flags.ts";

export const killFlags = {
  ...connectFlags,
  reason: valueFlag({
    name: "reason",
    placeholder: "TEXT",
    type: stringType,
    category: "Cluster",
    doc: "Why, for those who look at the job later",
  }),
  json: jsonFlag,
};
