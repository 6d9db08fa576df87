import { MiB } from "../../base/size.ts";
import { switchFlag, valueFlag } from "../flag.ts";
import { durationType, integerType, pathType, sizeType, stringType } from "../flag-type.ts";
import { portType, serverFlags } from "./server-flags.ts";

const { state, ...listenFlags } = serverFlags;

const joinFlags = {
  join: valueFlag({
    name: "join",
    placeholder: "URL",
    type: stringType,
    category: "Execution",
    doc: "The coordinator: http://host:7077",
  }),
  name: valueFlag({
    name: "name",
    placeholder: "NAME",
    type: stringType,
    default: "this machine's name",
    category: "Execution",
    doc: "Name of the agent, unique in the cluster",
  }),
  slots: valueFlag({
    name: "slots",
    placeholder: "N",
    type: integerType(1, 4_096),
    default: "one less than there are cores, at least 1",
    category: "Execution",
    doc: "Tasks run at a time",
  }),
};

/** What agents and workers have in common. */
export const agentProcessFlags = {
  port: valueFlag({
    name: "port",
    short: "p",
    placeholder: "PORT",
    type: portType,
    default: "0: any free one",
    category: "Execution",
    doc: "Port on which other agents fetch map outputs",
  }),
  advertise: valueFlag({
    name: "advertise",
    placeholder: "URL",
    type: stringType,
    default: "the address it listens on",
    category: "Execution",
    doc: "URL under which other agents reach it",
  }),
  ...listenFlags,
  tokenFile: valueFlag({
    name: "token-file",
    placeholder: "FILE",
    type: pathType,
    default: "$SHEAF_TOKEN_FILE, else agent.token of a coordinator on this machine",
    category: "Execution",
    doc: "File with the token of agents, copied from the coordinator",
  }),
  insecure: switchFlag({
    name: "insecure",
    category: "Execution",
    doc: "Show no token: for a coordinator that was started with --insecure",
  }),
  workerMemory: valueFlag({
    name: "worker-memory",
    placeholder: "SIZE",
    type: sizeType(64 * MiB),
    default: "the job's memory and heap, and what a process needs",
    category: "Execution",
    doc: "Memory each worker may have in all; one that takes more is ended",
  }),
  grace: valueFlag({
    name: "grace",
    placeholder: "TIME",
    type: durationType,
    default: "30s",
    category: "Execution",
    doc: "After SIGTERM, how long to wait for what runs",
    details:
      "What is not finished by then is handed back and runs elsewhere. A second signal ends it at once.",
  }),
};

const { name, slots, join } = joinFlags;

export const agentFlags = { join, name, slots, state, ...agentProcessFlags };

/** A worker keeps its files in a temporary directory. */
export const workerFlags = {
  driver: valueFlag({
    name: "driver",
    placeholder: "URL",
    type: stringType,
    category: "Execution",
    doc: "Where `sheaf run --listen` listens: http://host:5000",
  }),
  name,
  ...agentProcessFlags,
};
