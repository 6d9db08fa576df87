import { repeatedFlag, switchFlag, valueFlag } from "../flag.ts";
import { assignmentType, integerType, sizeType } from "../flag-type.ts";
import { jsonFlag } from "./display-flags.ts";

export const genFlags = {
  size: valueFlag({
    name: "size",
    short: "s",
    placeholder: "SIZE",
    type: sizeType(0),
    category: "Output",
    doc: "Stop at this size; the last record is whole",
    details: "Give --size, --records or both: whichever comes first ends the data.",
  }),
  records: valueFlag({
    name: "records",
    short: "n",
    placeholder: "N",
    type: integerType(0),
    category: "Output",
    doc: "Stop after this many records",
  }),
  seed: valueFlag({
    name: "seed",
    placeholder: "N",
    type: integerType(0),
    default: "1",
    category: "Output",
    doc: "Another seed, other data",
  }),
  set: repeatedFlag({
    name: "set",
    placeholder: "NAME=VALUE",
    type: assignmentType,
    category: "Output",
    doc: "Set an option of the kind; may be repeated",
  }),
  overwrite: switchFlag({ name: "overwrite", category: "Output", doc: "Replace OUT if it exists" }),
  json: jsonFlag,
  quiet: switchFlag({ name: "quiet", short: "q", category: "Display", doc: "Say nothing but errors" }),
};
