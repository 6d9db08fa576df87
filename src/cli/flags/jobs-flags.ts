import { switchFlag, valueFlag } from "../flag.ts";
import { choiceType, integerType, stringType } from "../flag-type.ts";
import { connectFlags } from "./cluster-flags.ts";
import { jsonFlag } from "./display-flags.ts";

/** Rows shown unless more are asked for. */
export const jobsShownDefault = 20;

const jobStates = [
  "QUEUED",
  "PLANNING",
  "RUNNING",
  "COMMITTING",
  "SUCCEEDED",
  "FAILED",
  "CANCELLED",
] as const;

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
  state: valueFlag({
    name: "state",
    placeholder: "STATE",
    type: choiceType(jobStates),
    category: "Cluster",
    doc: `Only jobs in this state: ${jobStates.join(", ")}`,
  }),
  group: valueFlag({
    name: "group",
    placeholder: "NAME",
    type: stringType,
    category: "Cluster",
    doc: "Only jobs with this label",
  }),
  project: valueFlag({
    name: "project",
    placeholder: "NAME",
    type: stringType,
    category: "Cluster",
    doc: "Only jobs with this label",
  }),
  ...connectFlags,
  json: jsonFlag,
};
