import { repeatedFlag, valueFlag } from "../flag.ts";
import { durationType, integerType, pathType, stringType } from "../flag-type.ts";
import { insecureFlag, portType, serverFlags } from "./server-flags.ts";

/** Where a coordinator listens unless it is told otherwise. */
export const coordinatorPortDefault = 7077;

export const coordinatorFlags = {
  port: valueFlag({
    name: "port",
    short: "p",
    placeholder: "PORT",
    type: portType,
    default: String(coordinatorPortDefault),
    category: "Execution",
    doc: "Port to listen on; 0 takes any free one",
  }),
  ...serverFlags,
  publicName: repeatedFlag({
    name: "public-name",
    placeholder: "NAME",
    type: stringType,
    category: "Execution",
    doc: "Another name or address it is reached under; may be repeated",
    details: "Requests for other hosts are refused.",
  }),
  clientTokenFile: valueFlag({
    name: "token-file",
    placeholder: "FILE",
    type: pathType,
    default: "client.token in the state directory",
    category: "Execution",
    doc: "File with the token of clients",
  }),
  agentTokenFile: valueFlag({
    name: "agent-token-file",
    placeholder: "FILE",
    type: pathType,
    default: "agent.token in the state directory",
    category: "Execution",
    doc: "File with the token of agents",
  }),
  insecure: insecureFlag,
  lease: valueFlag({
    name: "lease",
    placeholder: "TIME",
    type: durationType,
    default: "10s",
    category: "Execution",
    doc: "An agent that is silent for this long is lost",
  }),
  retention: valueFlag({
    name: "retention",
    placeholder: "N",
    type: integerType(1),
    default: "100",
    category: "Execution",
    doc: "Ended jobs that are kept, with their results and logs",
  }),
};
