import { valueFlag } from "../flag.ts";
import { integerType } from "../flag-type.ts";
import { jsonFlag } from "./display-flags.ts";

export const inspectFlags = {
  records: valueFlag({
    name: "records",
    short: "n",
    placeholder: "N",
    type: integerType(0),
    default: "10",
    category: "Output",
    doc: "Records to show of a run file",
  }),
  json: jsonFlag,
};
