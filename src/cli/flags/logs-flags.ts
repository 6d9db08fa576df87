import { switchFlag, valueFlag } from "../flag.ts";
import { stringType } from "../flag-type.ts";
import { connectFlags } from "./cluster-flags.ts";
import { jsonFlag } from "./display-flags.ts";

export const logsFlags = {
  follow: switchFlag({
    name: "follow",
    short: "f",
    category: "Display",
    doc: "Go on until the job has ended",
  }),
  task: valueFlag({
    name: "task",
    short: "t",
    placeholder: "TASK",
    type: stringType,
    category: "Display",
    doc: "Only one task: map-17, reduce-3",
  }),
  ...connectFlags,
  json: jsonFlag,
};
