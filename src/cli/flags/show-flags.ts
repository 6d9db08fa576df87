import { switchFlag, valueFlag } from "../flag.ts";
import { stringType } from "../flag-type.ts";
import { connectFlags } from "./cluster-flags.ts";
import { jsonFlag } from "./display-flags.ts";

/** Tasks listed unless all are asked for; those that failed or took longest come first. */
export const tasksShownDefault = 20;

export const showFlags = {
  task: valueFlag({
    name: "task",
    short: "t",
    placeholder: "TASK",
    type: stringType,
    category: "Display",
    doc: "Show one task: map-17, reduce-3",
  }),
  all: switchFlag({ name: "all", short: "a", category: "Display", doc: "List every task" }),
  ...connectFlags,
  json: jsonFlag,
};
