import { repeatedFlag, valueFlag } from "../flag.ts";
import { integerType, stringType } from "../flag-type.ts";
import { jsonFlag } from "./display-flags.ts";

export const certsFlags = {
  host: repeatedFlag({
    name: "host",
    placeholder: "HOST",
    type: stringType,
    category: "Output",
    doc: "A name or address the certificate is for; may be repeated",
  }),
  days: valueFlag({
    name: "days",
    placeholder: "N",
    type: integerType(1, 36_500),
    category: "Output",
    doc: "How long it is valid",
    default: "365 for a certificate, 3650 for an authority",
  }),
  json: jsonFlag,
};
