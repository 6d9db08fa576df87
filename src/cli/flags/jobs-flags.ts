import { switchFlag, valueFlag } from "../flag.ts";
import { integerType, stringType } from "../flag-type.ts";
import { jsonFlag } from "./display-flags.ts";

/** Rows shown unless more are asked for. */
export const jobsShownDefault = 20;

export const jobsFlags = {
  name: valueFlag({
    name: "name",
    placeholder: "NAME",
    type: stringType,
    category: "Display",
    doc: "Only jobs of this name",
  }),
  limit: valueFlag({
    name: "limit",
    short: "n",
    placeholder: "N",
    type: integerType(1),
    default: String(jobsShownDefault),
    category: "Display",
    doc: "Show this many",
  }),
  all: switchFlag({ name: "all", short: "a", category: "Display", doc: "Show all" }),
  json: jsonFlag,
};
