import { repeatedFlag, switchFlag, valueFlag } from "../flag.ts";
import { durationType, integerType, pathType, stringType } from "../flag-type.ts";
import { jsonFlag } from "./display-flags.ts";
import { portType } from "./server-flags.ts";

/** Agents that `sheaf cluster up` starts unless it is told otherwise. */
export const agentsDefault = 3;

export const localClusterFlags = {
  agents: valueFlag({
    name: "agents",
    placeholder: "N",
    type: integerType(1, 64),
    default: String(agentsDefault),
    category: "Cluster",
    doc: "Agents on this machine",
  }),
  slots: valueFlag({
    name: "slots",
    placeholder: "N",
    type: integerType(1, 4_096),
    default: "the cores, shared out",
    category: "Cluster",
    doc: "Tasks each agent runs at a time",
  }),
  port: valueFlag({
    name: "port",
    short: "p",
    placeholder: "PORT",
    type: portType,
    default: "7077",
    category: "Cluster",
    doc: "Port of the coordinator; 0 takes any free one",
  }),
  host: valueFlag({
    name: "host",
    placeholder: "ADDRESS",
    type: stringType,
    default: "127.0.0.1",
    category: "Cluster",
    doc: "Address of this machine that the agents of an inventory reach the coordinator at",
  }),
  tls: switchFlag({
    name: "tls",
    category: "Cluster",
    doc: "up: TLS between all of them, with certificates made for it",
    details: "They are in DIR/cluster/certs, and made anew each time. For several machines: sheaf certs.",
  }),
  inventory: valueFlag({
    name: "inventory",
    placeholder: "FILE",
    type: pathType,
    category: "Cluster",
    doc: "Start agents on these machines by ssh, instead of on this one",
    details: "One machine a line: HOST [NAME=VALUE...]; docs/cluster.md has the names.",
  }),
  roots: repeatedFlag({
    name: "root",
    placeholder: "DIR",
    type: pathType,
    default: "all when everything is on this machine, else none",
    category: "Cluster",
    doc: "Jobs may read and write files below DIR; may be repeated",
  }),
  state: valueFlag({
    name: "state",
    placeholder: "DIR",
    type: pathType,
    default: "$SHEAF_STATE, else ~/.local/state/sheaf",
    category: "Cluster",
    doc: "Directory for the state of coordinator and agents, their logs and process ids",
  }),
  grace: valueFlag({
    name: "grace",
    placeholder: "TIME",
    type: durationType,
    default: "30s",
    category: "Cluster",
    doc: "down: how long agents may finish what runs",
  }),
  force: switchFlag({
    name: "force",
    category: "Cluster",
    doc: "down: kill at once, without waiting for anything",
  }),
  json: jsonFlag,
};
