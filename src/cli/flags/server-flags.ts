import { repeatedFlag, switchFlag, valueFlag } from "../flag.ts";
import { choiceType, durationType, integerType, pathType, stringType } from "../flag-type.ts";

/** What coordinator and agent have in common. */
export const serverFlags = {
  host: valueFlag({
    name: "host",
    placeholder: "ADDRESS",
    type: stringType,
    default: "127.0.0.1",
    category: "Execution",
    doc: "Address to listen on",
    details: "Beyond this machine (0.0.0.0, or one of its addresses) it needs tokens, and should have TLS.",
  }),
  state: valueFlag({
    name: "state",
    placeholder: "DIR",
    type: pathType,
    category: "Execution",
    doc: "Directory for what it keeps; its own, made when missing",
  }),
  roots: repeatedFlag({
    name: "root",
    placeholder: "DIR",
    type: pathType,
    default: "all when it is reached over loopback only, else none",
    category: "Execution",
    doc: "Jobs may read and write files below DIR; may be repeated",
  }),
  tlsCa: valueFlag({
    name: "tls-ca",
    placeholder: "FILE",
    type: pathType,
    category: "Execution",
    doc: "Certificates of the authority that peers are checked against",
    details: "With --tls-cert and --tls-key; sheaf certs makes the three files.",
  }),
  tlsCert: valueFlag({
    name: "tls-cert",
    placeholder: "FILE",
    type: pathType,
    category: "Execution",
    doc: "Own certificate",
  }),
  tlsKey: valueFlag({
    name: "tls-key",
    placeholder: "FILE",
    type: pathType,
    category: "Execution",
    doc: "Key of the own certificate",
  }),
  heartbeat: valueFlag({
    name: "heartbeat",
    placeholder: "TIME",
    type: durationType,
    default: "1s",
    category: "Execution",
    doc: "Time between heartbeats",
  }),
  logLevel: valueFlag({
    name: "log-level",
    placeholder: "LEVEL",
    type: choiceType(["debug", "info", "warn", "error", "silent"]),
    default: "info",
    category: "Display",
    doc: "How much is logged on standard error: debug, info, warn, error, silent",
    details: "One JSON object a line.",
  }),
};

export const portType = integerType(0, 65_535);

/** Nobody is asked for a token. */
export const insecureFlag = switchFlag({
  name: "insecure",
  category: "Execution",
  doc: "Ask nobody for a token",
  details: "Whoever reaches the port can then run any program on the cluster's machines. Told at each start.",
});
