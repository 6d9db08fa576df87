import { valueFlag } from "../flag.ts";
import { choiceType } from "../flag-type.ts";
import { jsonFlag } from "./display-flags.ts";

export const templateNames = ["wordcount", "csv", "logs", "generate"] as const;

export const initFlags = {
  template: valueFlag({
    name: "template",
    short: "t",
    placeholder: "KIND",
    type: choiceType(templateNames),
    default: "wordcount",
    category: "Job",
    doc: "What the first job is",
    details:
      "wordcount: words of text files. csv: statistics per group of a CSV column. logs: several outputs from web server " +
      "logs. generate: a simulation that needs no input.",
  }),
  json: jsonFlag,
};
